"""`python -m ultraplane.serve PART SETTINGS_FILE ...`: a part in this process, until SIGTERM.

    apiserver SETTINGS_FILE WORKER            the API server, or one of its workers, from 1
    storage SETTINGS_FILE SOCKET [PARTITION]  what keeps the replica that workers map

What the supervisor starts. It imports the part and nothing else of ours: no command line, no
configuration models, no terminal, which would delay the moment when the part is ready.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from apiserver.settings import ServerSettings
from apiserver.settings_file import read_settings

# mallopt(3)
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3


def main(arguments: list[str]) -> None:
    """Run the part named first with the settings file named second."""
    if len(arguments) == 3 and arguments[0] == "apiserver":
        serve_api(Path(arguments[1]), int(arguments[2]))
    elif 3 <= len(arguments) <= 4 and arguments[0] == "storage":
        serve_storage(Path(arguments[1]), Path(arguments[2]), *arguments[3:])
    else:
        sys.exit(f"usage: {__doc__}")


def serve_api(path: Path, worker_index: int = 1) -> None:
    """Run the API server with the settings in a file until it is told to stop."""
    settings = replace(_prepare(path), worker_index=worker_index)
    importlib.import_module("apiserver.main").run(settings)


def serve_storage(path: Path, listen: Path, partition: str | None = None) -> None:
    """Run a storage process with the API server's settings until it is told to stop."""
    importlib.import_module("apiserver.storage_main").run(_prepare(path), listen, partition)


def _prepare(path: Path) -> ServerSettings:
    settings = read_settings(path)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    allow_many_files()
    keep_freed_memory()
    return settings


def allow_many_files() -> None:
    """Raise this process's limit of open files to the most it may have.

    A connection is a file, and the usual soft limit of 1024 is there for programs that use select.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of what was freed at the end of its heap.

    A server frees with each answer what the next request needs. By its defaults glibc gives pages
    back and fetches them again all the time, which is 4% of what a create costs. Blocks of 4 MiB
    and more still come and go by themselves: no body stays because of this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return  # another C library
    for parameter, value in (
        (_M_TRIM_THRESHOLD, 64 << 20),
        (_M_TOP_PAD, 16 << 20),
        (_M_MMAP_THRESHOLD, 4 << 20),
    ):
        mallopt(parameter, value)


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m ultraplane.serve apiserver <settings file>`: a part in this process, until SIGTERM.

What the supervisor starts. It imports the part and nothing else of ours: no command line, no
configuration models, no terminal, which would delay the moment when the part is ready.
"""

from __future__ import annotations

import importlib
import logging
import resource
import sys
from pathlib import Path

from apiserver.settings import read_settings


def main(arguments: list[str]) -> None:
    """Run the part named first with the settings file named second."""
    if len(arguments) != 2 or arguments[0] != "apiserver":
        sys.exit("usage: python -m ultraplane.serve apiserver SETTINGS_FILE")
    serve_api(Path(arguments[1]))


def serve_api(path: Path) -> None:
    """Run the API server with the settings in a file until it is told to stop."""
    settings = read_settings(path)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    allow_many_files()
    importlib.import_module("apiserver.main").run(settings)


def allow_many_files() -> None:
    """Raise this process's limit of open files to the most it may have.

    A connection is a file, and the usual soft limit of 1024 is there for programs that use select.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main(sys.argv[1:])

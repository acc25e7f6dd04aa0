"""File systems small enough to be filled: a tmpfs of its own where we may mount one.

Filling takes what is free with one large file, so that the product meets the kernel's own ENOSPC,
in whatever call it comes; emptying removes that file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SIZES_MIB: Final = {"journal": 96, "checkpoints": 64, "memory": 128}
_BLOCK_BYTES: Final = 4096
_BALLAST: Final = ".ballast"


class CannotMount(Exception):
    """No file system of our own here: what needs one cannot be tried."""


class SmallDisk:
    """A mounted file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / _BALLAST

    def fill(self) -> int:
        """Leave no block free; return how many bytes were."""
        taken = 0
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            step = 1 << 20
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(descriptor, taken, step)
                    taken += step
                except OSError:
                    step //= 2
        finally:
            os.close(descriptor)
        return taken

    def empty(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, what: str) -> Iterator[SmallDisk]:
    """Mount a small tmpfs at `path` until the block ends.

    Raises:
        CannotMount: we may not.
    """
    for place in reversed([path, *path.parents]):
        place.mkdir(exist_ok=True, mode=0o700)
    size = f"size={_SIZES_MIB[what]}m,mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", size, "ultraplane-faults", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotMount("there is no `mount`") from error
    if done.returncode:
        raise CannotMount(f"{' '.join(command)}: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        with suppress(OSError):
            (path / _BALLAST).unlink(missing_ok=True)
        # Lazily: what is still open there must not keep the rest from being tidied up.
        subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=False)


def may_mount(directory: Path) -> str:
    """Return why no file system can be mounted, "" if one can."""
    probe = directory / "mount-probe"
    try:
        with small_disk(probe, "checkpoints"):
            return ""
    except CannotMount as error:
        return str(error)
    finally:
        with suppress(OSError):
            probe.rmdir()

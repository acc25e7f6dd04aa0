"""Log files of the supervised processes: bounded in number and size.

A process writes straight into its file (no pipe that could fill up, nothing lost when the
supervisor dies), in append mode, so that the file can be emptied under it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT: Final = 3
_TAIL_BYTES: Final = 16_384


def rotate(path: Path) -> None:
    """Move `path` to `path.1`, `path.1` to `path.2`, …; the oldest of `KEPT` is dropped."""
    for number in range(KEPT - 1, 0, -1):
        older = _numbered(path, number)
        if older.exists():
            older.replace(_numbered(path, number + 1))
    if path.exists():
        path.replace(_numbered(path, 1))


def open_log(path: Path) -> int:
    """Return a descriptor that appends to `path`; a new file is private."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def size(path: Path) -> int:
    """Return a file's bytes, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def empty_if_larger(path: Path, bytes_max: int) -> None:
    """Keep a copy of a log that has become too large, and let its process start it anew.

    Lines written between the copy and the emptying are lost: better than a full disk. Where there
    is no room for a copy, all of it is lost.

    Raises:
        OSError: it cannot be emptied.
    """
    if size(path) > bytes_max:
        copy = _numbered(path, 1)
        try:
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
        except OSError:
            with suppress(OSError):
                copy.unlink(missing_ok=True)
        os.truncate(path, 0)


def last_lines(path: Path, count: int, *, since_byte: int = 0) -> list[str]:
    """Return the last lines of a log, of what was written after `since_byte`."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            # Emptied meanwhile: all of it is new.
            start = since_byte if since_byte <= end else 0
            file.seek(max(start, end - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")

"""Files of the data directory: private, whole or absent, used by one supervisor at a time.

Invariants:
    - What is written here is readable by its owner only, from its first byte on.
    - A reader sees the old content or the new one, never a part, also after a crash.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ultraplane.errors import UserError


class UnsafeDirectory(UserError):
    """A directory cannot be trusted with private files; nothing was written."""


class DirectoryInUse(UserError):
    """Another supervisor holds the data directory; nothing was touched."""


def private_directory(path: Path) -> Path:
    """Make sure that `path` is a directory that only we can write to and look into.

    Raises:
        UnsafeDirectory: it belongs to somebody else, is in use for something else, or is no
            directory and cannot be made one.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except OSError as error:
        # os.path, as pathlib raises for a name that is too long.
        if not os.path.isdir(path):
            if os.path.lexists(path):
                raise UnsafeDirectory(f"{path} is no directory") from None
            why = f"{error.filename}: {error.strerror}"
            raise UnsafeDirectory(f"directory {path} cannot be made: {why}") from None
        facts = path.stat()
        # In a directory open to all, such as /dev/shm, somebody may have been there first.
        if facts.st_uid != os.getuid():
            raise UnsafeDirectory(f"{path} belongs to user id {facts.st_uid}, not to us") from None
        if facts.st_mode & 0o077:
            # A home, / or /tmp would be closed to all who live there.
            if any(path.iterdir()):
                raise UnsafeDirectory(
                    f"{path} holds files and is open to other users. Name a directory that is new "
                    f"or empty, or close this one: chmod 700 {shlex.quote(str(path))}"
                ) from None
            path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file's content atomically and durably; its mode is 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which
        raise


class DirectoryLock:
    """An exclusive hold on a data directory, given up with the process however it ends.

    The kernel drops the lock with the last descriptor; children do not inherit it, so a killed
    supervisor leaves nothing to clean up by hand.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor: int | None = None

    def __enter__(self) -> DirectoryLock:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise DirectoryInUse(
                f"{self._path.parent} is in use by another `ultraplane up` or `ultraplane "
                f"apiserver` (process {holder}). "
                "Stop that one, or give this one its own: --data-dir"
            ) from None
        # Whose it is, is for people; on a full disk the lock alone has to do.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

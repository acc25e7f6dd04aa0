"""From LMDB's pages to a checkpoint's chunks, at a pace that leaves memory and disk to others.

LMDB writes its copy to a pipe, in a thread: what reads from the other end decides how fast it goes.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from threading import Thread
from typing import Final, Self

from storage.checkpoint_file import CHUNK_BYTES
from storage.environment import Environment, Txn

PLAIN_BYTES_PER_SECOND: Final = 250e6
FLUSH_BYTES: Final = 4 << 20


class Copier:
    """A compact copy of what a transaction sees, to be read piece by piece.

    Entered, it copies in a thread; when it is left, that has ended.
    """

    def __init__(self, environment: Environment, txn: Txn) -> None:
        self._environment, self._txn = environment, txn
        self._error: Exception | None = None
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        with suppress(OSError):  # there is a limit to what all pipes of a user hold
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
        self._thread = Thread(target=self._copy, name="copy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Who still writes gets an error.
        os.close(self._reader)
        self._thread.join()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the copy.

        Raises:
            OSError: the copy could not be made whole.
        """
        parts, missing = [], size
        while missing and (part := os.read(self._reader, missing)):
            parts.append(part)
            missing -= len(part)
        if missing:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return b"".join(parts)

    def _copy(self) -> None:
        try:
            self._environment.copy_to(self._writer, self._txn)
        except Exception as error:  # noqa: BLE001 -- it is raised where the copy is read
            self._error = error
        finally:
            os.close(self._writer)


class Pace:
    """Slows down who writes a file, and has it flushed in small steps.

    A flush of all at once would hold up every other one on the same disk: the journal's above all.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._begun_s = time.monotonic()
        self._flushed_bytes = 0

    def __call__(self, end: int, plain_bytes: int) -> None:
        """Flush what has gathered, and wait until so much may have been copied."""
        if end - self._flushed_bytes >= FLUSH_BYTES:
            os.fdatasync(self._fd)
            self._flushed_bytes = end
        ahead_s = self._begun_s + plain_bytes / PLAIN_BYTES_PER_SECOND - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)

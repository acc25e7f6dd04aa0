"""From LMDB's pages to a checkpoint's chunks, at a pace that leaves memory and disk to others.

LMDB writes its copy to a pipe, in a thread: what reads from the other end decides how fast it goes.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

from storage.checkpoint_file import CHUNK_BYTES
from storage.environment import Tables, Txn
from storage.errors import CheckpointStopped

BYTES_PER_SECOND_MAX: Final = 250e6
BYTES_PER_SECOND_MIN: Final = 80e6
"""Of the plain file: a quarter of a core, and nobody else is held up by more than one chunk."""
VERIFY_BYTES_PER_SECOND: Final = 50e6
_CUT_BYTES: Final = 8 << 20
_CUT_PAUSE_S: Final = 0.01


class Copier:
    """A compact copy of what a transaction sees, to be read piece by piece.

    Entered, it copies in a thread; when it is left, that has ended.
    """

    def __init__(self, environment: Tables, txn: Txn) -> None:
        self._environment, self._txn = environment, txn
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
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

    def read(self) -> memoryview:
        """Return the next chunk, good until the one after; it is short only at the copy's end.

        Raises:
            OSError: the copy could not be made whole.
        """
        filled = 0
        while filled < CHUNK_BYTES and (
            # Without a copy, as whoever copies holds the interpreter's lock.
            got := os.readv(self._reader, [self._buffer[filled:]])
        ):
            filled += got
        if filled < CHUNK_BYTES:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return self._buffer[:filled]

    def _copy(self) -> None:
        try:
            self._environment.copy_to(self._writer, self._txn)
        except Exception as error:  # noqa: BLE001 -- it is raised where the copy is read
            self._error = error
        finally:
            os.close(self._writer)


class Pace:
    """Slows down who goes through many bytes, or ends it.

    Args of the constructor:
        bytes_per_second: of the plain file, while it is copied.
        verify_bytes_per_second: while the copy is read back.
    """

    def __init__(
        self,
        bytes_per_second: float = BYTES_PER_SECOND_MAX,
        verify_bytes_per_second: float = VERIFY_BYTES_PER_SECOND,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._verify_bytes_per_second = min(bytes_per_second, verify_bytes_per_second)
        self._stop = Event()
        self._begun_s = time.monotonic()

    def begin(self) -> None:
        """Count from now on, from the first byte on."""
        self._begun_s = time.monotonic()

    def begin_verifying(self) -> None:
        """Likewise, at the pace of reading back."""
        self._bytes_per_second = self._verify_bytes_per_second
        self.begin()

    def stop(self) -> None:
        """Have whoever waits, now or later, give up."""
        self._stop.set()

    def wait(self, done_bytes: int) -> None:
        """Wait until so much may have been done.

        Raises:
            CheckpointStopped: there is no time for the rest.
        """
        ahead_s = self._begun_s + done_bytes / self._bytes_per_second - time.monotonic()
        if self._stop.wait(max(0.0, ahead_s)):
            raise CheckpointStopped("the checkpoint was given up")


def forget_cached(fd: int) -> None:
    """Give back the memory that the system caches a file in, as it is hardly ever read.

    What is not on the disk yet begins to be written. Done often, this leaves little to the flush at
    the end: one of 200 MB at once holds up every other on the same disk, the journal's above all,
    for a tenth of a second.
    """
    with suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def remove_gently(path: Path) -> None:
    """Delete a large file in steps: all of its blocks at once would hold up the journal's syncs.

    It loses its name first, so that nobody takes what is left of it for whole.

    Raises:
        OSError: it may still be there, under a name that ends in `.tmp`.
    """
    if path.stat().st_nlink > 1:
        path.unlink()  # another name for the same bytes: somebody keeps them
        return
    doomed = path.with_suffix(".tmp")
    path.rename(doomed)
    left = doomed.stat().st_size
    while left > _CUT_BYTES:
        left -= _CUT_BYTES
        os.truncate(doomed, left)
        time.sleep(_CUT_PAUSE_S)
    doomed.unlink()

"""A piece of the journal's disk that is taken before anybody else can take it.

When the disk is full all the same (others write to it too), the file is given up, and what was
refused for want of space is written again. Who proposes writes hears of it by the counters, and
proposes no more than what gives space back: deletes need the log as well. It is taken again once
there is four times as much.

Invariant: it holds no data; at any moment it may be there, or not, or be of another size.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

_log = logging.getLogger(__name__)

NAME: Final = ".reserve"
"""No stream's name begins with a dot."""
_DISK_PART: Final = 16
"""At most this part of the disk."""
_ROOM_TIMES: Final = 4
_AGAIN_S: Final = 10.0
_SHARED_S: Final = 1.0
"""Streams find the disk full at the same time: what one gave up is there for all."""
_MODE: Final = 0o600
_BLOCK_BYTES: Final = 512


class Reserve:
    """The reserve of one journal directory; its methods are called in any thread.

    Args of the constructor:
        directory: the journal's.
        size_bytes: how much to take; none if 0.
        allocate: claims space for (descriptor, start, length), or raises ENOSPC.
    """

    def __init__(
        self, directory: Path, size_bytes: int, allocate: Callable[[int, int, int], None]
    ) -> None:
        self._path = directory / NAME
        self._wanted_bytes = size_bytes
        self._allocate = allocate
        self._lock = Lock()
        self._looked_s = time.monotonic()
        self._given_up_s = float("-inf")
        self.is_held = False
        """Whether it is there to be given up."""

    @property
    def was_given_up(self) -> bool:
        """Whether there ought to be one."""
        return bool(self._wanted_bytes) and not self.is_held

    def take(self) -> None:
        """Take it, if there is room; whether there is, `is_held` tells."""
        with self._lock:
            self._take()

    def give_up(self) -> bool:
        """Give it up; return whether there is space now that was not there before."""
        with self._lock:
            now_s = time.monotonic()
            if not self.is_held:
                return now_s - self._given_up_s < _SHARED_S
            self.is_held = False
            self._looked_s = self._given_up_s = now_s
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("%s was not given up: %s", self._path, error)
                return False
        _log.error("the journal's disk is full: %s was given up for what deletes", self._path)
        return True

    def look(self) -> None:
        """Take it again if it was given up and there is room; costs nothing where it was not."""
        if self.is_held or not self._wanted_bytes:
            return
        if time.monotonic() - self._looked_s < _AGAIN_S or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_s = time.monotonic()
            self._take()
        finally:
            self._lock.release()

    def to_json(self) -> dict[str, int | bool]:
        """Return what there is of the disk, for a STATS reply.

        Raises:
            OSError: it does not tell.
        """
        found = os.statvfs(self._path.parent)
        return {
            "freeBytes": found.f_bavail * found.f_frsize,
            "sizeBytes": found.f_blocks * found.f_frsize,
            "reserveGivenUp": self.was_given_up,
        }

    def _take(self) -> None:
        if self.is_held or not self._wanted_bytes:
            return
        try:
            found = os.statvfs(self._path.parent)
            size_bytes = min(self._wanted_bytes, found.f_blocks * found.f_frsize // _DISK_PART)
            held_bytes = self._path.stat().st_blocks * _BLOCK_BYTES if self._path.exists() else 0
            # One that was there before this start is kept however full the disk is.
            if held_bytes < size_bytes:
                if found.f_bavail * found.f_frsize < _ROOM_TIMES * size_bytes:
                    _log.warning("there is no room for %s", self._path)
                    return
                self._allocate_file(size_bytes)
        except OSError as error:
            _log.warning("%s could not be taken: %s", self._path, error)
            return
        self.is_held = True

    def _allocate_file(self, size_bytes: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, _MODE)
        try:
            self._allocate(descriptor, 0, size_bytes)
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(descriptor)

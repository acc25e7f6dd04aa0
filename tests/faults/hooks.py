"""Hooks in a part's process: its wall clock is off, its disk is slow, fails or tears.

Loaded by seam/sitecustomize.py before any of the product's modules, which then find these in place
of the operating system's calls. The disk is the journal's alone: nobody else uses these calls.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.faults import switches

_SECTOR_BYTES: Final = 512
_WHOLE: Final = 65_536
_TORN_SECTORS: Final = 2
_DROPPED: Final = 2


def install(path: Path) -> None:
    """Obey the switches in a file, in this process, until it ends."""
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), switches.FILE_BYTES)
    _install_clock(shared)
    if "journal.main" in sys.orig_argv:
        _Disk(shared).install()


def _read(shared: mmap.mmap, switch: tuple[struct.Struct, int]) -> Any:
    form, place = switch
    return form.unpack_from(shared, place)[0]


def _install_clock(shared: mmap.mmap) -> None:
    now_s, now_ns = time.time, time.time_ns

    def moved_s() -> float:
        offset_s: float = _read(shared, switches.CLOCK_OFFSET_S)
        return now_s() + offset_s

    def moved_ns() -> int:
        return now_ns() + int(_read(shared, switches.CLOCK_OFFSET_S)) * 1_000_000_000

    time.time, time.time_ns = moved_s, moved_ns


class _Disk:
    def __init__(self, shared: mmap.mmap) -> None:
        self._shared = shared
        self._pwrite, self._fdatasync = os.pwrite, os.fdatasync
        self._written: dict[int, tuple[int, int]] = {}
        """Offset and length of what was last written to a file, and is not yet synced."""

    def install(self) -> None:
        os.pwrite = self._write
        os.fdatasync = self._sync  # type: ignore[assignment]  # by number alone, as the journal does

    def _write(self, descriptor: int, data: Any, offset: int) -> int:
        torn = _read(self._shared, switches.TORN)
        if torn:
            self._tear(descriptor, bytes(data), offset, lose_sectors=torn == _TORN_SECTORS)
        self._written[descriptor] = (offset, len(data))
        return self._pwrite(descriptor, data, offset)

    def _tear(self, descriptor: int, data: bytes, offset: int, *, lose_sectors: bool) -> None:
        part = _read(self._shared, switches.TORN_PART)
        # Before the end of this process, whose successor must not find it.
        self._shared[:] = bytes(switches.FILE_BYTES)
        if lose_sectors:
            chance = random.Random(part)
            for start in range(0, len(data), _SECTOR_BYTES):
                if chance.random() < 0.5:
                    self._pwrite(descriptor, data[start : start + _SECTOR_BYTES], offset + start)
        else:
            self._pwrite(descriptor, data[: len(data) * part // _WHOLE], offset)
        os.kill(os.getpid(), signal.SIGKILL)

    def _sync(self, descriptor: int) -> None:
        delay_s = _read(self._shared, switches.SYNC_DELAY_S)
        if delay_s:
            time.sleep(delay_s)
        fails = _read(self._shared, switches.SYNC_FAILS)
        if fails:
            if fails == _DROPPED and descriptor in self._written:
                offset, length = self._written.pop(descriptor)
                self._pwrite(descriptor, bytes(length), offset)
            raise OSError(errno.EIO, "the campaign's disk fails")
        self._written.pop(descriptor, None)
        self._fdatasync(descriptor)

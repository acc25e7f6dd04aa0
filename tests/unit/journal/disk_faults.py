"""Disks that fail on command, for the tests of the local engine."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from journal.disk import Environment, FileOps, allocate
from journal.engine import Limits
from journal.local import LocalEngine


class FaultyDisk:
    """File operations that obey switches.

    Attributes:
        write_error: an errno that writes raise, after half of the data went through.
        sync_error: an errno that fdatasync raises.
        allocate_error: an errno that allocation raises.
        truncate_error: an errno that truncation raises.
        fails_above_bytes: writes and allocations up to this size succeed all the same.
        write_bytes_max: writes take no more than this at a time.
    """

    def __init__(self) -> None:
        self.write_error = self.sync_error = self.allocate_error = self.truncate_error = 0
        self.fails_above_bytes = 0
        self.write_bytes_max = 1 << 30
        self.syncs = 0
        self.ops = FileOps(self._write, self._sync, self._allocate, self._truncate)

    def _write(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.write_error and len(data) > self.fails_above_bytes:
            os.pwrite(descriptor, data[: len(data) // 2], offset)
            raise OSError(self.write_error, os.strerror(self.write_error))
        return os.pwrite(descriptor, data[: self.write_bytes_max], offset)

    def _sync(self, descriptor: int) -> None:
        self.syncs += 1
        _raise(self.sync_error)
        os.fdatasync(descriptor)

    def _allocate(self, descriptor: int, start: int, length: int) -> None:
        if length > self.fails_above_bytes:
            _raise(self.allocate_error)
        allocate(descriptor, start, length)

    def _truncate(self, descriptor: int, length: int) -> None:
        _raise(self.truncate_error)
        os.ftruncate(descriptor, length)


def _raise(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))


@asynccontextmanager
async def engine_on(
    directory: Path, disk: FaultyDisk, limits: Limits | None = None
) -> AsyncIterator[LocalEngine]:
    """An engine over the faulty disk."""
    environment = Environment(limits or Limits(), ops=disk.ops)
    engine = await LocalEngine.open(directory, environment)
    try:
        yield engine
    finally:
        async with asyncio.timeout(10):
            await engine.close()


NO_SPACE = errno.ENOSPC
BROKEN = errno.EIO

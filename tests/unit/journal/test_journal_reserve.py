"""The piece of the disk that is given up when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from journal.disk import Environment, FileOps, allocate
from journal.engine import Limits
from journal.errors import JournalFull
from journal.local import LocalEngine
from journal.reserve import NAME

_RESERVE_BYTES = 1 << 20
_LIMITS = Limits(reserve_bytes=_RESERVE_BYTES, allocation_bytes=4096)


def _full_but_for(reserve: Path) -> FileOps:
    """Return a disk that is full as long as the reserve is there."""

    def claim(descriptor: int, start: int, length: int) -> None:
        with suppress(FileNotFoundError):  # the other stream's thread may give it up meanwhile
            if not os.path.samestat(os.fstat(descriptor), reserve.stat()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(descriptor, start, length)

    return FileOps(allocate=claim)


def test_a_full_disk_takes_appends_at_the_cost_of_the_reserve(tmp_path: Path) -> None:
    async def run() -> None:
        reserve = tmp_path / NAME
        environment = Environment(_LIMITS, ops=_full_but_for(reserve))
        engine = await LocalEngine.open(tmp_path, environment)
        try:
            assert reserve.stat().st_blocks * 512 >= _RESERVE_BYTES
            told = engine.disk()
            assert told is not None
            assert told["reserveGivenUp"] is False
            # Two streams find the disk full at the same time.
            await asyncio.gather(
                engine.append("pods", [b"a"], bytes(16)), engine.append("nodes", [b"a"], bytes(16))
            )
            assert not reserve.exists()
            told = engine.disk()
            assert told is not None
            assert told["reserveGivenUp"] is True
        finally:
            await engine.close()

    asyncio.run(run())


def test_without_a_reserve_a_full_disk_refuses(tmp_path: Path) -> None:
    def refuse(_descriptor: int, _start: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def run() -> None:
        engine = await LocalEngine.open(
            tmp_path, Environment(_LIMITS, ops=FileOps(allocate=refuse))
        )
        try:
            assert not (tmp_path / NAME).exists()
            with pytest.raises(JournalFull):
                await engine.append("pods", [b"a"], bytes(16))
        finally:
            await engine.close()

    asyncio.run(run())


def test_a_reserve_is_kept_over_a_restart(tmp_path: Path) -> None:
    async def run() -> int:
        engine = await LocalEngine.open(tmp_path, Environment(_LIMITS))
        await engine.close()
        return (tmp_path / NAME).stat().st_ino

    assert asyncio.run(run()) == asyncio.run(run())

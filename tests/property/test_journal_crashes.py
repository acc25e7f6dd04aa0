"""Whatever a crash leaves of the unsynced part, everything acknowledged is there, in order.

A history is groups of appends; the last group is written but its fsync never returns. The crash
keeps an arbitrary part of that group: cut at a byte, or any subset of its disk sectors. Separately,
bits rot anywhere: what had been durable before the last group is then refused, never served wrong.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.disk import Environment, FileOps
from journal.engine import Limits
from journal.errors import CorruptStream, StreamClosed, UnsupportedFormat
from journal.local import LocalEngine
from tests.contract.journal_suite.harness import read_until

SECTOR_BYTES = 64  # smaller than a disk's, so that small examples have many

LIMITS = Limits(
    segment_bytes=4096,
    allocation_bytes=2048,
    group_bytes_max=4096,
    tail_cache_bytes=1,
    read_chunk_bytes=512,
)

appends = st.lists(st.binary(max_size=200), min_size=1, max_size=3)
groups = st.lists(st.lists(appends, min_size=1, max_size=4), min_size=1, max_size=6)


@dataclass
class Crashed:
    """What a crash left.

    Attributes:
        durable: appends that were acknowledged, in order.
        unsynced: appends of the last group, in order.
        tail: the segment file that was written last.
        durable_end: how much of `tail` had been synced.
    """

    durable: list[tuple[bytes, ...]]
    unsynced: list[tuple[bytes, ...]]
    tail: Path
    durable_end: int


async def _crash(directory: Path, history: list[list[list[bytes]]]) -> Crashed:
    """Write the history; the last group's fsync fails, and nothing is tidied up behind it."""
    failing = False

    def sync(descriptor: int) -> None:
        if failing:
            raise OSError(errno.EIO, "power cut")
        os.fdatasync(descriptor)

    def truncate(descriptor: int, length: int) -> None:
        if failing:
            raise OSError(errno.EIO, "power cut")
        os.ftruncate(descriptor, length)

    environment = Environment(LIMITS, ops=FileOps(sync=sync, truncate=truncate))
    engine = await LocalEngine.open(directory, environment)
    # A first append makes the segment, so that the last group's fsync is the first to fail.
    durable: list[tuple[bytes, ...]] = []
    for group in [[[b"first"]], *history[:-1]]:
        await asyncio.gather(*(engine.append("pods", part, os.urandom(16)) for part in group))
        durable += [tuple(part) for part in group]
    durable_end = engine.stream("pods").committer.position.segment_end
    tail = _tail(directory)
    failing = True
    outcomes = await asyncio.gather(
        *(engine.append("pods", part, os.urandom(16)) for part in history[-1]),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, StreamClosed) for outcome in outcomes)
    await engine.close()
    assert tail is not None
    assert _tail(directory) == tail
    return Crashed(durable, [tuple(part) for part in history[-1]], tail, durable_end)


def _tail(directory: Path) -> Path | None:
    return max(directory.glob("pods/*.log"), default=None)


async def _appends_after_reopening(directory: Path) -> list[tuple[bytes, ...]]:
    engine = await LocalEngine.open(directory, Environment(LIMITS))
    try:
        first, last = await engine.bounds("pods")
        batches = await read_until(engine, "pods", first, last) if last else []
        expected = 1
        for batch in batches:
            assert batch.first_sequence == expected
            expected = batch.last_sequence + 1
        assert await engine.append("pods", [b"after"], os.urandom(16)) == last + 1
        return [batch.records for batch in batches]
    finally:
        await engine.close()


def _check_kept(crashed: Crashed, found: list[tuple[bytes, ...]]) -> None:
    kept = len(crashed.durable)
    assert found[:kept] == crashed.durable
    rest = found[kept:]
    assert rest == crashed.unsynced[: len(rest)]


@settings(max_examples=60, deadline=None)
@given(history=groups, data=st.data())
def test_a_cut_anywhere_behind_the_last_fsync_keeps_all_acknowledged(
    history: list[list[list[bytes]]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        crashed = asyncio.run(_crash(directory, history))
        size = crashed.tail.stat().st_size
        os.truncate(crashed.tail, data.draw(st.integers(crashed.durable_end, size)))
        _check_kept(crashed, asyncio.run(_appends_after_reopening(directory)))


@settings(max_examples=60, deadline=None)
@given(history=groups, data=st.data())
def test_any_sectors_of_the_unsynced_group_may_be_lost(
    history: list[list[list[bytes]]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        crashed = asyncio.run(_crash(directory, history))
        image = bytearray(crashed.tail.read_bytes())
        for start in range(crashed.durable_end, len(image), SECTOR_BYTES):
            if not any(image[start : start + SECTOR_BYTES]):
                continue
            if data.draw(st.booleans()):
                end = min(start + SECTOR_BYTES, len(image))
                image[start:end] = bytes(end - start)
        crashed.tail.write_bytes(image)
        _check_kept(crashed, asyncio.run(_appends_after_reopening(directory)))


@settings(max_examples=100, deadline=None)
@given(history=groups, data=st.data())
def test_rot_in_what_was_durable_is_refused_and_never_served(
    history: list[list[list[bytes]]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        crashed = asyncio.run(_crash(directory, [*history, [[b"unsynced"]]]))
        os.truncate(crashed.tail, crashed.durable_end)
        path = data.draw(st.sampled_from(sorted(directory.glob("pods/*.log"))))
        image = bytearray(path.read_bytes())
        offset = data.draw(st.integers(0, len(image) - 1))
        image[offset] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(image)
        with pytest.raises((CorruptStream, UnsupportedFormat)):
            asyncio.run(_appends_after_reopening(directory))

"""Sealed segments are not read at a start, and nothing is believed of them that may be wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from journal import recovery
from journal.disk import Environment
from journal.engine import Limits
from journal.errors import CorruptStream
from journal.local import LocalEngine
from journal.recovery import recover
from journal.segment import SegmentInfo
from journal.summary import read_summary, summary_path, write_summary
from tests.contract.journal_suite.harness import read_until, records_of

LIMITS = Limits(
    segment_bytes=1024,
    allocation_bytes=1024,
    group_bytes_max=1024,
    tail_cache_bytes=1,
    read_chunk_bytes=512,
)
APPENDS = 20


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[LocalEngine]:
    """Give a journal of small segments."""
    engine = await LocalEngine.open(directory, Environment(LIMITS))
    try:
        yield engine
    finally:
        await engine.close()


async def fill(directory: Path) -> list[bytes]:
    """Append to several segments; return the keys."""
    keys = [os.urandom(16) for _ in range(APPENDS)]
    async with opened(directory) as engine:
        for number, key in enumerate(keys):
            await engine.append("pods", [b"%04d" % number * 50], key)
    return keys


def segments(directory: Path) -> list[Path]:
    """Return the segments' files."""
    return sorted(directory.glob("pods/*.log"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files whose frames recovery has read."""
    found: list[Path] = []
    scan = recovery.scan_frames

    def noting(data: bytes, info: SegmentInfo, into: recovery.Recovered) -> object:
        found.append(info.path)
        return scan(data, info, into)

    monkeypatch.setattr(recovery, "scan_frames", noting)
    return found


def test_only_the_last_segment_is_read_at_a_start(tmp_path: Path, reads: list[Path]) -> None:
    async def run() -> None:
        await fill(tmp_path)
        reads.clear()
        async with opened(tmp_path) as engine:
            assert reads == segments(tmp_path)[-1:]
            assert await engine.bounds("pods") == (1, APPENDS)
            found = records_of(await read_until(engine, "pods", 1, APPENDS))
            assert found == [b"%04d" % number * 50 for number in range(APPENDS)]

    asyncio.run(run())
    assert len(segments(tmp_path)) > 3


def test_keys_of_sealed_segments_are_known_after_a_start(tmp_path: Path) -> None:
    async def run() -> None:
        keys = await fill(tmp_path)
        async with opened(tmp_path) as engine:
            for number, key in enumerate(keys):
                assert await engine.append("pods", [b"again"], key) == number + 1

    asyncio.run(run())


def test_only_the_last_keys_of_summed_segments_are_remembered(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    for count in (1, 7, APPENDS):
        found = recover(tmp_path / "pods", "pods", count).keys
        assert [sequence for _, sequence in found] == list(range(APPENDS + 1 - count, APPENDS + 1))


def test_damage_in_a_sealed_segment_is_refused_when_it_is_read(tmp_path: Path) -> None:
    async def run() -> None:
        await fill(tmp_path)
        path = segments(tmp_path)[1]
        offset = read_first_offset(path)
        data = bytearray(path.read_bytes())
        data[offset + 60] ^= 1
        path.write_bytes(data)
        async with opened(tmp_path) as engine:
            with pytest.raises(CorruptStream) as caught:
                await read_until(engine, "pods", 1, APPENDS)
            assert (caught.value.path, caught.value.offset) == (path, offset)
            first = int(segments(tmp_path)[2].stem)
            assert await read_until(engine, "pods", first, APPENDS)

    asyncio.run(run())


def read_first_offset(path: Path) -> int:
    """Return where a segment's first frame begins, as its summary says."""
    found = recover(path.parent, "pods")
    (info,) = [info for info in found.segments if info.path == path]
    return info.index_offsets[0]


def test_a_sealed_segment_that_was_cut_is_refused_at_the_start(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    path = segments(tmp_path)[1]
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CorruptStream, match=str(path)):
        recover(tmp_path / "pods", "pods")


@pytest.mark.parametrize("loss", ["missing", "empty", "another segment's"])
def test_a_segment_without_a_good_summary_is_read_and_summed_up(
    tmp_path: Path, reads: list[Path], loss: str
) -> None:
    async def run() -> None:
        await fill(tmp_path)
        path, other = segments(tmp_path)[1:3]
        good = summary_path(path).read_bytes()
        if loss == "missing":
            summary_path(path).unlink()
        else:
            content = summary_path(other).read_bytes() if loss != "empty" else b""
            summary_path(path).write_bytes(content)
        reads.clear()
        async with opened(tmp_path):
            assert reads == [path, segments(tmp_path)[-1]]
        assert summary_path(path).read_bytes() == good

    asyncio.run(run())


def test_no_changed_byte_of_a_summary_is_believed(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    found = recover(tmp_path / "pods", "pods")
    info = found.segments[1]
    content = summary_path(info.path).read_bytes()
    assert read_summary(info.path, info.first_sequence, info.salt) is not None
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 2
        summary_path(info.path).write_bytes(changed)
        assert read_summary(info.path, info.first_sequence, info.salt) is None
    for end in range(len(content)):
        summary_path(info.path).write_bytes(content[:end])
        assert read_summary(info.path, info.first_sequence, info.salt) is None


def test_a_summary_goes_with_its_segment(tmp_path: Path) -> None:
    async def run() -> None:
        await fill(tmp_path)
        async with opened(tmp_path) as engine:
            await engine.trim("pods", APPENDS)
            assert len(segments(tmp_path)) == 1

    asyncio.run(run())
    assert not list(tmp_path.glob("pods/*.summary"))
    # A crash between the two leaves one.
    info = recover(tmp_path / "pods", "pods").segments[0]
    stray = SegmentInfo(info.path.with_stem(f"{1:020d}"), 1, 2, 3, 4, [1], [256])
    write_summary(stray, 5, [], Environment().ops)
    recover(tmp_path / "pods", "pods")
    assert not list(tmp_path.glob("pods/*.summary"))

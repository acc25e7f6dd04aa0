"""What recovery keeps, cuts and refuses."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from journal.disk import Environment, FileOps
from journal.engine import Limits
from journal.errors import CorruptStream, UnsupportedFormat
from journal.local import LocalEngine
from journal.record import SEGMENT_HEADER_BYTES, SegmentHeader, encode_body, encode_frame
from journal.recovery import Tail, judge_tail, recover
from journal.segment import SegmentWriter
from tests.contract.journal_suite.harness import read_until, records_of

SALT = 77


def frame(sequence: int, group_offset: int, payload: bytes = b"payload") -> bytes:
    keyed = sequence.to_bytes(16, "big") + encode_body([payload])
    return b"".join(encode_frame(keyed, SALT, group_offset, sequence, 1000 + sequence))


FRAME_BYTES = len(frame(1, 0))


def write_segment(directory: Path, frames: list[bytes], first: int = 1, zeroes: int = 100) -> Path:
    path = directory / f"{first:020d}.log"
    header = SegmentHeader(directory.name, first, SALT, 5).encode()
    path.write_bytes(header + b"".join(frames) + bytes(zeroes))
    return path


def groups_of_one(count: int, first: int = 1) -> list[bytes]:
    return [
        frame(first + index, SEGMENT_HEADER_BYTES + index * FRAME_BYTES) for index in range(count)
    ]


def offset_of(index: int) -> int:
    return SEGMENT_HEADER_BYTES + index * FRAME_BYTES


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    directory = tmp_path / "pods"
    directory.mkdir()
    return directory


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("pods/*.log")
    return path


def test_zeroes_behind_the_last_frame_are_the_end(pods: Path) -> None:
    write_segment(pods, groups_of_one(3))
    found = recover(pods, "pods")
    assert (found.next_sequence, found.timestamp_ms) == (4, 1003)
    assert [sequence for _, sequence in found.keys] == [1, 2, 3]
    assert found.rewrite_from == offset_of(2)


def test_only_the_last_keys_are_remembered(pods: Path) -> None:
    write_segment(pods, groups_of_one(5))
    assert [sequence for _, sequence in recover(pods, "pods", 2).keys] == [4, 5]


def test_a_torn_last_frame_is_cut(pods: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = groups_of_one(3)
    write_segment(pods, [*frames[:2], frames[2][:-3]], zeroes=0)
    assert recover(pods, "pods").next_sequence == 3
    assert f"at byte {offset_of(2)}, after sequence 2" in caplog.text


def test_an_unfinished_group_with_a_hole_in_it_is_cut(pods: Path) -> None:
    """After a power cut, a group's later pages may be there without its earlier ones."""
    group = offset_of(1)
    frames = [*groups_of_one(1), *(frame(number, group) for number in (2, 3, 4))]
    frames[2] = bytes(FRAME_BYTES)
    write_segment(pods, frames)
    assert recover(pods, "pods").next_sequence == 3


def test_damage_before_a_later_group_is_refused_with_its_place(pods: Path) -> None:
    path = write_segment(pods, groups_of_one(3))
    flip(path, offset_of(1) + 60)
    with pytest.raises(CorruptStream) as caught:
        recover(pods, "pods")
    assert (caught.value.path, caught.value.offset) == (path, offset_of(1))
    assert f"{path}: damaged at byte {offset_of(1)}" in str(caught.value)


def test_a_durable_page_of_zeroes_is_refused(pods: Path) -> None:
    frames = groups_of_one(4)
    frames[1] = bytes(FRAME_BYTES)
    write_segment(pods, frames)
    with pytest.raises(CorruptStream):
        recover(pods, "pods")


@pytest.mark.parametrize("offset", [0, 9, 17, 25, 41, 100])
def test_a_damaged_header_is_refused(pods: Path, offset: int) -> None:
    flip(write_segment(pods, groups_of_one(1)), offset)
    with pytest.raises((CorruptStream, UnsupportedFormat)):
        recover(pods, "pods")


def test_a_newer_format_is_refused_by_name(pods: Path) -> None:
    path = write_segment(pods, groups_of_one(1))
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormat, match="format version 9, this program reads up to 1"):
        recover(pods, "pods")


def test_sealed_segments_must_be_whole(pods: Path) -> None:
    path = write_segment(pods, groups_of_one(3))
    write_segment(pods, groups_of_one(2, first=4), first=4)
    assert recover(pods, "pods").next_sequence == 6
    flip(path, offset_of(2) + 60)
    with pytest.raises(CorruptStream) as caught:
        recover(pods, "pods")
    assert caught.value.offset == offset_of(2)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_missing_segment_in_between_is_refused(pods: Path, kept: int) -> None:
    for index in range(3):
        write_segment(pods, groups_of_one(2, first=1 + 2 * index), first=1 + 2 * index)
    (pods / f"{3:020d}.log").unlink()
    with pytest.raises(CorruptStream, match="a file is missing or was cut"):
        recover(pods, "pods")
    (pods / f"{1 + 4 * (1 - kept):020d}.log").unlink()
    assert recover(pods, "pods").segments[0].first_sequence == 1 + 4 * kept


def test_a_gap_in_the_sequence_is_refused(pods: Path) -> None:
    frames = groups_of_one(3)
    write_segment(pods, [frames[0], frame(3, offset_of(1))])
    with pytest.raises(CorruptStream, match="sequence 3 at 1003 ms follows sequence 1"):
        recover(pods, "pods")


def test_a_moved_segment_is_refused(pods: Path) -> None:
    path = write_segment(pods, groups_of_one(1))
    path.rename(pods / f"{9:020d}.log")
    with pytest.raises(CorruptStream, match="moved or renamed"):
        recover(pods, "pods")


def test_a_segment_that_never_got_its_name_is_removed(pods: Path) -> None:
    leftover = pods / f"{1:020d}.new"
    leftover.write_bytes(b"half a header")
    assert recover(pods, "pods").segments == []
    assert not leftover.exists()


def test_a_record_that_contains_a_frame_of_another_segment_is_no_proof_of_damage() -> None:
    foreign = b"".join(encode_frame(bytes(16) + encode_body([b"x"]), 1, 999_999, 5, 5))
    torn = frame(1, SEGMENT_HEADER_BYTES, foreign * 3)[:-1]
    data = bytes(SEGMENT_HEADER_BYTES) + torn
    assert judge_tail(data, SEGMENT_HEADER_BYTES, SALT) is Tail.TORN


def test_reopening_removes_the_remains_and_writes_the_last_group_again(pods: Path) -> None:
    """Remains could later line up with new frames; a failed fsync's pages only look written."""
    group = offset_of(1)
    frames = [*groups_of_one(1), *(frame(number, group) for number in (2, 3, 4))]
    path = write_segment(pods, [*frames[:2], bytes(FRAME_BYTES), frames[3]])
    found = recover(pods, "pods")
    written: list[tuple[bytes, int]] = []

    def write(descriptor: int, data: bytes, offset: int) -> int:
        written.append((data, offset))
        return os.pwrite(descriptor, data, offset)

    end = found.segments[-1].end_offset
    SegmentWriter.reopen(path, end, found.rewrite_from, FileOps(write=write)).close()
    assert (path.stat().st_size, end) == (offset_of(2), offset_of(2))
    assert written == [(frames[1], group)]


def test_appending_goes_on_behind_a_cut_and_survives(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await LocalEngine.open(tmp_path)
        for payload in (b"a", b"b"):
            await engine.append("pods", [payload], os.urandom(16))
        await engine.close()
        path = only_segment(tmp_path)
        path.write_bytes(path.read_bytes()[:-1])
        for note in ("waypoint", "durable"):
            (tmp_path / "pods" / note).unlink()  # a crash of the machine may leave none
        for expected in (2, 3):
            engine = await LocalEngine.open(tmp_path)
            assert await engine.append("pods", [b"c"], os.urandom(16)) == expected
            await engine.close()
        engine = await LocalEngine.open(tmp_path)
        assert records_of(await read_until(engine, "pods", 1, 3)) == [b"a", b"c", b"c"]
        await engine.close()

    asyncio.run(run())


def test_damage_found_while_reading_is_refused_after_the_rest_of_its_chunk(tmp_path: Path) -> None:
    """`Journal.read`: batches before the damage were yielded, also those read with it."""

    async def run() -> None:
        limits = Limits(tail_cache_bytes=1)
        engine = await LocalEngine.open(tmp_path, Environment(limits))
        for _ in range(6):
            await engine.append("pods", [bytes(100)], os.urandom(16))
        flip(only_segment(tmp_path), SEGMENT_HEADER_BYTES + 4 * 156 + 60)
        reading = engine.read("pods", 2)
        assert [batch.first_sequence for batch in await anext(reading)] == [2, 3, 4]
        with pytest.raises(CorruptStream) as caught:
            await anext(reading)
        assert caught.value.offset == SEGMENT_HEADER_BYTES + 4 * 156
        await engine.close()

    asyncio.run(run())


def test_damage_found_while_reading_is_refused_after_what_precedes_it(tmp_path: Path) -> None:
    async def run() -> None:
        limits = Limits(tail_cache_bytes=1, read_chunk_bytes=1024)
        engine = await LocalEngine.open(tmp_path, Environment(limits))
        for _ in range(4):
            await engine.append("pods", [bytes(500_000)], os.urandom(16))
        flip(only_segment(tmp_path), SEGMENT_HEADER_BYTES + 2 * 500_056 + 1000)
        got: list[int] = []

        async def read() -> None:
            async for batches in engine.read("pods", 1):
                got.extend(batch.first_sequence for batch in batches)

        with pytest.raises(CorruptStream) as caught:
            await read()
        assert got == [1, 2]
        assert caught.value.offset == SEGMENT_HEADER_BYTES + 2 * 500_056
        await engine.close()

    asyncio.run(run())

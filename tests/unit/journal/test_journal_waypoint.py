"""What the waypoint catches that segments alone can't tell, and what it keeps."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from journal.disk import Environment, FileOps
from journal.engine import Limits
from journal.errors import CorruptStream, StreamClosed, UnsupportedFormat
from journal.local import LocalEngine
from journal.waypoint import Waypoint, decode_waypoint, encode_waypoint, write_waypoint
from tests.contract.journal_suite.harness import key
from tests.unit.journal.disk_faults import BROKEN, NO_SPACE, FaultyDisk, engine_on

LIMITS = Limits(segment_bytes=8192, group_bytes_max=8192, allocation_bytes=4096)


async def fill(directory: Path, count: int = 5) -> None:
    async with engine_on(directory, FaultyDisk(), LIMITS) as engine:
        for _ in range(count):
            await engine.append("pods", [bytes(3000)], key())


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("pods/*.log"))


def refusal(directory: Path) -> CorruptStream:
    with pytest.raises(CorruptStream) as caught:
        asyncio.run(LocalEngine.open(directory, Environment(LIMITS)))
    return caught.value


@pytest.mark.parametrize("place", [10, 100, -1])
def test_damage_in_the_last_group_after_an_orderly_end_is_refused(
    tmp_path: Path, place: int
) -> None:
    """It was acknowledged: it is not cut off as if it had never been synced."""
    asyncio.run(fill(tmp_path))
    path = segments(tmp_path)[-1]
    image = bytearray(path.read_bytes())
    begin = 256 if place >= 0 else 0
    image[begin + place] ^= 1
    path.write_bytes(image)
    error = refusal(tmp_path)
    assert (error.path, error.offset) == (path, 256)
    assert "durable up to 5" in str(error)
    assert path.read_bytes() == image, "the evidence is untouched"


@pytest.mark.parametrize("lost", [1, 3])
def test_lost_files_at_the_end_of_the_log_are_refused(tmp_path: Path, lost: int) -> None:
    asyncio.run(fill(tmp_path))
    assert len(segments(tmp_path)) == 3
    for path in segments(tmp_path)[-lost:]:
        path.unlink()
    assert "durable up to 5" in str(refusal(tmp_path))


def test_a_log_that_has_grown_since_its_waypoint_is_believed(tmp_path: Path) -> None:
    async def grow() -> None:
        engine = await LocalEngine.open(tmp_path, Environment(LIMITS))
        await engine.append("pods", [b"grown"], key())
        noted = (tmp_path / "pods/waypoint").read_bytes()
        await engine.close()
        (tmp_path / "pods/waypoint").write_bytes(noted)  # as a kill leaves it
        async with engine_on(tmp_path, FaultyDisk(), LIMITS) as engine:
            assert await engine.bounds("pods") == (1, 6)

    asyncio.run(fill(tmp_path))
    asyncio.run(grow())


def test_a_damaged_waypoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "pods/waypoint"
    asyncio.run(fill(tmp_path))
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:20] + b"\xff" + whole[21:], b"x" + whole[1:]):
        path.write_bytes(damaged)
        assert refusal(tmp_path).path == path
    path.write_bytes(whole[:12] + b"\x09" + whole[13:])
    with pytest.raises(UnsupportedFormat, match="waypoint version 9"):
        asyncio.run(LocalEngine.open(tmp_path))


def test_a_waypoint_of_another_stream_is_refused() -> None:
    data = encode_waypoint(Waypoint(7, 1000, [(key(), 3), (key(), 5)]), "pods")
    assert decode_waypoint(data, Path("d/pods/waypoint")).next_sequence == 7
    with pytest.raises(CorruptStream, match="another stream's"):
        decode_waypoint(data, Path("d/nodes/waypoint"))


def test_a_waypoint_that_can_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    before = Waypoint(7, 1000, [(key(), 3)])
    write_waypoint(tmp_path, before, FileOps())
    disk = FaultyDisk()
    disk.sync_error = BROKEN
    with pytest.raises(OSError, match=os.strerror(BROKEN)):
        write_waypoint(tmp_path, Waypoint(9, 1000, []), disk.ops)
    (path,) = tmp_path.iterdir()
    assert decode_waypoint(path.read_bytes(), path) == before


def test_a_full_disk_does_not_keep_from_trimming(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk, LIMITS) as engine:
            for _ in range(5):
                await engine.append("pods", [bytes(3000)], key())
            disk.write_error = NO_SPACE
            await engine.trim("pods", 5)
            assert await engine.bounds("pods") == (5, 5)
            assert len(segments(tmp_path)) == 1
            disk.write_error = 0

    asyncio.run(run())
    assert "no space for the keys" in caplog.text


def test_a_broken_disk_trims_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk, LIMITS) as engine:
            for _ in range(5):
                await engine.append("pods", [bytes(3000)], key())
            disk.sync_error = BROKEN
            with pytest.raises(OSError, match=os.strerror(BROKEN)):
                await engine.trim("pods", 5)
            disk.sync_error = 0
            assert await engine.bounds("pods") == (1, 5)

    asyncio.run(run())
    assert len(segments(tmp_path)) == 3


def test_closing_waits_for_the_files_of_a_cancelled_trim(tmp_path: Path) -> None:
    """Its thread can't be cancelled: it must not write on in a directory that is unlocked."""
    entered, finished = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        if threading.current_thread().name.startswith("asyncio"):
            entered.set()
            threading.Event().wait(0.2)
            finished.set()
        os.fdatasync(descriptor)

    async def run() -> None:
        engine = await LocalEngine.open(tmp_path, Environment(LIMITS, ops=FileOps(sync=sync)))
        for _ in range(5):
            await engine.append("pods", [bytes(3000)], key())
        trim = asyncio.ensure_future(engine.trim("pods", 5))
        await asyncio.to_thread(entered.wait, 10)
        trim.cancel()
        await engine.close()
        assert finished.is_set()

    asyncio.run(run())
    assert len(segments(tmp_path)) == 3
    path = tmp_path / "pods/waypoint"
    assert decode_waypoint(path.read_bytes(), path).next_sequence == 6


def test_a_retry_learns_its_outcome_from_a_closed_stream(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            durable = key()
            assert await engine.append("pods", [b"a"], durable) == 1
            disk.sync_error = BROKEN
            with pytest.raises(StreamClosed):
                await engine.append("pods", [b"b"], key())
            assert await engine.append("pods", [b"a"], durable) == 1
            disk.sync_error = 0

    asyncio.run(run())


def test_an_append_that_comes_while_the_engine_closes_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await LocalEngine.open(tmp_path)
        await engine.append("pods", [b"a"], key())
        late = asyncio.ensure_future(engine.append("pods", [b"b"], key()))
        await asyncio.sleep(0)  # it is submitted, its group has not begun
        engine.stream("pods").stop()
        async with asyncio.timeout(10):
            with pytest.raises(StreamClosed):
                await late
        await engine.close()

    asyncio.run(run())

"""The local engine on a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from journal.engine import Limits
from journal.errors import DirectoryLocked, JournalFull, StreamClosed
from journal.local import LocalEngine
from tests.contract.journal_suite.harness import read_until, records_of
from tests.unit.journal.disk_faults import BROKEN, NO_SPACE, FaultyDisk, engine_on


def key() -> bytes:
    return os.urandom(16)


def test_a_failed_fsync_closes_the_stream_for_all_waiting_and_later_appends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk, Limits(group_count_max=2)) as engine:
            assert await engine.append("pods", [b"kept"], key()) == 1
            disk.sync_error = BROKEN
            waiting = [engine.append("pods", [b"lost"], key()) for _ in range(5)]
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [StreamClosed] * 5
            disk.sync_error = 0
            with pytest.raises(StreamClosed, match="durable up to sequence 1"):
                await engine.append("pods", [b"later"], key())
            assert records_of(await read_until(engine, "pods", 1, 1)) == [b"kept"]
            assert await engine.tail("pods") == 1
            assert await engine.append("nodes", [b"other streams go on"], key()) == 1
        async with engine_on(tmp_path, disk) as engine:
            assert await engine.append("pods", [b"after restart"], key()) == 2

    asyncio.run(run())
    assert "CLOSED FOR WRITING" in caplog.text


def test_a_failed_write_that_is_not_for_want_of_space_closes_the_stream(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            await engine.append("pods", [b"kept"], key())
            disk.write_error = BROKEN
            with pytest.raises(StreamClosed):
                await engine.append("pods", [b"lost"], key())
            disk.write_error = 0
            with pytest.raises(StreamClosed):
                await engine.append("pods", [b"later"], key())

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["write_error", "allocate_error"])
def test_lack_of_space_refuses_and_heals(tmp_path: Path, fault: str) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        limits = Limits(allocation_bytes=4096)
        async with engine_on(tmp_path, disk, limits) as engine:
            await engine.append("pods", [b"a"], key())
            setattr(disk, fault, NO_SPACE)
            refused = key()
            with pytest.raises(JournalFull, match="no space left"):
                await engine.append("pods", [bytes(9000)], refused)
            assert await engine.tail("pods") == 1
            setattr(disk, fault, 0)
            assert await engine.append("pods", [b"b"], refused) == 2
        async with engine_on(tmp_path, disk) as engine:
            assert records_of(await read_until(engine, "pods", 1, 2)) == [b"a", b"b"]

    asyncio.run(run())


def test_lack_of_space_for_the_first_and_for_a_further_segment_heals(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        limits = Limits(segment_bytes=8192, group_bytes_max=8192, allocation_bytes=4096)
        disk.allocate_error = NO_SPACE
        async with engine_on(tmp_path, disk, limits) as engine:
            with pytest.raises(JournalFull):
                await engine.append("pods", [b"a"], key())
            assert not list((tmp_path / "pods").iterdir())
            disk.allocate_error = 0
            assert await engine.append("pods", [bytes(6000)], key()) == 1
            disk.allocate_error = NO_SPACE
            with pytest.raises(JournalFull):
                await engine.append("pods", [bytes(6000)], key())
            disk.allocate_error = 0
            assert await engine.append("pods", [bytes(6000)], key()) == 2
            assert len(list((tmp_path / "pods").glob("*.log"))) == 2
        async with engine_on(tmp_path, disk, limits) as engine:
            assert await engine.bounds("pods") == (1, 2)

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["write_error", "allocate_error"])
def test_an_append_after_a_refused_new_segment_survives_though_it_fits_the_old_one(
    tmp_path: Path, fault: str
) -> None:
    """Else its frames stand in the new file, salted for the old one, and are cut as a torn tail."""

    async def run() -> None:
        disk = FaultyDisk()
        limits = Limits(segment_bytes=16384, group_bytes_max=8192, allocation_bytes=4096)
        async with engine_on(tmp_path, disk, limits) as engine:
            assert await engine.append("pods", [bytes(12_000)], key()) == 1
            setattr(disk, fault, NO_SPACE)
            disk.fails_above_bytes = 4096  # the segment's header has room, the group has not
            with pytest.raises(JournalFull):
                await engine.append("pods", [bytes(8000)], key())
            setattr(disk, fault, 0)
            assert await engine.append("pods", [b"small"], key()) == 2
            assert await engine.append("pods", [b"next"], key()) == 3
        async with engine_on(tmp_path, disk, limits) as engine:
            assert await engine.bounds("pods") == (1, 3)
            assert records_of(await read_until(engine, "pods", 2, 3)) == [b"small", b"next"]

    asyncio.run(run())


def test_a_refused_group_is_gone_for_good_before_its_callers_hear_of_it(tmp_path: Path) -> None:
    """Its whole frames may have reached the disk; a truncation that is not synced brings them back.

    The name of the guarantee is JournalFull's: nothing was written.
    """

    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            await engine.append("pods", [b"a"], key())
            disk.write_error = NO_SPACE
            syncs = disk.syncs
            with pytest.raises(JournalFull):
                await engine.append("pods", [bytes(9000)], key())
            assert disk.syncs == syncs + 1
            disk.sync_error = BROKEN
            with pytest.raises(StreamClosed):
                await engine.append("pods", [bytes(9000)], key())
            disk.write_error = disk.sync_error = 0

    asyncio.run(run())


def test_a_full_disk_is_logged_once_and_its_end_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log may stand on the disk that is full."""

    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            for _ in range(2):
                disk.write_error = NO_SPACE
                for _ in range(3):
                    with pytest.raises(JournalFull):
                        await engine.append("pods", [b"a"], key())
                disk.write_error = 0
                await engine.append("pods", [b"a"], key())

    asyncio.run(run())
    assert caplog.text.count("no space left") == 2
    assert caplog.text.count("there is space again") == 2


def test_a_lack_of_file_descriptors_refuses_and_heals(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            disk.allocate_error = errno.EMFILE
            with pytest.raises(JournalFull, match="open files"):
                await engine.append("pods", [b"a"], key())
            disk.allocate_error = 0
            assert await engine.append("pods", [b"a"], key()) == 1

    asyncio.run(run())


def test_names_found_at_opening_are_made_durable_before_anything_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between making a segment and syncing its directory leaves a name in memory only.

    What is then appended to that file, and acknowledged, would be lost with its name.
    """
    data = tmp_path / "state" / "journal"

    async def append() -> None:
        async with engine_on(data, FaultyDisk()) as engine:
            await engine.append("pods", [b"a"], key())

    synced: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    asyncio.run(append())
    made = [tmp_path, tmp_path / "state", data, data / "pods"]
    assert [place for place in made if place not in synced] == []
    synced.clear()

    async def reopen() -> None:
        async with engine_on(data, FaultyDisk()):
            names = [tmp_path / "state", data, data / "pods"]
            assert [place for place in names if place not in synced] == []

    asyncio.run(reopen())


def test_a_half_written_group_that_cannot_be_cut_off_closes_the_stream(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            await engine.append("pods", [b"a"], key())
            disk.write_error = NO_SPACE
            disk.truncate_error = BROKEN
            with pytest.raises(StreamClosed):
                await engine.append("pods", [b"b"], key())
            disk.write_error = disk.truncate_error = 0

    asyncio.run(run())


def test_short_writes_are_completed(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        disk.write_bytes_max = 1000
        record = os.urandom(30_000)
        async with engine_on(tmp_path, disk) as engine:
            await engine.append("pods", [record], key())
        async with engine_on(tmp_path, disk) as engine:
            assert records_of(await read_until(engine, "pods", 1, 1)) == [record]

    asyncio.run(run())


def test_waiting_appends_share_one_fsync(tmp_path: Path) -> None:
    async def run() -> None:
        disk = FaultyDisk()
        async with engine_on(tmp_path, disk) as engine:
            await engine.append("pods", [b"first makes the segment"], key())
            before = disk.syncs
            await asyncio.gather(*(engine.append("pods", [b"x"], key()) for _ in range(64)))
            assert disk.syncs - before == 1

    asyncio.run(run())


def test_a_directory_is_opened_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine_on(tmp_path, FaultyDisk()):
            with pytest.raises(DirectoryLocked):
                await LocalEngine.open(tmp_path)
        async with engine_on(tmp_path, FaultyDisk()) as engine:
            assert await engine.tail("pods") == 0

    asyncio.run(run())


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine_on(tmp_path / "data", FaultyDisk()) as engine:
            await engine.append("pods", [b"a"], key())

    asyncio.run(run())
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "data").rglob("*.log")}
    directories = {
        path.stat().st_mode & 0o777 for path in (tmp_path / "data", tmp_path / "data/pods")
    }
    assert (modes, directories) == ({0o600}, {0o700})

"""What a store starts from, and when it refuses to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from journal.engine import Limits
from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from storage.checkpoint import list_checkpoints
from storage.errors import (
    DataLost,
    RecoveryRefused,
)
from storage.store import Store
from storage.txn import Delete
from tests.unit.storage.replicas import options, running_store
from tests.unit.storage.stores import Moody, create, default

SILENT_S = Limits().hold_seconds + 1
CHECKPOINTS = Path("data/checkpoints/default")


def test_a_checkpoint_is_written_when_due_and_trims_behind_the_older_one(tmp_path: Path) -> None:
    async def run() -> None:
        clock, journal = SimulatedClock(), MemoryEngine()
        async with running_store(tmp_path, journal, clock, checkpoint_entries=10) as store:
            checkpoints = tmp_path / CHECKPOINTS
            for round_number in range(4):
                for number in range(10):
                    await create(store, f"p{round_number}-{number}")
                await store.checkpoint()
                found = list_checkpoints(checkpoints)
                assert len(found) == min(round_number + 1, 2)
                assert found[0].sequence == store.current_revision("pods")
            # The older one's own entry stays: recovery compares it.
            assert await journal.bounds("default") == (31, 41)

    asyncio.run(run())


@pytest.mark.parametrize("lost", ["nothing", "memory", "memory and newest", "all files"])
def test_recovery_ends_in_the_same_state(tmp_path: Path, lost: str) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await create(store, "before", node="n1")
            if lost != "all files":
                await store.checkpoint()
                await create(store, "between")
                await store.checkpoint()
            await create(store, "after")
            await store.commit((Delete("pods", "default", "before"),), 5)
            expected = default(store).state_hash()
        if lost != "nothing":
            shutil.rmtree(tmp_path / "memory")
        if lost == "memory and newest":
            newest = list_checkpoints(tmp_path / CHECKPOINTS)[0].path
            newest.write_bytes(newest.read_bytes()[:-4096] + bytes(4096))
        async with running_store(tmp_path, journal) as store:
            source = store.status()["default"]["recovered_from"]
            assert source == {"nothing": "memory", "all files": "log"}.get(lost, "checkpoint")
            assert default(store).state_hash() == expected
            await create(store, "more")

    asyncio.run(run())


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64] + bytes(64))


def _names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())


def test_checkpoints_damaged_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    """A damaged one must not count as the second: the log would be trimmed on its strength."""

    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            for name in ("first", "second"):
                await create(store, name)
                await store.checkpoint()
        intact = list_checkpoints(tmp_path / CHECKPOINTS)[1]
        for name in ("third", "fourth", "fifth"):
            damaged = list_checkpoints(tmp_path / CHECKPOINTS)[0].path
            _damage(damaged)
            shutil.rmtree(tmp_path / "memory")
            async with running_store(tmp_path, journal) as store:
                assert store.status()["default"]["recovered_from"] == "checkpoint"
                assert store.status()["default"]["checkpoint"] == intact.sequence
                assert _names(tmp_path).count(damaged.name + ".damaged") == 1
                await create(store, name)
                await store.checkpoint()
                assert (await journal.bounds("default"))[0] == intact.sequence
            assert intact in list_checkpoints(tmp_path / CHECKPOINTS)
            assert len([name for name in _names(tmp_path) if name.endswith(".damaged")]) == 1
            assert len(_names(tmp_path)) == 3

    asyncio.run(run())


def test_the_log_is_kept_where_it_stood_in_for_damaged_checkpoints(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await create(store, "web")
            await store.checkpoint()
        _damage(list_checkpoints(tmp_path / CHECKPOINTS)[0].path)
        shutil.rmtree(tmp_path / "memory")
        async with running_store(tmp_path, journal) as store:
            assert store.status()["default"]["recovered_from"] == "log"
            await create(store, "more")
            await store.checkpoint()
            assert (await journal.bounds("default"))[0] == 1

    asyncio.run(run())


def test_checkpoints_that_nothing_stands_in_for_stay_where_they_are(tmp_path: Path) -> None:
    """What reads badly today may be read tomorrow, or be brought back by hand."""

    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            for name in ("first", "second"):
                await create(store, name)
                await store.checkpoint()
        before = _names(tmp_path)
        contents = [one.path.read_bytes() for one in list_checkpoints(tmp_path / CHECKPOINTS)]
        for one in list_checkpoints(tmp_path / CHECKPOINTS):
            _damage(one.path)
        shutil.rmtree(tmp_path / "memory")
        with pytest.raises(DataLost):
            await Store(journal, options(tmp_path)).start()
        assert _names(tmp_path) == before
        for one, content in zip(list_checkpoints(tmp_path / CHECKPOINTS), contents, strict=True):
            one.path.write_bytes(content)
        async with running_store(tmp_path, journal) as store:
            assert store.get("pods", "default", "second") is not None

    asyncio.run(run())


def test_a_damaged_environment_is_rebuilt(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await create(store, "web")
            expected = default(store).state_hash()
        data = tmp_path / "memory/default/data.mdb"
        for damaged in (bytes(8192), data.read_bytes()[:12288]):
            data.write_bytes(damaged)
            async with running_store(tmp_path, journal) as store:
                assert store.status()["default"]["recovered_from"] == "log"
                assert default(store).state_hash() == expected

    asyncio.run(run())


def test_files_from_before_the_machine_was_started_are_not_trusted(tmp_path: Path) -> None:
    """They were never synced: where they are not on tmpfs, pages of any age may be among them."""

    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await create(store, "web")
            await store.checkpoint()
            await create(store, "later")
            expected = default(store).state_hash()
        boot_id = tmp_path / "memory/default/boot_id"
        boot_id.write_text("that of another start")
        for source in ("checkpoint", "memory"):
            async with running_store(tmp_path, journal) as store:
                assert store.status()["default"]["recovered_from"] == source
                assert default(store).state_hash() == expected
        boot_id.unlink()
        shutil.rmtree(tmp_path / CHECKPOINTS)
        for source in ("log", "memory"):
            async with running_store(tmp_path, journal) as store:
                assert store.status()["default"]["recovered_from"] == source
                assert default(store).state_hash() == expected

    asyncio.run(run())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"pods": ("pods",)}),
        ({"pods": ("pods",)}, {}),
        ({"pods": ("pods",)}, {"mine": ("pods",)}),
    ],
)
def test_objects_do_not_vanish_by_another_map_of_partitions(
    tmp_path: Path, before: dict[str, tuple[str, ...]], after: dict[str, tuple[str, ...]]
) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal, partitions=before) as store:
            await create(store, "web")
        with pytest.raises(RecoveryRefused, match="pods was in partition"):
            await Store(journal, options(tmp_path, partitions=after)).start()
        # Said in another way, it is the same map.
        same = before | {"default": ("x",)}
        async with running_store(tmp_path, journal, partitions=same) as store:
            assert store.get("pods", "default", "web") is not None

    asyncio.run(run())


def test_a_wiped_journal_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await create(store, "web")
            await store.checkpoint()
        with pytest.raises(RecoveryRefused, match=r"ends at 0, but .* applied 2: .*wiped"):
            await Store(MemoryEngine(), options(tmp_path)).start()
        shutil.rmtree(tmp_path / "memory")
        with pytest.raises(RecoveryRefused, match="there is a checkpoint"):
            await Store(MemoryEngine(), options(tmp_path)).start()
        async with running_store(tmp_path, journal) as store:
            assert store.get("pods", "default", "web") is not None

    asyncio.run(run())


@pytest.mark.parametrize("memory_lost", [False, True])
def test_the_journal_of_another_cluster_is_refused(tmp_path: Path, *, memory_lost: bool) -> None:
    async def run() -> None:
        ours, other = MemoryEngine(), MemoryEngine()
        async with running_store(tmp_path / "ours", ours) as store:
            await create(store, "web")
            await store.checkpoint()
        async with running_store(tmp_path / "other", other) as store:
            for number in range(5):
                await create(store, f"p{number}")
        if memory_lost:
            shutil.rmtree(tmp_path / "ours/memory")
        with pytest.raises(RecoveryRefused, match="belong to different clusters"):
            await Store(other, options(tmp_path / "ours")).start()

    asyncio.run(run())


def test_a_log_that_begins_too_late_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        journal = MemoryEngine(clock)
        async with running_store(tmp_path, journal) as store:
            await create(store, "a")
            async with running_store(tmp_path / "ahead", journal) as ahead:
                for number in range(5):
                    await create(ahead, f"p{number}")
                await store.fresh("pods", 5)
        await clock.advance(SILENT_S)
        await journal.trim("default", 5)
        with pytest.raises(DataLost, match="begins at 5"):
            await Store(journal, options(tmp_path / "new")).start()
        async with running_store(tmp_path, journal) as store:
            assert store.count("pods") == 6

    asyncio.run(run())


def test_a_replica_away_for_too_long_takes_a_newer_checkpoint(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        journal = MemoryEngine(clock)
        async with running_store(tmp_path, journal) as store:
            await create(store, "a")
        async with running_store(tmp_path / "other", journal) as other:
            for number in range(5):
                await create(other, f"p{number}")
            await other.checkpoint()
            expected = default(other).state_hash()
        await clock.advance(SILENT_S)
        await journal.trim("default", 7)
        shutil.copytree(tmp_path / "other" / CHECKPOINTS, tmp_path / CHECKPOINTS)
        async with running_store(tmp_path, journal) as store:
            assert store.status()["default"]["recovered_from"] == "checkpoint"
            assert default(store).state_hash() == expected

    asyncio.run(run())


def test_ready_only_when_caught_up(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            await create(store, "a")
        shutil.rmtree(tmp_path / "memory")
        journal.answers.clear()
        store = Store(journal, options(tmp_path))
        await store.start()
        assert not store.ready
        journal.answers.set()
        await store.wait_ready(5)
        assert default(store).ready
        assert store.count("pods") == 1
        await store.stop()

    asyncio.run(run())

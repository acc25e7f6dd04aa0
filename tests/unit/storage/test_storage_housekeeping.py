"""What a partition does by itself: expiry and compaction."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from storage.housekeeping import Retention
from storage.scan import Query
from storage.store import Store
from storage.txn import ANY, Compact, Put
from storage.watcher import Scope
from tests.unit.storage.replicas import drain, put, running_store
from tests.unit.storage.stores import create, default


def test_expired_objects_are_deleted_and_renewed_ones_are_not(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(tmp_path, MemoryEngine(clock), clock) as store:
            soon = clock.now_ms() + 5_000
            for number in range(600):
                await store.commit((put(f"p{number}", expires_at_ms=soon),), 5)
            await store.commit((put("p1", expires_at_ms=soon + 60_000),), 5)
            await store.commit((put("p2"),), 5)
            await clock.advance(4)
            assert store.count("pods") == 600
            gone = store.watch(Scope("pods", None, "p3"), from_revision=602)
            await clock.advance(2)
            (event,) = await gone.next_batch(5)
            assert event.kind.name == "DELETE"
            await until_count(store, 2)
            assert [record.name for record in drain(store.scan(Query("pods")))] == ["p1", "p2"]

    asyncio.run(run())


async def until_count(store: Store, count: int) -> None:
    """Wait, event by event, until there are `count` pods."""
    watcher = store.watch(Scope("pods"), from_revision=store.current_revision("pods"))
    while store.count("pods") != count:
        assert await watcher.next_batch(10), "nothing happens any more"
    watcher.close()


def test_history_older_than_its_age_is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(
            tmp_path, MemoryEngine(clock), clock, retention=Retention(seconds=60)
        ) as store:
            for number in range(10):
                await create(store, f"old{number}")
            await clock.advance(50)
            young = await create(store, "young")
            await clock.advance(9)
            assert store.compact_revision("pods") == 0
            await clock.advance(3)
            await store.wait_for("pods", young.revision + 1, 5)
            assert store.compact_revision("pods") == young.revision - 1
            assert store.status()["default"]["changes"] == 1

    asyncio.run(run())


def test_a_clock_that_jumps_takes_no_history_away(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(
            tmp_path, MemoryEngine(clock), clock, retention=Retention(seconds=60)
        ) as store:
            made = await create(store, "young")
            for hours in (5, -9):
                clock.set_wall(clock.now_s() + hours * 3600)
                await clock.advance(20)
                assert store.compact_revision("pods") == 0
            await clock.advance(22)
            await store.wait_for("pods", made.revision + 1, 5)
            assert store.compact_revision("pods") == made.revision

    asyncio.run(run())


def test_history_beyond_its_length_is_dropped_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.housekeeping.STEP_CHANGES", 10)

    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(
            tmp_path, MemoryEngine(clock), clock, retention=Retention(changes_max=7)
        ) as store:
            for number in range(35):
                await create(store, f"p{number}")
            await clock.advance(1)
            # 28 to drop, ten at a time.
            await store.wait_for("pods", 36 + 3, 5)
            assert store.status()["default"]["changes"] == 7
            assert store.compact_revision("pods") == 29
            await clock.advance(5)
            assert store.current_revision("pods") == 39

    asyncio.run(run())


def test_history_beyond_its_bytes_is_dropped_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.housekeeping.STEP_BYTES", 1 << 20)
    large = Put("pods", "a", "x", b"", b" " * 300_000, 0, ANY)

    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(
            tmp_path, MemoryEngine(clock), clock, retention=Retention(bytes_max=2 << 20)
        ) as store:
            for _ in range(21):
                await store.commit((large,), 5)
            assert store.compact_revision("pods") == 0
            await clock.advance(1)
            # Twenty superseded values are 6 MB, of which four fill a step.
            await store.wait_for("pods", 22 + 4, 5)
            txn = default(store).environment.read()
            assert default(store).environment.history_bytes(txn) <= 2 << 20
            txn.abort()
            assert store.status()["default"]["changes"] >= 6
            await clock.advance(5)
            assert store.current_revision("pods") == 26

    asyncio.run(run())


def test_housekeeping_of_two_replicas_does_not_fight(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        journal, keep = MemoryEngine(clock), Retention(changes_max=3)
        async with (
            running_store(tmp_path / "1", journal, clock, retention=keep) as first,
            running_store(tmp_path / "2", journal, clock, retention=keep) as second,
        ):
            for number in range(9):
                await create(first, f"p{number}")
            await second.fresh("pods", 5)
            await clock.advance(2)
            await first.fresh("pods", 5)
            await second.fresh("pods", 5)
            assert first.compact_revision("pods") == second.compact_revision("pods") == 7
            assert first.status()["default"]["changes"] == 3
            await default(first).commit((Compact(2),), 5)
            assert first.compact_revision("pods") == 7

    asyncio.run(run())

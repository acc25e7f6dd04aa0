"""The store over a journal: commits, barriers, and what is told of failures."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from journal.errors import DeadlineExceeded, JournalError, JournalFull, RecordTooLarge, StreamClosed
from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from runtime.tasks import TaskCrashed
from storage import checkpointer
from storage.checkpointer import Checkpointer
from storage.errors import (
    CommitTimeout,
    JournalUnavailable,
    PartitionFailed,
    RevisionTimeout,
    StorageFull,
    TransactionTooLarge,
    WatcherClosed,
)
from storage.housekeeping import Housekeeper
from storage.journal_port import JournalPort
from storage.scan import Query
from storage.store import Store
from storage.txn import ABSENT, Committed, Rejected
from storage.waiters import SWEEP_SECONDS
from storage.watch_hub import WatchHub
from storage.watcher import Scope
from tests.unit.storage.replicas import drain, options, put, running_store
from tests.unit.storage.stores import Moody, create, default


def test_a_commit_returns_when_it_can_be_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_store(tmp_path, MemoryEngine()) as store:
            outcome = await create(store, "web")
            assert store.get("pods", "default", "web") == outcome.records[0]
            again = await store.commit((put("web", expected=ABSENT),), 5)
            assert again == Rejected(0, outcome.records[0])

    asyncio.run(run())


def test_an_empty_store_is_at_revision_one_and_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_store(tmp_path, MemoryEngine()) as store:
            assert store.current_revision("pods") == 1
            assert store.status()["default"]["identity"] != bytes(16).hex()

    asyncio.run(run())


def test_outcomes_find_their_callers_whichever_comes_first(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.push_first = True
            journal.answers.clear()
            outcomes = await asyncio.gather(*(create(store, f"p{n}") for n in range(20)))
            assert sorted(outcome.revision for outcome in outcomes) == list(range(2, 22))
            journal.answers.set()

    asyncio.run(run())


def test_two_replicas_agree_on_who_won(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with (
            running_store(tmp_path / "1", journal) as first,
            running_store(tmp_path / "2", journal) as second,
        ):
            outcomes = await asyncio.gather(
                *(
                    store.commit((put(f"p{number}", expected=ABSENT),), 5)
                    for number in range(10)
                    for store in (first, second)
                )
            )
            assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 10
            await first.fresh("pods", 5)
            await second.fresh("pods", 5)
            assert default(first).state_hash() == default(second).state_hash()

    asyncio.run(run())


def test_a_transaction_stays_within_a_partition(tmp_path: Path) -> None:
    async def run() -> None:
        partitions = {"pods": ("pods",), "default": ()}
        async with running_store(tmp_path, MemoryEngine(), partitions=partitions) as store:
            with pytest.raises(ValueError, match=r"spans partitions \['default', 'pods'\]"):
                await store.commit((put("a"), put("n", resource="nodes")), 5)
            outcome = await store.commit((put("n", resource="nodes"), put("m", resource="x")), 5)
            assert isinstance(outcome, Committed)
            assert store.current_revision("pods") == 1

    asyncio.run(run())


def test_a_fresh_read_sees_what_another_replica_acknowledged(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with (
            running_store(tmp_path / "1", journal) as writer,
            running_store(tmp_path / "2", journal) as reader,
        ):
            for number in range(10):
                outcome = await create(writer, f"p{number}")
                assert await reader.fresh("pods", 5) >= outcome.revision
                assert reader.get("pods", "default", f"p{number}") == outcome.records[0]

    asyncio.run(run())


def test_those_who_wait_together_share_one_question(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            before = journal.tails_asked
            journal.answers.clear()
            first = [asyncio.ensure_future(store.fresh("pods", 5)) for _ in range(50)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            late = [asyncio.ensure_future(store.fresh("pods", 5)) for _ in range(50)]
            await asyncio.sleep(0)
            assert journal.tails_asked == before + 1
            journal.answers.set()
            await asyncio.gather(*first, *late)
            # Those who came while it was under way could not trust its answer.
            assert journal.tails_asked == before + 2

    asyncio.run(run())


def test_waiting_for_a_revision_ends_with_it_or_in_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_store(tmp_path, MemoryEngine()) as store:
            waiting = asyncio.ensure_future(store.wait_for("pods", 3, 5))
            await create(store, "a")
            assert not waiting.done()
            await create(store, "b")
            await waiting
            with pytest.raises(RevisionTimeout) as caught:
                await store.wait_for("pods", 9, 0.01)
            assert (caught.value.revision, caught.value.current) == (9, 3)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (JournalFull("disk"), JournalUnavailable),
        (RecordTooLarge("big"), TransactionTooLarge),
        (StreamClosed("fsync"), CommitTimeout),
        (DeadlineExceeded("late"), CommitTimeout),
    ],
)
def test_a_refused_append_tells_whether_it_was_written(
    tmp_path: Path, refusal: JournalError, expected: type[Exception]
) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.refusal = refusal
            with pytest.raises(expected):
                await create(store, "web")
            await asyncio.sleep(2 * SWEEP_SECONDS)
            assert not default(store)._commits.under_way

    asyncio.run(run())


def test_a_commit_whose_caller_gave_up_is_applied_and_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.answers.clear()
            given_up = store.commit((put("web"),), 5)
            given_up.cancel()
            await asyncio.sleep(2 * SWEEP_SECONDS)
            assert not default(store)._commits.under_way
            journal.answers.set()
            await store.wait_for("pods", 2, 5)
            assert store.get("pods", "default", "web") is not None

    asyncio.run(run())


def test_a_commit_without_an_outcome_times_out_and_may_still_be_applied(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.answers.clear()
            with pytest.raises(CommitTimeout, match="may still come"):
                await store.commit((put("web"),), 0.01)
            assert not default(store)._commits.under_way
            journal.answers.set()
            await store.wait_for("pods", 2, 5)
            assert store.get("pods", "default", "web") is not None

    asyncio.run(run())


def test_a_journal_that_stays_away_is_reported_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        journal, clock = Moody(), SimulatedClock()
        async with running_store(tmp_path, journal, clock) as store:
            journal.connected = False
            await create(store, "patience")
            await clock.advance(3)
            with pytest.raises(JournalUnavailable, match="nothing was sent"):
                await create(store, "web")
            with pytest.raises(JournalUnavailable):
                await store.fresh("pods", 5)
            assert store.get("pods", "default", "patience") is not None
            journal.connected = True
            await create(store, "web")

    asyncio.run(run())


def test_a_second_absence_of_the_journal_is_waited_for_as_the_first(tmp_path: Path) -> None:
    async def run() -> None:
        clock, journal = SimulatedClock(), Moody()
        async with running_store(tmp_path, journal, clock) as store:
            journal.connected = False
            await create(store, "first")
            # It comes back and leaves again, and nobody asks in between.
            journal.connections += 1
            await clock.advance(60)
            await create(store, "second")
            await clock.advance(1.5)
            await create(store, "third")
            await clock.advance(1)
            with pytest.raises(JournalUnavailable, match="away"):
                await create(store, "fourth")

    asyncio.run(run())


def test_a_tail_that_cannot_be_told_is_no_barrier(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.answers.clear()
            with pytest.raises(JournalUnavailable, match="did not tell its tail within"):
                await store.fresh("pods", 0.01)
            journal.refusal = DeadlineExceeded("late")
            journal.answers.set()
            with pytest.raises(JournalUnavailable, match="did not tell its tail: late"):
                await store.fresh("pods", 5)

    asyncio.run(run())


def test_a_damaged_record_stops_its_partition_loudly_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        crashes: list[TaskCrashed] = []
        store = Store(
            journal,
            options(tmp_path, partitions={"pods": ("pods",), "default": ()}),
            on_crash=crashes.append,
        )
        async with store:
            await create(store, "a")
            watcher = store.watch(Scope("pods"), from_revision=2)
            barrier = asyncio.ensure_future(store.wait_for("pods", 50, 5))
            await journal.append("pods", [b"rubbish"], os.urandom(16))
            with pytest.raises(PartitionFailed, match="record 3: not a valid transaction"):
                await barrier
            with pytest.raises(WatcherClosed):
                await watcher.next_batch()
            with pytest.raises(PartitionFailed):
                await create(store, "b")
            assert not store.ready
            assert "record 3" in store.status()["pods"]["failure"]
            assert store.get("pods", "default", "a") is not None
            await create(store, "n", resource="nodes")
        assert len(crashes) == 1

    asyncio.run(run())
    assert "crashed" in caplog.text


def crash(*_: object) -> None:
    """Stand in for what must not fail, and does."""
    raise AssertionError("a broken invariant")


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (Housekeeper, "compaction_target"),
        (WatchHub, "catch_up"),
        (JournalPort, "tail"),
        (Checkpointer, "write"),
    ],
)
def test_a_partition_stops_loudly_whichever_of_its_tasks_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(tmp_path, MemoryEngine(), clock, checkpoint_entries=1) as store:
            await create(store, "web")
            watcher = store.watch(Scope("pods"), from_revision=2)
            store.watch(Scope("pods"), from_revision=1)
            monkeypatch.setattr(owner, step, crash)
            barrier = asyncio.ensure_future(store.fresh("pods", 5))
            await clock.advance(1)
            await asyncio.gather(barrier, return_exceptions=True)
            # The applier is cancelled with the others: nobody may wait for it.
            with pytest.raises(WatcherClosed):
                await watcher.next_batch()
            assert "a broken invariant" in store.status()["default"]["failure"]
            assert not store.ready
            with pytest.raises(PartitionFailed):
                await create(store, "late")
            with pytest.raises(PartitionFailed):
                await store.fresh("pods", 5)

    asyncio.run(run())


def test_a_checkpoint_that_finds_no_space_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def full(*_: object, **__: object) -> None:
        attempts.append(1)
        raise OSError(28, "No space left on device")

    async def at_once(work: Callable[[], object], _: object) -> object:
        return work()

    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(tmp_path, MemoryEngine(), clock, checkpoint_entries=1) as store:
            monkeypatch.setattr(checkpointer, "in_background", at_once)
            with monkeypatch.context() as patch:
                patch.setattr(checkpointer, "write_checkpoint", full)
                for _ in range(20):
                    await clock.advance(1)
                # It is due all the time, but copying everything costs: not once a second.
                assert len(attempts) == 1
                assert "No space" in store.status()["default"]["checkpoint_error"]
            await create(store, "web")
            for _ in range(20):
                await clock.advance(1)
            assert store.status()["default"]["checkpoint"] == 2
            assert store.status()["default"]["checkpoint_error"] == ""

    asyncio.run(run())


def test_waits_that_were_given_up_are_not_kept(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            partition = default(store)
            for _ in range(10):
                await asyncio.gather(
                    *(store.wait_for("pods", 10**9, 0.001) for _ in range(50)),
                    return_exceptions=True,
                )
            waiting = asyncio.ensure_future(store.wait_for("pods", 2, 5))
            await asyncio.sleep(0)
            assert len(partition._waiters) <= 100
            journal.answers.clear()
            for _ in range(10):
                await asyncio.gather(
                    *(store.fresh("pods", 0.001) for _ in range(50)), return_exceptions=True
                )
            assert len(partition._tail_check._gathering) <= 100
            journal.answers.set()
            await create(store, "web")
            await waiting

    asyncio.run(run())


def test_applying_pauses_while_there_is_no_space_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        async with running_store(tmp_path, MemoryEngine(), clock) as store:
            partition = default(store)
            apply = partition.apply

            def full(_entries: object) -> None:
                raise StorageFull("no space")

            monkeypatch.setattr(partition, "apply", full)
            waiting = asyncio.ensure_future(create(store, "web"))
            await clock.advance(2)
            assert not waiting.done()
            assert store.status()["default"]["failure"] == "no space"
            assert store.count("pods") == 0
            monkeypatch.setattr(partition, "apply", apply)
            await clock.advance(1)
            assert (await waiting).revision == 2
            assert store.status()["default"]["failure"] == ""

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "applying pauses" in caplog.text
    assert "applying goes on" in caplog.text


def test_stopping_answers_everyone_who_waits(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Moody()
        async with running_store(tmp_path, journal) as store:
            journal.answers.clear()
            watcher = store.watch(Scope("pods"), from_revision=1)
            waiting = [
                asyncio.ensure_future(create(store, "web")),
                asyncio.ensure_future(store.fresh("pods", 30)),
                asyncio.ensure_future(store.wait_for("pods", 9, 30)),
                asyncio.ensure_future(watcher.next_batch()),
            ]
            scan = store.scan(Query("pods"))
            await asyncio.sleep(0)
        kinds = [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)]
        assert kinds == [CommitTimeout, PartitionFailed, PartitionFailed, WatcherClosed]
        assert drain(scan) == []
        with pytest.raises(JournalUnavailable):
            store.get("pods", "default", "web")

    asyncio.run(run())

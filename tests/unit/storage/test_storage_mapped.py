"""A store that maps what another keeps promises what a store promises, whatever the keeper does."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from journal.errors import JournalFull
from journal.memory import MemoryEngine
from storage import mapped_partition
from storage.errors import (
    CommitTimeout,
    Compacted,
    JournalUnavailable,
    PartitionFailed,
    WatcherClosed,
)
from storage.mapped_store import MappedStore
from storage.scan import Query
from storage.txn import ABSENT, Check, Committed, Compact, Delete, Rejected
from storage.watcher import Scope, WatcherState
from tests.unit.storage.mapped import TIMEOUT_S, Keepers, keepers, mapped, mapping
from tests.unit.storage.replicas import (
    MappedReplica,
    Replica,
    begin_scan,
    body_at,
    drain,
    put,
)
from tests.unit.storage.stores import Moody, default

__all__ = ["keepers"]


async def create(store: MappedStore, name: str) -> Committed:
    outcome = await store.commit((put(name, expected=ABSENT),), 5)
    assert isinstance(outcome, Committed)
    return outcome


def test_a_commit_returns_when_it_can_be_read_here_and_at_the_keeper(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            outcome = await create(store, "a")
            record = store.get("pods", "default", "a")
            assert outcome.records == (record,)
            assert record is not None
            assert record.body == body_at(outcome.revision)
            assert keepers.store is not None
            assert keepers.store.get("pods", "default", "a") == record

    asyncio.run(scenario())


def test_a_refused_commit_tells_what_it_met(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            first = await create(store, "a")
            refused = await store.commit((put("b"), put("a", expected=ABSENT)), 5)
            assert refused == Rejected(1, first.records[0])
            assert store.get("pods", "default", "b") is None
            gone = await store.commit((Delete("pods", "default", "c"),), 5)
            assert gone == Rejected(0, None)

    asyncio.run(scenario())


def test_outcomes_are_right_when_others_have_written_over_them_already(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            first = await create(store, "a")
            outcomes = await asyncio.gather(
                store.commit((put("a", expected=first.revision),), 5),
                store.commit((put("a", expected=first.revision),), 5),
                store.commit((put("a"),), 5),
                store.commit((Delete("pods", "default", "a"),), 5),
                store.commit((Check("pods", "default", "a", ABSENT), put("b")), 5),
                store.commit((put("a"),), 5),
            )
            won, lost, over, deleted, checked, last = outcomes
            assert isinstance(won, Committed)
            assert won.records[0] is not None
            assert won.records[0].create_revision == first.revision
            assert lost == Rejected(0, won.records[0])
            assert isinstance(over, Committed)
            assert isinstance(deleted, Committed)
            assert deleted.records[0] is not None
            assert deleted.records[0].mod_revision == deleted.revision
            assert isinstance(checked, Committed)
            assert checked.records[0] is None
            assert isinstance(last, Committed)
            assert last.records[0] is not None
            assert last.records[0].create_revision == last.revision

    asyncio.run(scenario())


def test_a_fresh_read_sees_what_the_keeper_acknowledged(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            assert keepers.store is not None
            for name in ("a", "b", "c"):
                await keepers.store.commit((put(name),), 5)
                await store.fresh("pods", 5)
                assert store.get("pods", "default", name) is not None
                assert store.count("pods") == len(drain(store.scan(Query("pods"))))

    asyncio.run(scenario())


def test_a_failed_append_fails_its_commit(keepers: Keepers) -> None:
    async def scenario() -> None:
        journal = Moody()
        keepers.journal = journal
        async with mapping(keepers) as store:
            journal.refusal = JournalFull("full")
            with pytest.raises(JournalUnavailable, match="nothing was written"):
                await store.commit((put("a"),), 5)
            assert not mapped(store)._commits.under_way

    asyncio.run(scenario())


def test_a_commit_survives_a_keeper_that_dies_and_comes_back(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            await create(store, "a")
            await keepers.stop()
            mapped(store).unmap()  # it closes what tests share
            commit = store.commit((put("b", expected=ABSENT),), 5)
            await keepers.start()
            outcome = await commit
            assert isinstance(outcome, Committed)
            assert store.get("pods", "default", "a") is not None
            assert outcome.records == (store.get("pods", "default", "b"),)

    asyncio.run(scenario())


def test_a_keeper_that_stays_away_is_reported_at_once(
    keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_partition, "AWAY_SECONDS_MAX", 1e-9)

    async def scenario() -> None:
        async with mapping(keepers) as store:
            partition = mapped(store)
            assert keepers.store is not None
            feed = keepers.store._running["default"].feed
            assert feed is not None
            for link in tuple(feed._links):
                link.abort()
            while partition._feed.connected:  # noqa: ASYNC110 - it ends within a few turns
                await asyncio.sleep(0)
            with pytest.raises(JournalUnavailable, match="storage process of default is away"):
                store.commit((put("a"),), 5)
            with pytest.raises(JournalUnavailable, match="storage process of default is away"):
                await store.fresh("pods", 5)
            assert store.get("pods", "default", "a") is None
            assert not store.ready
            async with asyncio.timeout(TIMEOUT_S):
                await partition._feed.greeted.wait()
            assert store.ready
            await create(store, "a")

    asyncio.run(scenario())


def test_a_keeper_that_stopped_for_good_is_told_of_and_read_from(keepers: Keepers) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            await create(store, "a")
            watcher = store.watch(Scope("pods"), from_revision=store.current_revision("pods"))
            assert keepers.store is not None
            keepers.store._running["default"].fail(PartitionFailed("a damaged record"))
            with pytest.raises(WatcherClosed):
                await watcher.next_batch(TIMEOUT_S)
            with pytest.raises(PartitionFailed, match="a damaged record"):
                store.commit((put("b"),), 5)
            assert "a damaged record" in store.status()["default"]["failure"]
            assert store.get("pods", "default", "a") is not None

    asyncio.run(scenario())


def test_stopping_answers_everyone_who_waits(keepers: Keepers) -> None:
    async def scenario() -> None:
        journal = Moody()
        keepers.journal = journal
        async with mapping(keepers) as store:
            journal.answers.clear()
            commit = store.commit((put("a"),), 60)
            fresh = asyncio.ensure_future(store.fresh("pods", 60))
            later = asyncio.ensure_future(store.wait_for("pods", 100, 60))
            await asyncio.sleep(0)
            await store.stop()
            for waiting in (commit, fresh, later):
                with pytest.raises((CommitTimeout, PartitionFailed)):
                    await waiting
            journal.answers.set()

    asyncio.run(scenario())


def test_commits_that_were_given_up_are_not_kept_for_a_keeper_that_is_away(
    keepers: Keepers,
) -> None:
    async def scenario() -> None:
        async with mapping(keepers) as store:
            partition = mapped(store)
            for number in range(1000):
                future = partition._loop.create_future()
                future.cancel()
                commit = partition._commits.begin(partition._loop, (put("a"),), 60)
                commit.future = future
                appended: asyncio.Future[int] = partition._loop.create_future()
                appended.set_result(10_000 + number)
                partition._on_appended(commit, appended)
            assert len(partition._acknowledged) < 200

    asyncio.run(scenario())


@contextlib.contextmanager
def _replicas(path: Path):  # type: ignore[no-untyped-def]
    replica = Replica(path)
    mapper = MappedReplica(replica)
    try:
        yield replica, mapper
    finally:
        mapper.close()
        replica.close()


def test_a_live_watcher_that_misses_many_events_gets_each_once_in_order(tmp_path: Path) -> None:
    with _replicas(tmp_path) as (replica, mapper):
        hub = mapper.partition.hub
        watcher = hub.watch(Scope("pods"), 0, 100_000)
        replica.run(put("first"))
        mapper.follow()
        assert watcher.state is WatcherState.SYNCED
        for _ in range(mapped_partition.ROWS_PER_STEP + 1):
            replica.run(put("x"))
        mapper.follow()
        assert watcher.state is WatcherState.CATCHING_UP
        while hub.catch_up():
            pass
        assert watcher.state is WatcherState.SYNCED
        replica.run(put("last"))
        mapper.follow()
        revisions = [event.revision for event in watcher.take()]
        assert revisions == list(range(1, replica.partition.revision + 1))


def test_a_live_watcher_whose_history_went_while_nobody_was_told_must_list_again(
    tmp_path: Path,
) -> None:
    with _replicas(tmp_path) as (replica, mapper):
        hub = mapper.partition.hub
        watcher = hub.watch(Scope("pods"), 0, 1000)
        for _ in range(3):
            replica.run(put("a"))
        replica.run(Compact(2))
        mapper.follow()
        while hub.catch_up():
            pass
        with pytest.raises(Compacted):
            watcher.take()


def test_a_scan_shows_its_revision_while_the_replica_moves_on_and_then_lets_go(
    tmp_path: Path,
) -> None:
    with _replicas(tmp_path) as (replica, mapper):
        partition = mapper.partition
        replica.run(put("a"))
        mapper.follow()
        old = partition.views.current
        scan = begin_scan(partition, Query("pods"))
        replica.run(put("b"))
        replica.run(Delete("pods", "default", "a"))
        mapper.follow()
        assert [record.name for record in drain(scan)] == ["a"]
        assert scan.revision == 1
        assert partition.views.current is not old
        assert partition.views._users == {}
        assert [record.name for record in drain(begin_scan(partition, Query("pods")))] == ["b"]


def test_readers_see_no_step_back_when_the_keeper_starts_from_an_older_state(
    tmp_path: Path,
) -> None:
    replica = Replica(tmp_path / "1")
    mapper = MappedReplica(replica)
    older = Replica(tmp_path / "2")
    for _ in range(3):
        replica.run(put("a"))
    mapper.follow()
    older.run(put("a"))
    mapper.map(older)
    assert mapper.partition.revision == 3
    found = mapper.partition.get("pods", "default", "a", None)
    assert found is not None
    assert found.mod_revision == 3
    watcher = mapper.partition.hub.watch(Scope("pods"), 3, 10)
    for _ in range(3):
        older.run(put("a"))
        mapper.follow()
    assert mapper.partition.revision == 4
    assert [event.revision for event in watcher.take()] == [4]
    mapper.close()
    older.close()
    replica.close()


def test_a_journal_is_never_read_by_a_mapper(keepers: Keepers) -> None:
    class Unreadable(MemoryEngine):
        """The same journal, to be appended to only."""

        def __init__(self, other: MemoryEngine) -> None:
            super().__init__()
            self._streams = other._streams

        def read(self, stream: str, from_sequence: int):  # type: ignore[no-untyped-def]
            raise AssertionError("a mapper reads the log")

    async def scenario() -> None:
        async with mapping(keepers, Unreadable(keepers.journal)) as store:
            await create(store, "a")
            assert await store.fresh("pods", 5) == store.current_revision("pods")
            assert keepers.store is not None
            assert default(keepers.store).revision == store.current_revision("pods")

    asyncio.run(scenario())

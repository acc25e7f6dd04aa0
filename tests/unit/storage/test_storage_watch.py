"""Watchers: whom an event reaches, catching up, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import catch_up
from storage.errors import Compacted, WatcherClosed, WatcherEvicted
from storage.event import EventKind
from storage.txn import ANY, Compact, Delete, Put
from storage.watch_hub import FULL_SECONDS_MAX
from storage.watcher import Scope, Watcher, WatcherState
from tests.unit.storage.replicas import Replica, body_at, put, record_of


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """Return an empty replica."""
    one = Replica(tmp_path / "replica", compressing=request.param)
    yield one
    one.close()


def watch(replica: Replica, scope: Scope, after: int | None = None, capacity: int = 100) -> Watcher:
    """Return a watcher from a revision, from now if None."""
    hub = replica.partition.hub
    return hub.watch(scope, hub.revision if after is None else after, capacity)


def state_of(watcher: Watcher) -> WatcherState:
    """Return a watcher's state; a call, as checkers take an attribute for unchanged."""
    return watcher.state


def revisions(watcher: Watcher) -> list[int]:
    """Take what a watcher holds."""
    return [event.revision for event in watcher.take()]


def catch_up_fully(replica: Replica) -> None:
    """Run steps until none has anything to do."""
    while replica.partition.hub.catch_up():
        pass


def test_an_event_reaches_only_whom_it_concerns(replica: Replica) -> None:
    watchers = {
        "all": Scope("pods"),
        "namespace": Scope("pods", "a"),
        "other namespace": Scope("pods", "b"),
        "object": Scope("pods", "a", "x"),
        "other object": Scope("pods", "a", "y"),
        "name anywhere": Scope("pods", None, "x"),
        "node": Scope("pods", None, None, ("spec.nodeName", "n1")),
        "node and namespace": Scope("pods", "a", None, ("spec.nodeName", "n1")),
        "node, other namespace": Scope("pods", "b", None, ("spec.nodeName", "n1")),
        "other node": Scope("pods", None, None, ("spec.nodeName", "n2")),
        "other resource": Scope("nodes"),
    }
    open_watchers = {name: watch(replica, scope) for name, scope in watchers.items()}
    replica.run(put("x", namespace="a", node="n1"))
    reached = {name for name, watcher in open_watchers.items() if revisions(watcher)}
    assert reached == {
        "all",
        "namespace",
        "object",
        "name anywhere",
        "node",
        "node and namespace",
    }


def test_a_move_between_field_values_reaches_both_once(replica: Replica) -> None:
    replica.run(put("x"))
    pending, n1, n2 = (
        watch(replica, Scope("pods", None, None, ("spec.nodeName", node)))
        for node in ("", "n1", "n2")
    )
    replica.run(put("x", node="n1"))
    assert (revisions(pending), revisions(n1), revisions(n2)) == ([2], [2], [])
    replica.run(put("x", node="n1", labels="a=b"))
    assert (revisions(pending), revisions(n1), revisions(n2)) == ([], [3], [])
    replica.run(Delete("pods", "default", "x"))
    assert (revisions(pending), revisions(n1), revisions(n2)) == ([], [4], [])


def test_all_watchers_get_the_same_event_object(replica: Replica) -> None:
    first, second = watch(replica, Scope("pods")), watch(replica, Scope("pods", "default"))
    replica.run(put("x"))
    (event,), (same,) = first.take(), second.take()
    assert event is same


def test_a_delete_shows_the_last_state_with_its_own_revision(replica: Replica) -> None:
    replica.run(put("x", labels="a=b"))
    live = watch(replica, Scope("pods"))
    replica.run(Delete("pods", "default", "x"))
    behind = watch(replica, Scope("pods"), after=1)
    catch_up_fully(replica)
    for watcher in (live, behind):
        (event,) = watcher.take()
        assert event.kind is EventKind.DELETE
        assert event.record.body == body_at(2)
        assert event.previous is not None
        assert event.previous.body == body_at(1)
        assert event.record.meta == event.previous.meta


def test_history_and_live_events_join_without_gap_or_repetition(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "ROWS_PER_STEP", 3)
    for number in range(10):
        replica.run(put(f"x{number % 4}"))
    watcher = watch(replica, Scope("pods"), after=2)
    seen = []
    for number in range(6):
        replica.partition.hub.catch_up()
        replica.run(put(f"x{number % 4}"))
        seen += revisions(watcher)
    catch_up_fully(replica)
    seen += revisions(watcher)
    assert state_of(watcher) is WatcherState.SYNCED
    assert seen == list(range(3, 17))


def test_one_walk_serves_all_who_are_behind(replica: Replica) -> None:
    for number in range(20):
        replica.run(put(f"x{number}"))
    hub = replica.partition.hub
    reads = []
    original = hub._behind._read_history
    hub._behind._read_history = lambda *args: reads.append(args) or original(*args)  # type: ignore[func-returns-value]
    watchers = [watch(replica, Scope("pods"), after=after) for after in (5, 9, 5, 15)]
    catch_up_fully(replica)
    assert len(reads) == 1
    assert [revisions(watcher)[0] for watcher in watchers] == [6, 10, 6, 16]


def test_who_lies_before_the_walk_waits_for_the_next(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "ROWS_PER_STEP", 4)
    for number in range(12):
        replica.run(put(f"x{number}"))
    first = watch(replica, Scope("pods"), after=4)
    replica.partition.hub.catch_up()
    earlier = watch(replica, Scope("pods"), after=1)
    catch_up_fully(replica)
    assert revisions(first) == list(range(5, 13))
    assert revisions(earlier) == list(range(2, 13))


def test_a_walk_takes_along_only_those_at_or_after_its_start(replica: Replica) -> None:
    for number in range(12):
        replica.run(put(f"x{number}"))
    watchers = [watch(replica, Scope("pods"), after=after) for after in (9, 5, 11)]
    catch_up_fully(replica)
    assert [revisions(watcher)[0] for watcher in watchers] == [10, 6, 12]


def test_many_join_some_at_a_time_and_miss_nothing(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "MEMBERS_PER_STEP", 2)
    replica.run(put("x"))
    watchers = [watch(replica, Scope("pods"), after=0) for _ in range(7)]
    for _ in range(10):
        replica.partition.hub.catch_up()
        replica.run(put("x"))
    catch_up_fully(replica)
    assert [revisions(watcher) for watcher in watchers] == [list(range(1, 12))] * 7


def test_a_watch_of_the_future_skips_what_comes_before_it(replica: Replica) -> None:
    watcher = watch(replica, Scope("pods"), after=3)
    for _ in range(5):
        replica.run(put("x"))
    assert revisions(watcher) == [4, 5]


def test_a_transaction_is_never_split_between_steps(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "ROWS_PER_STEP", 1)
    replica.run(put("a"), put("b"), put("c"))
    replica.run(put("d"))
    watcher = watch(replica, Scope("pods"), after=0)
    replica.partition.hub.catch_up()
    assert revisions(watcher) == [1, 1, 1]


def large(name: str) -> Put:
    """Return a put of a megabyte."""
    return Put("pods", "default", name, b"", b" " * 1_000_000, 0, ANY)


def test_a_step_through_large_objects_is_bounded_in_bytes(replica: Replica) -> None:
    for _ in range(12):
        replica.run(large("x"))
    watcher = watch(replica, Scope("pods"), after=0)
    replica.partition.hub.catch_up()
    assert revisions(watcher) == [1, 2, 3]
    catch_up_fully(replica)
    assert revisions(watcher) == list(range(4, 13))


def test_what_a_watcher_holds_is_bounded_in_bytes(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.watcher.HELD_BYTES_MAX", 3_000_000)
    monkeypatch.setattr("storage.watcher._LOOK_AFTER", 2)
    live = watch(replica, Scope("pods"))
    small = [watch(replica, Scope("pods", None, "small")) for _ in range(2)]
    for _ in range(6):
        replica.run(large("x"))
        replica.run(put("small"))
    with pytest.raises(WatcherEvicted):
        live.take()
    assert [revisions(watcher) for watcher in small] == [[2, 4, 6, 8, 10, 12]] * 2
    # One that is behind is given time instead, and gets everything piece by piece.
    behind = watch(replica, Scope("pods"), after=0)
    seen: list[int] = []
    while len(seen) < 12:
        catch_up_fully(replica)
        assert sum(len(event.record.body) for event in behind._pending) < 8_000_000
        taken = revisions(behind)
        assert taken
        seen += taken
    assert seen == list(range(1, 13))


def test_compaction_is_told_to_one_that_is_just_full(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "ROWS_PER_STEP", 2)
    monkeypatch.setattr(catch_up, "WALK_MEMBERS_MAX", 1)
    for _ in range(6):
        replica.run(put("x"))
    hub = replica.partition.hub
    full = watch(replica, Scope("pods"), after=0, capacity=2)
    other = watch(replica, Scope("pods"), after=5)
    hub.catch_up()
    assert len(full) == 2
    replica.run(Compact(4))
    catch_up_fully(replica)
    assert revisions(other) == [6]
    with pytest.raises(Compacted):
        full.take()


def test_a_compacted_revision_cannot_be_watched(replica: Replica) -> None:
    for _ in range(5):
        replica.run(put("x"))
    replica.run(Compact(4))
    with pytest.raises(Compacted):
        watch(replica, Scope("pods"), after=3)
    watcher = watch(replica, Scope("pods"), after=4)
    catch_up_fully(replica)
    assert revisions(watcher) == [5]


def test_compaction_overtaking_a_watcher_is_told_to_it(replica: Replica) -> None:
    for _ in range(5):
        replica.run(put("x"))
    watcher = watch(replica, Scope("pods"), after=1)
    replica.run(Compact(4))
    catch_up_fully(replica)
    with pytest.raises(Compacted):
        watcher.take()


def test_a_live_watcher_beyond_its_capacity_is_evicted_and_others_are_not(
    replica: Replica,
) -> None:
    slow = watch(replica, Scope("pods"), capacity=3)
    fast = watch(replica, Scope("pods"), capacity=100)
    for _ in range(3):
        replica.run(put("x"))
    assert state_of(slow) is WatcherState.SYNCED
    replica.apply_records([record_of(put("x")), record_of(put("x"))])
    assert state_of(slow) is WatcherState.EVICTED
    with pytest.raises(WatcherEvicted):
        slow.take()
    assert revisions(fast) == [1, 2, 3, 4, 5]
    assert replica.partition.hub.evictions == 1
    assert len(replica.partition.hub) == 1


def test_one_that_is_behind_and_full_waits_instead(replica: Replica) -> None:
    for _ in range(6):
        replica.run(put("x"))
    watcher = watch(replica, Scope("pods"), after=0, capacity=2)
    hub = replica.partition.hub
    assert not hub.catch_up()
    assert state_of(watcher) is WatcherState.CATCHING_UP
    replica.run(put("x"))
    assert revisions(watcher) == [1, 2, 3, 4, 5, 6]
    hub.catch_up()
    assert revisions(watcher) == [7]
    assert state_of(watcher) is WatcherState.SYNCED


def test_one_that_stays_full_is_evicted_in_the_end(replica: Replica) -> None:
    for _ in range(6):
        replica.run(put("x"))
    watcher = watch(replica, Scope("pods"), after=0, capacity=2)
    hub = replica.partition.hub
    hub.catch_up()
    hub.sweep()
    assert state_of(watcher) is WatcherState.CATCHING_UP
    replica.clock._elapsed_s += FULL_SECONDS_MAX
    hub.sweep()
    with pytest.raises(WatcherEvicted):
        watcher.take()


def test_progress_never_passes_an_event_not_taken(replica: Replica) -> None:
    watcher = watch(replica, Scope("pods", "a"))
    replica.run(put("x", namespace="b"))
    assert watcher.progress_revision == 1
    replica.run(put("x", namespace="a"))
    replica.run(put("x", namespace="b"))
    assert watcher.progress_revision == 1
    watcher.take()
    assert watcher.progress_revision == 3


@pytest.mark.parametrize("end", ["evicted", "compacted", "closed"])
def test_progress_of_one_that_has_ended_leaves_out_what_was_dropped(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A bookmark sent then would have the client resume behind events it never got."""
    monkeypatch.setattr(catch_up, "ROWS_PER_STEP", 2)
    for _ in range(6):
        replica.run(put("x"))
    watcher = watch(replica, Scope("pods"), after=0, capacity=8)
    hub = replica.partition.hub
    hub.catch_up()
    assert revisions(watcher) == [1, 2]
    hub.catch_up()
    match end:
        case "evicted":
            catch_up_fully(replica)
            replica.apply_records([record_of(put("x")) for _ in range(9)])
            assert state_of(watcher) is WatcherState.EVICTED
        case "compacted":
            replica.run(Compact(6))
            catch_up_fully(replica)
            assert state_of(watcher) is WatcherState.EVICTED
        case _:
            watcher.close()
    assert watcher.progress_revision == 2


def test_a_batch_of_events_wakes_a_reader_once(replica: Replica) -> None:
    async def run() -> None:
        watcher = watch(replica, Scope("pods"))
        reader = asyncio.ensure_future(watcher.next_batch())
        await asyncio.sleep(0)
        replica.apply_records([record_of(put("x")) for _ in range(5)])
        assert [event.revision for event in await reader] == [1, 2, 3, 4, 5]
        assert await watcher.next_batch(timeout_s=0) == []

    asyncio.run(run())


def test_closing_ends_a_waiting_reader(replica: Replica) -> None:
    async def run() -> None:
        watcher = watch(replica, Scope("pods"))
        reader = asyncio.ensure_future(watcher.next_batch())
        await asyncio.sleep(0)
        watcher.close()
        watcher.close()
        with pytest.raises(WatcherClosed):
            await reader
        assert len(replica.partition.hub) == 0

    asyncio.run(run())


def test_the_background_loop_serves_whoever_comes_late(replica: Replica) -> None:
    async def run() -> None:
        for _ in range(4):
            replica.run(put("x"))
        hub = replica.partition.hub
        loop = asyncio.ensure_future(hub.run_catch_up())
        for after in (0, 2):
            watcher = watch(replica, Scope("pods"), after=after, capacity=1)
            events = await watcher.next_batch(timeout_s=5)
            assert [event.revision for event in events] == list(range(after + 1, 5))
        loop.cancel()

    asyncio.run(run())

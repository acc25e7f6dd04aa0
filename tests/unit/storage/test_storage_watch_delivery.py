"""Events passed on where they are dispatched, and what is left of a watcher when it ends."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import watch_hub
from storage.errors import WatcherClosed
from storage.event import Event
from storage.watcher import Scope
from tests.unit.storage.replicas import Replica, put

MANY = 4 * watch_hub.WAKES_PER_LOOK


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return an empty replica."""
    one = Replica(tmp_path / "replica")
    yield one
    one.close()


class Sink:
    """Takes events, or not, as told."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.takes = True
        self._taken_more = asyncio.Event()

    def __call__(self, events: list[Event]) -> bool:
        if self.takes:
            self.taken.append([event.revision for event in events])
            self._taken_more.set()
        return self.takes

    async def has(self, count: int) -> None:
        """Return when so many events were taken."""
        while sum(map(len, self.taken)) < count:
            self._taken_more.clear()
            await self._taken_more.wait()


def test_events_are_passed_on_without_waking_the_reader(replica: Replica) -> None:
    async def run() -> None:
        hub, sink = replica.partition.hub, Sink()
        watcher = hub.watch(Scope("pods"), 0, 10)
        reader = asyncio.ensure_future(watcher.next_batch(None, sink))
        await asyncio.sleep(0)
        replica.run(put("a"))
        replica.run(put("b"))
        assert sink.taken == [[1], [2]]
        assert (len(watcher), watcher.progress_revision) == (0, 2)
        await asyncio.sleep(0)
        assert not reader.done()
        watcher.close()
        with pytest.raises(WatcherClosed):
            await reader

    asyncio.run(run())


def test_what_is_not_taken_wakes_the_reader_and_nothing_is_lost(replica: Replica) -> None:
    async def run() -> None:
        sink = Sink()
        watcher = replica.partition.hub.watch(Scope("pods"), 0, 10)
        reader = asyncio.ensure_future(watcher.next_batch(None, sink))
        await asyncio.sleep(0)
        replica.run(put("a"))
        sink.takes = False
        replica.run(put("b"))
        # Between its being woken and its running, events are left to the reader.
        sink.takes = True
        replica.run(put("c"))
        assert [event.revision for event in await reader] == [2, 3]
        assert sink.taken == [[1]]

    asyncio.run(run())


def test_a_failure_of_one_sink_is_its_readers_and_others_get_theirs(replica: Replica) -> None:
    async def run() -> None:
        def fail(_: list[Event]) -> bool:
            raise ValueError("not encodable")

        hub, sink = replica.partition.hub, Sink()
        readers = [
            asyncio.ensure_future(hub.watch(Scope("pods"), 0, 10).next_batch(None, deliver))
            for deliver in (fail, sink)
        ]
        await asyncio.sleep(0)
        replica.run(put("a"))
        assert sink.taken == [[1]]
        with pytest.raises(ValueError, match="not encodable"):
            await readers[0]
        hub.close()
        await asyncio.gather(*readers, return_exceptions=True)

    asyncio.run(run())


def test_a_long_round_lets_others_run_in_between(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_hub, "TURN_SECONDS_MAX", -1.0)

    async def run() -> None:
        hub, sink = replica.partition.hub, Sink()
        loop = asyncio.ensure_future(hub.run_catch_up())
        readers = [
            asyncio.ensure_future(hub.watch(Scope("pods"), 0, 10).next_batch(None, sink))
            for _ in range(MANY)
        ]
        await asyncio.sleep(0)
        replica.run(put("a"))
        turns = 0
        while len(sink.taken) < MANY:
            assert len(sink.taken) == (turns + 1) * watch_hub.WAKES_PER_LOOK
            replica.run(put("b"))  # what comes meanwhile begins no other round
            await asyncio.sleep(0)
            turns += 1
        async with asyncio.timeout(20):
            await sink.has(MANY * (turns + 1))
        hub.close()
        loop.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    asyncio.run(run())


def test_what_read_a_watcher_that_ended_is_free_without_the_garbage_collector(
    replica: Replica,
) -> None:
    left: list[weakref.ref[Sink]] = []

    async def read() -> None:
        watcher, local = replica.partition.hub.watch(Scope("pods"), 0, 10), Sink()
        left.append(weakref.ref(local))
        asyncio.get_running_loop().call_soon(watcher.close)
        try:
            await watcher.next_batch(3600, local)
        except WatcherClosed:
            return

    gc.disable()
    try:
        asyncio.run(read())
        assert left[0]() is None
    finally:
        gc.enable()


def test_those_interested_in_an_object_are_counted_by_what_they_watch(replica: Replica) -> None:
    hub = replica.partition.hub
    scopes = [
        Scope("pods"),
        Scope("pods"),
        Scope("pods", "a"),
        Scope("pods", "b"),
        Scope("pods", "a", "x"),
        Scope("pods", None, "x"),
        Scope("pods", None, None, ("spec.nodeName", "n1")),
        Scope("secrets"),
    ]
    watchers = [hub.watch(scope, 0, 10) for scope in scopes]
    assert hub.interested_count("pods", "a", "x") == 5
    assert hub.interested_count("pods", "a", "y") == 3
    assert hub.interested_count("pods", "c", "y") == 2
    assert hub.interested_count("nodes", "", "x") == 0
    for watcher in watchers:
        watcher.close()
    assert hub.interested_count("pods", "a", "x") == 0

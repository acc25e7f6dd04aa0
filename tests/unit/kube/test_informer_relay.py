"""Several sinks of one watch: each is told all there is and every change, whenever it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from kube.informers.changes import Change, Told
from kube.informers.relay import Relay
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from runtime.turns import Turns

Json = dict[str, Any]
END = {"k8s.io/initial-events-end": "true"}


class _Server:
    """Tells what there is by each watch, and what a test says to the last one."""

    def __init__(self, *names: str) -> None:
        self.clock = SystemClock()
        self.names = list(names)
        self.begun = 0
        self.revision = 0
        self._news: asyncio.Queue[Json] = asyncio.Queue()

    def pause_s(self, _failures: int) -> float:
        return 0.0

    def say(self, kind: str, name: str) -> None:
        """Tell of a change."""
        (self.names.append if kind == "ADDED" else self.names.remove)(name)
        self._news.put_nowait(self._event(kind, name))

    def _event(self, kind: str, name: str) -> Json:
        self.revision += 1
        return {"type": kind, "object": {"metadata": self._metadata(name)}}

    def _metadata(self, name: str) -> Json:
        return {"name": name, "resourceVersion": str(self.revision)}

    @asynccontextmanager
    async def stream(self, _path: str, query: Json, **_: Any) -> AsyncIterator[Any]:
        assert "sendInitialEvents" in query
        self.begun += 1
        news = self._news = asyncio.Queue()

        async def batches() -> AsyncIterator[list[bytes]]:
            told = [self._event("ADDED", name) for name in self.names]
            metadata = {"resourceVersion": str(self.revision), "annotations": END}
            told.append({"type": "BOOKMARK", "object": {"metadata": metadata}})
            yield [orjson.dumps(one) for one in told]
            while True:
                yield [orjson.dumps(await news.get())]

        yield batches()


class _Sink:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._old: set[str] = set()

    def begin(self) -> None:
        self._old = set(self.names)

    def take(self, events: Sequence[Told]) -> None:
        for change, obj, _ in events:
            name = obj["metadata"]["name"]
            self._old.discard(name)
            if change is Change.DELETED:
                self.names.discard(name)
            else:
                self.names.add(name)

    def sweep(self) -> Iterator[None]:
        self.names -= self._old
        yield


async def _settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_who_comes_later_is_told_all_and_who_goes_nothing_more() -> None:
    async def run() -> None:
        server: Any = _Server("a", "b")
        relay, first, second = Relay(server, "/leases", Turns(1)), _Sink(), _Sink()
        async with TaskScope("test") as scope:
            told = relay.join(first)
            relay.start(scope)
            relay.start(scope)
            await asyncio.wait_for(told.wait(), 5)
            server.say("ADDED", "c")
            await _settled()
            assert (server.begun, first.names) == (1, {"a", "b", "c"})

            told = relay.join(second)
            assert not told.is_set()
            await asyncio.wait_for(told.wait(), 5)
            assert (server.begun, second.names) == (2, {"a", "b", "c"})
            server.say("DELETED", "a")
            await _settled()
            assert first.names == second.names == {"b", "c"}

            relay.leave(first)
            server.say("ADDED", "d")
            await _settled()
            assert (first.names, second.names) == ({"b", "c"}, {"b", "c", "d"})
            await scope.stop()

    asyncio.run(run())


def test_two_that_come_at_once_are_told_together() -> None:
    async def run() -> None:
        server: Any = _Server("a")
        relay, sinks = Relay(server, "/leases", Turns(1)), [_Sink(), _Sink(), _Sink()]
        async with TaskScope("test") as scope:
            relay.join(sinks[0])
            relay.start(scope)
            await _settled()
            for told in [relay.join(one) for one in sinks[1:]]:
                await asyncio.wait_for(told.wait(), 5)
            await _settled()
            assert [one.names for one in sinks] == [{"a"}] * 3
            assert server.begun == 2
            await scope.stop()

    asyncio.run(run())

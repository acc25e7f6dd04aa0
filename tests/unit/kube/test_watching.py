"""Watching goes on after every refusal, and the slower the more there are in a row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from kube.client import Unreachable
from kube.status import StatusError
from kube.watching import Change, watch

Batches = Callable[[int], list[dict[str, Any]]]


class _Ended(Exception):
    """The test has seen enough."""


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class _Server:
    """Lists one object, and answers watches as the test has it; stands in for a client, too."""

    def __init__(self, answer: Batches, watches_max: int) -> None:
        self.clock = _Clock()
        self.lists = 0
        self.watches = 0
        self.failures: list[int] = []
        self._answer = answer
        self._watches_max = watches_max

    def pause_s(self, failures: int) -> float:
        self.failures.append(failures)
        return 0.05

    async def request(self, _method: str, _path: str, **_more: Any) -> dict[str, Any]:
        self.lists += 1
        return {"metadata": {"resourceVersion": "7"}, "items": [_object("listed", "5")]}

    @asynccontextmanager
    async def stream(self, *_path: Any, **_more: Any) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        self.watches += 1
        if self.watches > self._watches_max:
            raise _Ended
        events = self._answer(self.watches)

        async def batches() -> AsyncIterator[list[bytes]]:
            yield [orjson.dumps(event) for event in events]

        yield batches()


def _object(name: str, revision: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": revision}}


def _expired(_number: int) -> list[dict[str, Any]]:
    raise StatusError(410, "Expired", "too old resource version")


async def _all(server: _Server) -> list[tuple[Change, str]]:
    seen: list[tuple[Change, str]] = []
    client: Any = server
    with suppress(_Ended):
        async for change, obj in watch(client, "/api/v1/pods"):
            seen.append((change, obj.get("metadata", {}).get("name", "")))
    assert server.watches > server._watches_max
    return seen


def test_lists_without_a_watch_are_further_and_further_apart() -> None:
    server = _Server(_expired, watches_max=5)
    seen = asyncio.run(_all(server))
    assert server.lists == 6
    assert server.failures == [1, 2, 3, 4, 5]
    # An object that did not change is told once only.
    assert seen == [(Change.ADDED, "listed"), *[(Change.SYNCED, "")] * 6]


def test_a_watch_that_tells_something_was_no_failure() -> None:
    def answer(number: int) -> list[dict[str, Any]]:
        if number == 3:
            return [{"type": "MODIFIED", "object": _object("listed", "9")}]
        raise Unreachable("refused")

    server = _Server(answer, watches_max=4)
    seen = asyncio.run(_all(server))
    assert server.failures == [1, 2, 1, 2]
    assert server.lists == 1
    assert seen == [(Change.ADDED, "listed"), (Change.SYNCED, ""), (Change.MODIFIED, "listed")]

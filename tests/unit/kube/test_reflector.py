"""Listing and watching: nothing is missed, and every refusal is answered with more patience."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest

from kube.client import Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.informers.reflector import Reflector
from kube.status import StatusError

Json = dict[str, Any]
Answer = Callable[[Json], list[Json]]
"""From a watch's query to the events that it is told before its connection ends."""


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
    """Answers lists and watches as the test has it; stands in for a client, too."""

    def __init__(self, *answers: Answer, pages: list[Json] | None = None) -> None:
        self.clock = _Clock()
        self.asked: list[Json] = []
        self.lists: list[Json] = []
        self.failures: list[int] = []
        self._answers = list(answers)
        self._pages = pages or []

    def pause_s(self, failures: int) -> float:
        self.failures.append(failures)
        return 0.05

    async def request(self, _method: str, _path: str, *, query: Json, **_more: Any) -> Json:
        self.lists.append(dict(query))
        return self._pages.pop(0)

    @asynccontextmanager
    async def stream(
        self, _path: str, query: Json, **_more: Any
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        if not self._answers:
            raise _Ended
        self.asked.append(query)
        events = self._answers.pop(0)(query)

        async def batches() -> AsyncIterator[list[bytes]]:
            yield [orjson.dumps(event) for event in events]

        yield batches()


def _object(name: str, revision: int, uid: str = "") -> Json:
    metadata = {"name": name, "namespace": "n", "uid": uid or name}
    return {"kind": "Pod", "metadata": {**metadata, "resourceVersion": str(revision)}}


def _told(kind: str, *more: Any) -> Json:
    return {"type": kind, "object": _object(*more)}


def _bookmark(revision: int, *, is_end: bool = False) -> Json:
    metadata: Json = {"resourceVersion": str(revision)}
    if is_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}


def _whole(revision: int, *objects: tuple[Any, ...]) -> Answer:
    """Return a watch that tells all there is, then ends."""
    events = [_told("ADDED", *one) for one in objects]
    return lambda _query: [*events, _bookmark(revision, is_end=True)]


def _then(*events: Json) -> Answer:
    return lambda _query: list(events)


def _refusing(error: Exception) -> Answer:
    def answer(_query: Json) -> list[Json]:
        raise error

    return answer


EXPIRED = StatusError(410, "Expired", "too old resource version")
NO_STREAMING = StatusError(422, "Invalid", "sendInitialEvents is forbidden for watch")


def _run(server: _Server, **more: Any) -> tuple[Informer, list[tuple[Change, str]], list[Delta]]:
    """Run an informer until the server has no more answers."""
    deltas: list[Delta] = []
    client: Any = server

    async def run() -> Informer:
        made: list[Reflector] = []

        def make(sink: Any) -> Reflector:
            made.append(Reflector(client, "/api/v1/pods", sink, **more))
            return made[0]

        informer = Informer(make, "pods")
        informer.on_changes(deltas.extend)
        with suppress(_Ended):
            await made[0].run()
        return informer

    informer = asyncio.run(run())
    informer.store.check()
    return informer, [(one.change, one.key) for one in deltas], deltas


def test_all_there_is_comes_by_a_stream_that_then_goes_on() -> None:
    def answer(query: Json) -> list[Json]:
        assert query["sendInitialEvents"] == "true"
        assert query["resourceVersionMatch"] == "NotOlderThan"
        assert "resourceVersion" not in query
        return [
            _told("ADDED", "a", 3),
            _bookmark(7, is_end=True),
            _told("MODIFIED", "a", 8),
            _told("ADDED", "b", 9),
        ]

    server = _Server(answer)
    informer, seen, _ = _run(server)
    assert seen == [(Change.ADDED, "n/a"), (Change.MODIFIED, "n/a"), (Change.ADDED, "n/b")]
    assert informer.synced.is_set()
    assert informer.store.get("n/a") == _object("a", 8)


def test_a_connection_that_ends_goes_on_from_the_last_revision_a_bookmark_told() -> None:
    server = _Server(_whole(7, ("a", 3)), _then(_bookmark(20)), _then(_told("DELETED", "a", 21)))
    _, seen, _ = _run(server)
    assert [query.get("resourceVersion") for query in server.asked] == [None, "7", "20"]
    assert seen == [(Change.ADDED, "n/a"), (Change.DELETED, "n/a")]


def test_after_410_what_vanished_is_told_as_deleted_with_its_last_state() -> None:
    server = _Server(
        _whole(7, ("a", 3), ("b", 4), ("c", 5)),
        _refusing(EXPIRED),
        _whole(30, ("a", 3), ("c", 25), ("d", 26)),
    )
    informer, seen, deltas = _run(server)
    assert seen[3:] == [
        (Change.MODIFIED, "n/c"),
        (Change.ADDED, "n/d"),
        (Change.DELETED, "n/b"),
    ]
    assert deltas[-1].object == _object("b", 4)
    assert set(informer.store.all_keys()) == {"n/a", "n/c", "n/d"}


def test_an_error_event_of_410_counts_as_one_and_what_came_before_it_is_taken() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    events = _then(_told("ADDED", "b", 8), {"type": "ERROR", "object": status})
    server = _Server(_whole(7, ("a", 3)), events, _whole(30, ("b", 8)))
    _, seen, _ = _run(server)
    assert "sendInitialEvents" in server.asked[2]
    assert seen == [(Change.ADDED, "n/a"), (Change.ADDED, "n/b"), (Change.DELETED, "n/a")]


def test_an_object_replaced_meanwhile_is_told_as_deleted_and_added() -> None:
    server = _Server(_whole(7, ("a", 3, "u1")), _refusing(EXPIRED), _whole(30, ("a", 25, "u2")))
    _, seen, deltas = _run(server)
    assert seen[1:] == [(Change.DELETED, "n/a"), (Change.ADDED, "n/a")]
    assert [delta.object["metadata"]["uid"] for delta in deltas[1:]] == ["u1", "u2"]


def test_initial_events_cut_off_are_told_again_from_the_start() -> None:
    server = _Server(_then(_told("ADDED", "a", 3)), _whole(9, ("b", 4)))
    informer, seen, _ = _run(server)
    assert "sendInitialEvents" in server.asked[1]
    assert seen == [(Change.ADDED, "n/a"), (Change.ADDED, "n/b"), (Change.DELETED, "n/a")]
    assert set(informer.store.all_keys()) == {"n/b"}


def test_a_server_without_streamed_lists_is_listed_page_by_page() -> None:
    pages = [
        {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [_object("a", 3)]},
        {"metadata": {"resourceVersion": "7"}, "items": [_object("b", 4)]},
    ]
    server = _Server(_refusing(NO_STREAMING), _then(_told("MODIFIED", "a", 8)), pages=pages)
    informer, seen, _ = _run(server)
    assert [query.get("continue") for query in server.lists] == [None, "more"]
    assert server.asked[1]["resourceVersion"] == "7"
    assert seen == [(Change.ADDED, "n/a"), (Change.ADDED, "n/b"), (Change.MODIFIED, "n/a")]
    assert informer.synced.is_set()


def test_lists_without_a_watch_are_further_and_further_apart() -> None:
    answers = [answer for _ in range(3) for answer in (_whole(7, ("a", 3)), _refusing(EXPIRED))]
    server = _Server(*answers)
    _, seen, _ = _run(server)
    assert server.failures == [1, 2, 3, 4, 5, 6]
    assert seen == [(Change.ADDED, "n/a")]


def test_a_watch_that_tells_something_was_no_failure() -> None:
    away = _refusing(Unreachable("refused"))
    server = _Server(_whole(7), away, away, _then(_told("ADDED", "a", 9)), away)
    _run(server)
    assert server.failures == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("line", [{"type": "ADDED"}, {"type": "NEWS", "object": {}}, [1], {}])
def test_what_cannot_be_read_is_told_anew(line: Any) -> None:
    server = _Server(_whole(7, ("a", 3)), _then(line), _whole(9, ("a", 3)))
    _, seen, _ = _run(server)
    assert "sendInitialEvents" in server.asked[2]
    assert seen == [(Change.ADDED, "n/a")]


def test_a_slice_is_small_and_others_have_their_turn_in_between() -> None:
    turns: list[int] = []
    many = [_told("ADDED", f"p{number}", number + 1) for number in range(1000)]
    server = _Server(_then(*many, _bookmark(2000, is_end=True)))
    sizes: list[int] = []
    client: Any = server

    async def run() -> None:
        informer = Informer(lambda sink: Reflector(client, "/x", sink), "x")
        informer.on_changes(lambda deltas: sizes.append(len(deltas)))

        async def look() -> None:
            while True:
                turns.append(len(sizes))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        with suppress(_Ended):
            await informer._reflector.run()
        looking.cancel()

    asyncio.run(run())
    assert sum(sizes) == 1000
    assert max(sizes) <= 32
    # No two slices without a turn of the others between them.
    assert all(after - before <= 1 for before, after in itertools.pairwise(turns))

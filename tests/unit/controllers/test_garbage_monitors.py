"""Types that come and go: each is watched while it is there, and no object is given up with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from controllers.discovery import Discovery
from controllers.garbage.absent import AbsentOwners
from controllers.garbage.graph import Graph
from controllers.garbage.monitors import Monitors
from controllers.garbage.requests import Requests
from controllers.workqueue import RetryLimit, WorkQueue
from kube.informers.changes import Change, Told
from kube.informers.informer import Informers
from runtime.clock import SystemClock
from runtime.tasks import TaskScope

Json = dict[str, Any]
VERBS = ["get", "list", "watch", "delete"]
PATH = "/apis/x.io/v1/things"
END = {"k8s.io/initial-events-end": "true"}


class _Server:
    """Serves discovery and watches of objects; stands in for a client, too.

    Attributes:
        types: the resources of group x.io/v1 by their kinds; None: that does not answer.
    """

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.types: dict[str, str] | None = {"Thing": "things"}
        self.objects: dict[str, list[Json]] = {}
        self.watched: set[str] = set()
        self.asked: list[str] = []
        self.has_asked = asyncio.Event()

    def pause_s(self, _failures: int) -> float:
        return 0.01

    async def request(self, _method: str, path: str, **_more: Any) -> Json:
        if path == "/api":
            entry = _entry("customresourcedefinitions", "CustomResourceDefinition")
            registering = _group("apiextensions.k8s.io", [entry])
            return {"kind": "APIGroupDiscoveryList", "items": [registering]}
        self.has_asked.set()
        types = self.types
        entries = [_entry(resource, kind) for kind, resource in (types or {}).items()]
        group = _group("x.io", entries, freshness="Current" if types is not None else "Stale")
        return {"kind": "APIGroupDiscoveryList", "items": [group]}

    @asynccontextmanager
    async def stream(self, path: str, *_: Any, **_more: Any) -> AsyncIterator[Any]:
        resource = path.rpartition("/")[2]
        self.watched.add(resource)
        self.asked.append(resource)

        async def batches() -> AsyncIterator[list[bytes]]:
            told = [{"type": "ADDED", "object": one} for one in self.objects.get(resource, ())]
            metadata = {"resourceVersion": "1", "annotations": END}
            end = {"type": "BOOKMARK", "object": {"metadata": metadata}}
            yield [orjson.dumps(one) for one in (*told, end)]
            await asyncio.Event().wait()

        try:
            yield batches()
        finally:
            self.watched.discard(resource)


def _entry(resource: str, kind: str) -> Json:
    return {
        "resource": resource,
        "scope": "Namespaced",
        "verbs": VERBS,
        "responseKind": {"kind": kind},
    }


def _group(name: str, resources: list[Json], freshness: str = "Current") -> Json:
    version = {"version": "v1", "freshness": freshness, "resources": resources}
    return {"metadata": {"name": name}, "versions": [version]}


class _Case:
    """Monitors of a server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.graph = Graph(WorkQueue(), WorkQueue(), AbsentOwners(), lambda *_: None)
        self.requests = Requests(server)
        self.informers = Informers(server)
        self.monitors = Monitors(
            server, Discovery(server), self.graph, self.requests, self.informers
        )

    async def look_again(self) -> None:
        """Have types discovered anew, and return when what follows from it was done."""
        self.server.has_asked.clear()
        self.monitors._is_asked.set()
        async with asyncio.timeout(10):
            await self.server.has_asked.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        await self.monitors.wait_synced(10)


def _run(steps: Any) -> None:
    async def run() -> None:
        case = _Case(_Server())
        async with TaskScope("test") as scope:
            case.monitors.start(scope)
            await case.monitors.wait_synced(10)
            await steps(case)
            await scope.stop()

    asyncio.run(run())


def test_a_type_that_appears_is_watched_without_a_restart() -> None:
    async def steps(case: _Case) -> None:
        assert case.server.watched == {"things", "customresourcedefinitions"}
        metadata = {"name": "a", "uid": "u", "namespace": "n"}
        case.server.objects["others"] = [{"metadata": metadata}, {"metadata": {"name": "no-uid"}}]
        case.server.types = {"Thing": "things", "Other": "others"}
        await case.look_again()
        assert "others" in case.server.watched
        assert case.graph.nodes["u"].kind == ("x.io/v1", "Other")
        assert case.requests.collection("x.io/v1", "Other").resource == "others"

    _run(steps)


def test_a_type_that_is_gone_is_watched_no_more_and_its_objects_are_looked_for() -> None:
    async def steps(case: _Case) -> None:
        owner = {"name": "owner", "uid": "o", "namespace": "n"}
        reference = {"apiVersion": "x.io/v1", "kind": "Thing", "name": "owner", "uid": "o"}
        dependent = {"name": "a", "uid": "a", "namespace": "n", "ownerReferences": [reference]}
        case.graph.put(("x.io/v1", "Thing"), owner, 1)
        case.graph.put(("v1", "ConfigMap"), dependent, 1)
        case.server.types = {}
        await case.look_again()
        assert case.server.watched == {"customresourcedefinitions"}
        assert case.graph.nodes["o"].virtual
        assert len(case.graph.to_delete) == 1

    _run(steps)


def test_a_group_that_does_not_answer_keeps_its_watches() -> None:
    async def steps(case: _Case) -> None:
        case.server.types = None
        await case.look_again()
        assert "things" in case.server.watched

    _run(steps)


def test_what_an_informer_watches_is_not_watched_twice() -> None:
    async def run() -> None:
        server = _Server()
        metadata = {"name": "a", "uid": "a", "namespace": "n", "resourceVersion": "1"}
        server.objects["things"] = [{"metadata": metadata}]
        case = _Case(server)
        informer = case.informers.of(PATH)
        async with TaskScope("test") as scope:
            case.informers.start(scope)
            case.monitors.start(scope)
            assert await case.monitors.wait_synced(10)
            assert server.asked.count("things") == 1
            assert case.graph.nodes["a"].kind == ("x.io/v1", "Thing")

            owner = {"apiVersion": "x.io/v1", "kind": "Thing", "name": "a", "uid": "a"}
            owned = {**metadata, "name": "b", "uid": "b", "ownerReferences": [owner]}
            informer.take([Told(Change.ADDED, {"metadata": owned}, b"")])
            assert list(case.graph.nodes["a"].dependents or ()) == [case.graph.nodes["b"]]
            informer.take([Told(Change.DELETED, {"metadata": metadata}, b"")])
            assert "a" not in case.graph.nodes
            assert len(case.graph.to_delete) == 1  # b, which nobody owns

            server.types = {}
            await case.look_again()
            assert "b" not in case.graph.nodes
            informer.take([Told(Change.ADDED, {"metadata": metadata}, b"")])
            assert "a" not in case.graph.nodes
            await scope.stop()

    asyncio.run(run())


def test_what_a_relay_tells_is_not_watched_twice() -> None:
    class Other:
        begin = take = lambda *_: None
        sweep = staticmethod(lambda: iter(()))

    async def run() -> None:
        server = _Server()
        metadata = {"name": "a", "uid": "a", "namespace": "n", "resourceVersion": "1"}
        server.objects["things"] = [{"metadata": metadata}]
        case = _Case(server)
        relay = case.informers.relay(PATH)
        relay.join(Other())
        async with TaskScope("test") as scope:
            relay.start(scope)
            case.monitors.start(scope)
            assert await case.monitors.wait_synced(10)
            assert case.graph.nodes["a"].kind == ("x.io/v1", "Thing")
            relay.take([Told(Change.DELETED, {"metadata": metadata}, b"")])
            assert "a" not in case.graph.nodes
            assert case.server.watched == {"things", "customresourcedefinitions"}
            server.types = {}
            await case.look_again()
            relay.take([Told(Change.ADDED, {"metadata": metadata}, b"")])
            assert "a" not in case.graph.nodes
            await scope.stop()

    asyncio.run(run())


def test_retries_of_all_keys_together_are_limited() -> None:
    limit = RetryLimit(per_s=10, burst=5)
    assert [limit.delay_s(100.0) for _ in range(5)] == [0.0] * 5
    assert [round(limit.delay_s(100.0), 6) for _ in range(2)] == [0.1, 0.2]
    assert limit.delay_s(101.0) == 0.0

"""Quotas of types that come and go: a type counts as soon as it is there, not at the next poll."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from controllers.resource_quota import ResourceQuotaController
from kube.informers.changes import Change
from runtime.clock import SystemClock
from runtime.tasks import TaskScope

Json = dict[str, Any]
KEY = "count/knobs.x.io"
FAR_BELOW_A_POLL_S = 5.0
END = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}


class _Server:
    """Has one quota, and knobs, once `has_knobs`; stands in for a client, too."""

    def __init__(self, *, has_knobs: bool) -> None:
        self.clock = SystemClock()
        self.has_knobs = has_knobs
        self.asked = 0
        self.quota: Json = {
            "metadata": {"name": "q", "namespace": "ns"},
            "spec": {"hard": {KEY: "2"}},
        }
        self.written: asyncio.Queue[Json] = asyncio.Queue()

    def pause_s(self, _failures: int) -> float:
        return 0.01

    async def request(self, method: str, path: str, body: Any = None, **_more: Any) -> Json:
        if path in ("/api", "/apis"):
            self.asked += path == "/apis"
            return {"kind": "APIGroupDiscoveryList", "items": self._groups(path)}
        if path.endswith("/knobs"):
            return {"metadata": {}, "items": [{"metadata": {"name": "a"}}]}
        if method == "PUT":
            self.quota = orjson.loads(orjson.dumps(body))
            self.written.put_nowait(body["status"])
            return self.quota
        return {"metadata": {}, "items": [orjson.loads(orjson.dumps(self.quota))]}

    def _groups(self, path: str) -> list[Json]:
        if path == "/api" or not self.has_knobs:
            return []
        entry = {"resource": "knobs", "scope": "Namespaced", "verbs": ["list", "watch"]}
        return [
            {"metadata": {"name": "x.io"}, "versions": [{"version": "v1", "resources": [entry]}]}
        ]

    @asynccontextmanager
    async def stream(self, *_: Any, **_more: Any) -> AsyncIterator[Any]:
        async def batches() -> AsyncIterator[list[bytes]]:
            yield [orjson.dumps({"type": "BOOKMARK", "object": {"metadata": END}})]
            await asyncio.Event().wait()

        yield batches()

    async def until_used(self, wanted: str | None) -> None:
        async with asyncio.timeout(FAR_BELOW_A_POLL_S):
            while (await self.written.get())["used"].get(KEY) != wanted:
                pass


@asynccontextmanager
async def _running(server: _Server) -> AsyncIterator[ResourceQuotaController]:
    made = ResourceQuotaController(server)  # type: ignore[arg-type]
    async with TaskScope("quotas") as scope:
        made.start(scope)
        made.observe(Change.ADDED, server.quota)
        yield made
        await scope.stop()


def test_a_type_that_is_registered_after_its_quota_is_counted_at_once() -> None:
    async def steps() -> None:
        server = _Server(has_knobs=False)
        async with _running(server) as controller:
            await server.until_used(None)
            server.has_knobs = True
            controller.observe_types(Change.MODIFIED, {})
            await server.until_used("1")

    asyncio.run(steps())


def test_a_type_that_came_since_discovery_was_asked_is_counted_at_once() -> None:
    async def steps() -> None:
        server = _Server(has_knobs=False)
        async with _running(server) as controller:
            await server.until_used(None)
            server.has_knobs = True
            # No watch has told of the type yet: the quota's own change is enough to ask again.
            await asyncio.sleep(0.15)
            controller.observe(Change.MODIFIED, {**server.quota, "status": {}})
            await server.until_used("1")

    asyncio.run(steps())


def test_discovery_is_not_asked_again_for_types_that_are_known() -> None:
    async def steps() -> None:
        server = _Server(has_knobs=True)
        async with _running(server) as controller:
            await server.until_used("1")
            asked = server.asked
            server.quota["spec"]["hard"] = {KEY: "3"}
            controller.observe(Change.MODIFIED, server.quota)
            async with asyncio.timeout(FAR_BELOW_A_POLL_S):
                while (await server.written.get())["hard"] != {KEY: "3"}:
                    pass
            assert server.asked == asked

    asyncio.run(steps())

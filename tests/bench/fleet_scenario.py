"""A simulated fleet: how fast its nodes come, what their heartbeats cost, how fast pods start.

A cluster of its own with controllers and everything. Pods are bound when they are created, as no
scheduler takes part; they are created as fast as the server takes them while the fleet starts them.
Renewals are counted by the revisions of the Leases' partition, which nothing else moves.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from controllers.fleet.plan import FleetPlan
from kube.access import Access
from kube.pipe import Pipe
from tests.bench.endpoint import Endpoint, Refused
from tests.bench.figures import Figure
from tests.bench.list_memory import PODS_AT_SCALE
from tests.bench.scenarios import Scene
from tests.bench.server import Server, start_ultraplane

NODES: Final = 2_000
NODES_AT_SCALE: Final = 100_000
REGISTER_S_MAX: Final = 300.0
PODS_PER_S_MIN: Final = 1_000.0
_LEASES: Final = "/apis/coordination.k8s.io/v1/leases?limit=1"
_PODS: Final = "/api/v1/namespaces/default/pods"
_NOT_RUNNING: Final = "/api/v1/pods?fieldSelector=status.phase%3DPending&limit=1"
_CREATORS: Final = 32
_LIMIT_S: Final = 900.0
_POLL_S: Final = 0.2


def fleet(scene: Scene) -> list[Figure]:
    """Measure a fleet of 2,000 nodes and as many pods, or 100,000."""
    is_large = scene.listed_pods >= PODS_AT_SCALE
    return measure_fleet(NODES_AT_SCALE if is_large else NODES, scene.seconds)


def measure_fleet(nodes: int, seconds: float) -> list[Figure]:
    """Measure a fleet of so many nodes; its heartbeats for so long."""
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-fleet-") as name,
        start_ultraplane(Path(name), {"fleet": {"nodes": nodes}}) as server,
    ):
        started_s, before = time.monotonic(), server.meter.cpu_us()
        _until(lambda: _count(server.endpoint) >= nodes)
        took_s = time.monotonic() - started_s
        figures = [
            Figure(
                f"{nodes:,} nodes registered and Ready",
                took_s,
                "s",
                cpu_us=_each(server, before, nodes),
                target=f"≤ {REGISTER_S_MAX:g} s",
                is_met=_all_ready(server.endpoint) and took_s <= REGISTER_S_MAX,
            )
        ]
        figures.append(_heartbeats(server, nodes, seconds))
        figures.append(_start_pods(server, nodes))
        figures.append(_heartbeats(server, nodes, seconds, ", pods running"))
        return figures


def _heartbeats(server: Server, nodes: int, seconds: float, what: str = "") -> Figure:
    interval_s = FleetPlan().lease_s(nodes)
    revision, before = _revision(server.endpoint), server.meter.cpu_us()
    started_s = time.monotonic()
    time.sleep(seconds)
    renewed = _revision(server.endpoint) - revision
    took_s = time.monotonic() - started_s
    wanted = nodes / interval_s
    return Figure(
        f"Leases, every {interval_s:g} s{what}",
        renewed / took_s,
        cpu_us=_each(server, before, max(1, renewed)),
        target=f"≥ {wanted * 0.95:,.0f} /s",
        is_met=renewed / took_s >= wanted * 0.95,
    )


def _start_pods(server: Server, count: int) -> Figure:
    started_s, before = time.monotonic(), server.meter.cpu_us()
    asyncio.run(_create(server.endpoint, count))
    created_s = time.monotonic() - started_s
    _until(lambda: not _ask(server.endpoint, _NOT_RUNNING)["items"])
    took_s = time.monotonic() - started_s
    return Figure(
        f"{count:,} pods created ({count / created_s:,.0f} /s), bound and Running",
        count / took_s,
        cpu_us=_each(server, before, count),
        target=f"≥ {PODS_PER_S_MIN:,.0f} /s",
        is_met=count / took_s >= PODS_PER_S_MIN,
    )


async def _create(endpoint: Endpoint, count: int) -> None:
    numbers = iter(range(count))
    access = Access(endpoint.url, token=endpoint.token)
    async with asyncio.TaskGroup() as group:
        for _ in range(_CREATORS):
            group.create_task(_create_some(Pipe(access, "bench"), numbers))


async def _create_some(pipe: Pipe, numbers: Iterator[int]) -> None:
    try:
        for number in numbers:
            answer = await pipe.request("POST", _PODS, _pod(number), "application/json")
            if answer.code >= 300:
                raise Refused(answer.body.decode())
    finally:
        pipe.close()


def _pod(number: int) -> bytes:
    container: dict[str, Any] = {
        "name": "main",
        "image": "registry.example.com/web:v1",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    spec = {
        "nodeName": f"node-{number}",
        "containers": [container],
        "automountServiceAccountToken": False,
    }
    metadata = {"name": f"pod-{number}", "labels": {"app": "web"}}
    return orjson.dumps({"metadata": metadata, "spec": spec})


def _each(server: Server, before: dict[str, float], count: int) -> dict[str, float]:
    return {name: spent / count for name, spent in server.meter.spent_us(before).items()}


def _count(endpoint: Endpoint) -> int:
    page = _ask(endpoint, "/api/v1/nodes?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


def _all_ready(endpoint: Endpoint) -> bool:
    page = _ask(endpoint, "/api/v1/nodes?limit=500")
    while True:
        for node in page["items"]:
            conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
            if conditions.get("Ready") != "True":
                return False
        more = page["metadata"].get("continue")
        if not more:
            return True
        page = _ask(endpoint, f"/api/v1/nodes?limit=500&continue={more}")


def _revision(endpoint: Endpoint) -> int:
    return int(_ask(endpoint, _LEASES)["metadata"]["resourceVersion"])


def _ask(endpoint: Endpoint, path: str) -> Any:
    return orjson.loads(endpoint.request("GET", path))


def _until(is_so: Any) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise Refused(f"it took more than {_LIMIT_S:g} s")
        time.sleep(_POLL_S)

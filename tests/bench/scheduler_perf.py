"""Upstream's scheduler_perf workloads, through the API: pods a second beside upstream's thresholds.

    python -m tests.bench.scheduler_perf                        all of them, a table
    python -m tests.bench.scheduler_perf --only SchedulingBasic --only TopologySpreading
    python -m tests.bench.scheduler_perf --scale 0.1            a tenth of nodes and pods, to try it
    python -m tests.bench.scheduler_perf --only Gang            10,000 pods that are placed at once

Each has a cluster of its own: journal, API server and scheduler, as processes on this machine.
Nodes and earlier pods are made first. Then the measured pods are created by 32 writers, beside
which a watch counts those that are bound; the rate is from the first create to the last that is
bound, so it is what API server, scheduler and this client reach together. Exits with 1 if a
threshold is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from kube.access import Access
from kube.client import MERGE_PATCH, ApiClient, ClientLimits, Patch
from kube.status import StatusError
from tests.bench.perf_workloads import (
    DRA_DRIVER,
    WORKLOADS,
    Obj,
    Step,
    Workload,
    default,
    large,
    node,
    volume,
)
from tests.bench.server import start_ultraplane

_WRITERS: Final = 32
_PATIENCE_S: Final = 180.0
_GANG: Final = 10_000
_GANG_S_MAX: Final = 5.0
_POLL_S: Final = 0.05
_STORAGE: Final = "/apis/storage.k8s.io/v1"
_RESOURCE: Final = "/apis/resource.k8s.io/v1"
_SCHEDULING: Final = "/apis/scheduling.k8s.io"
_CONTROLLERS: Final = "serviceaccount-controller,resourceclaim-controller"


class Unfinished(Exception):
    """A workload did not come to its end in time; the message says what is left."""


@dataclass(slots=True)
class Bound:
    """How many pods are bound, as a watch tells.

    Attributes:
        last_s: when the last was told.
    """

    names: set[str] = field(default_factory=set)
    last_s: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, client: ApiClient, ready: asyncio.Event) -> None:
        """Count until cancelled."""
        query = {"fieldSelector": "spec.nodeName!=", "watch": "true", "sendInitialEvents": "true"}
        query |= {"resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        async with client.stream("/api/v1/pods", query, read_timeout_s=_PATIENCE_S) as batches:
            ready.set()
            async for lines in batches:
                for line in lines:
                    if line.startswith(b'{"type":"ADDED"'):
                        at = line.index(b'"name":"') + 8
                        self.names.add(line[at : line.index(b'"', at)].decode())
                        self.last_s = perf_counter()
                self._news.set()

    async def wait(self, names: set[str]) -> None:
        """Return once all of these are bound."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not names <= self.names:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            left = len(names - self.names)
            raise Unfinished(f"{left} of {len(names)} are not bound in {_PATIENCE_S} s") from None


async def each(items: Iterable[Any], work: Callable[[Any], Awaitable[Any]]) -> None:
    """Do something with each item, 32 at a time."""
    left = iter(items)

    async def run() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(run() for _ in range(_WRITERS)))


class Load:
    """Makes what a workload needs.

    Args of the constructor:
        client: of an administrator.
        workload: it.
    """

    def __init__(self, client: ApiClient, workload: Workload) -> None:
        self._client = client
        self._workload = workload
        self._numbers = itertools.count()

    async def make_nodes(self) -> None:
        """Make all nodes, and what is beside them."""
        await each(range(self._workload.nodes), self._make_node)

    async def _make_node(self, number: int) -> None:
        made, client = node(self._workload, number), self._client
        name = made["metadata"]["name"]
        await client.send("POST", "/api/v1/nodes", made)
        patch = {"status": made["status"], "spec": {"taints": made["spec"].get("taints")}}
        path = f"/api/v1/nodes/{name}"
        await client.request("PATCH", f"{path}/status", Patch(patch, MERGE_PATCH))
        # A node is made with the taint of one that is not ready; here nobody takes it off.
        await client.request("PATCH", path, Patch({"spec": patch["spec"]}, MERGE_PATCH))
        if self._workload.limits:
            driver = {"name": "ebs.csi.aws.com", "nodeID": name, "allocatable": {"count": 39}}
            body = {"metadata": {"name": name}, "spec": {"drivers": [driver]}}
            await client.send("POST", f"{_STORAGE}/csinodes", body)
        if self._workload.devices:
            await client.send("POST", f"{_RESOURCE}/resourceslices", self._slice(name))

    def _slice(self, name: str) -> Obj:
        devices = [{"name": f"device-{at}"} for at in range(self._workload.devices)]
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": DRA_DRIVER, "nodeName": name, "pool": pool, "devices": devices}
        return {"metadata": {"name": f"slice-{name}"}, "spec": spec}

    async def make_others(self) -> None:
        """Make namespaces, classes and templates."""
        workload, client = self._workload, self._client
        steps = (*workload.before, workload.measured)
        names = {name for step in steps for name in step.namespaces} - {"default"}
        for name in sorted(names):
            metadata = {"name": name, "labels": dict(workload.labels or {})}
            await client.send("POST", "/api/v1/namespaces", {"metadata": metadata})
        for name in sorted(names | {"default"}):
            account = {"metadata": {"name": "default"}}
            with suppress(StatusError):  # its controller was quicker
                await client.send("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        priority = {"metadata": {"name": "high"}, "value": 10}
        await client.send("POST", f"{_SCHEDULING}/v1/priorityclasses", priority)
        if workload.devices:
            expression = f'device.driver == "{DRA_DRIVER}"'
            spec: Obj = {"selectors": [{"cel": {"expression": expression}}]}
            body = {"metadata": {"name": "test-class"}, "spec": spec}
            await client.send("POST", f"{_RESOURCE}/deviceclasses", body)
            request = {"name": "req-0", "exactly": {"deviceClassName": "test-class"}}
            spec = {"spec": {"devices": {"requests": [request]}}}
            body = {"metadata": {"name": "test-claim-template"}, "spec": spec}
            path = f"{_RESOURCE}/namespaces/default/resourceclaimtemplates"
            await client.send("POST", path, body)

    async def prepare(self, step: Step) -> list[tuple[str, Obj]]:
        """Return a step's pods with the paths where they go; make their volumes."""
        pods = []
        volumes = []
        for number in range(step.count):
            made = step.make(number)
            namespace = step.namespaces[number % len(step.namespaces)]
            name = f"pod-{next(self._numbers)}"
            made["metadata"]["name"] = name
            if step.volume:
                volumes.append((name, namespace))
                claim = {"name": "vol", "persistentVolumeClaim": {"claimName": name}}
                made["spec"]["volumes"] = [claim]
            pods.append((f"/api/v1/namespaces/{namespace}/pods", made))
        await each(volumes, lambda one: self._make_volume(step.volume, *one))
        return pods

    async def _make_volume(self, kind: str, name: str, namespace: str) -> None:
        made, claim = volume(kind, name, namespace)
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        written = await self._client.request("POST", path, claim)
        made["spec"]["claimRef"]["uid"] = written["metadata"]["uid"]
        await self._client.send("POST", "/api/v1/persistentvolumes", made)

    async def create(self, pods: list[tuple[str, Obj]]) -> set[str]:
        """Create pods; return their names."""
        await each(pods, lambda one: self._client.send("POST", *one))
        return {made["metadata"]["name"] for _, made in pods}

    async def churn(self) -> None:
        """Make and delete a node, a pod that fits nowhere and a service each second, for ever."""
        for number in itertools.count():
            wanted = {
                "/api/v1/nodes": node(self._workload, 1_000_000 + number),
                "/api/v1/namespaces/default/pods": large(0),
                "/api/v1/namespaces/default/services": {"spec": {"ports": [{"port": 80}]}},
            }
            for path, body in wanted.items():
                body.setdefault("metadata", {})["name"] = f"churn-{number}"
                await self._client.send("POST", path, body)
            await asyncio.sleep(1)
            for path in wanted:
                query = "?gracePeriodSeconds=0" if path.endswith("pods") else ""
                await self._client.send("DELETE", f"{path}/churn-{number}{query}", {})


@asynccontextmanager
async def _cluster(directory: Path, more: Obj) -> AsyncIterator[ApiClient]:
    sections = {
        "supervisor": {"without": ["fleet"]},
        "controllers": {"run": _CONTROLLERS},
        **more,
    }
    with start_ultraplane(directory, sections) as server:
        access = Access(server.endpoint.url, token=server.endpoint.token)
        limits = ClientLimits(connections_max=_WRITERS)
        async with ApiClient(access, limits=limits) as client:
            yield client


async def run(workload: Workload, directory: Path) -> float:
    """Run a workload; return pods a second."""
    async with _cluster(directory, {}) as client:
        load, bound, ready = Load(client, workload), Bound(), asyncio.Event()
        await load.make_others()
        await load.make_nodes()
        async with asyncio.TaskGroup() as group:
            following = group.create_task(bound.follow(client, ready))
            await ready.wait()
            for step in workload.before:
                names = await load.create(await load.prepare(step))
                if step.waits:
                    await bound.wait(names)
            pods = await load.prepare(workload.measured)
            await asyncio.sleep(1)  # what was told of them is behind
            churning = group.create_task(load.churn()) if workload.churns else None
            begun_s = perf_counter()
            await bound.wait(await load.create(pods))
            taken_s = bound.last_s - begun_s
            following.cancel()
            if churning is not None:
                churning.cancel()
        return len(pods) / taken_s


async def run_gang(nodes: int, pods: int, directory: Path) -> tuple[float, float]:
    """Return the seconds from when a gang is whole to when it is placed, and to when it is bound.

    It is placed when its group says so: all have their nodes then, and are bound one after another.
    """
    workload = Workload("Gang", 0, Step(pods, default), nodes=nodes)
    async with _cluster(directory, {}) as client:
        load, bound, ready = Load(client, workload), Bound(), asyncio.Event()
        await load.make_others()
        await load.make_nodes()
        path = f"{_SCHEDULING}/v1beta1/namespaces/default/podgroups"
        policy = {"schedulingPolicy": {"gang": {"minCount": pods}}}
        await client.send("POST", path, {"metadata": {"name": "gang"}, "spec": policy})
        async with asyncio.TaskGroup() as group:
            following = group.create_task(bound.follow(client, ready))
            await ready.wait()
            made = await load.prepare(workload.measured)
            for _, pod in made:
                pod["spec"]["schedulingGroup"] = {"podGroupName": "gang"}
            names = await load.create(made[:-1])
            await asyncio.sleep(2)
            assert not bound.names, "a gang that is not whole was bound"
            begun_s = perf_counter()
            names |= await load.create(made[-1:])
            placing = group.create_task(_until_placed(client, f"{path}/gang"))
            await bound.wait(names)
            placed_s, bound_s = await placing - begun_s, bound.last_s - begun_s
            following.cancel()
        return placed_s, bound_s


async def _until_placed(client: ApiClient, path: str) -> float:
    """Return the time when a group said that it is scheduled."""
    while True:
        group = await client.request("GET", path)
        for condition in (group.get("status") or {}).get("conditions") or ():
            if (condition["type"], condition["status"]) == ("PodGroupScheduled", "True"):
                return perf_counter()
        await asyncio.sleep(_POLL_S)


def _scaled(workload: Workload, scale: float) -> Workload:
    def less(step: Step) -> Step:
        return replace(step, count=max(1, int(step.count * scale)))

    return replace(
        workload,
        nodes=max(4, int(workload.nodes * scale)),
        before=tuple(map(less, workload.before)),
        measured=less(workload.measured),
    )


def _report(console: Console, rows: list[tuple[str, ...]]) -> None:
    table = Table("Workload", "Nodes", "Pods", "Threshold", "Measured", "")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def main() -> int:
    """Run what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    console, rows, is_met = Console(), [], True
    for workload in WORKLOADS:
        if given.only and workload.name not in given.only:
            continue
        small = _scaled(workload, given.scale)
        with tempfile.TemporaryDirectory(prefix="ultraplane-perf-") as name:
            try:
                rate = uvloop.run(run(small, Path(name)))
            except* Unfinished as group:
                console.print(workload.name, *group.exceptions)
                rate = 0.0
        is_met &= rate >= workload.threshold
        nodes, pods = f"{small.nodes:,}", f"{small.measured.count:,}"
        mark = "" if rate >= workload.threshold else "MISSED"
        row = (workload.name, nodes, pods, f"{workload.threshold}/s", f"{rate:,.0f}/s", mark)
        console.print(*row)
        rows.append(row)
    if not given.only or "Gang" in given.only:
        nodes, pods = int(5_000 * given.scale), int(_GANG * given.scale)
        with tempfile.TemporaryDirectory(prefix="ultraplane-perf-") as name:
            placed_s, bound_s = uvloop.run(run_gang(nodes, pods, Path(name)))
        is_met &= placed_s <= _GANG_S_MAX
        mark = "" if placed_s <= _GANG_S_MAX else "MISSED"
        told = f"placed {placed_s:.1f} s, bound {bound_s:.1f} s"
        rows.append(("Gang", f"{nodes:,}", f"{pods:,}", f"{_GANG_S_MAX:g} s", told, mark))
    _report(console, rows)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())

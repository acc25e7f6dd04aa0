"""A process of the scheduler's scenario: decisions without an API, or a load of pods for one.

    python -m tests.bench.scheduler_child decide NODES PODS KIND
    python -m tests.bench.scheduler_child fill URL TOKEN NODES PODS
    python -m tests.bench.scheduler_child drain URL TOKEN PODS
    python -m tests.bench.scheduler_child arrive URL TOKEN PODS RATE

Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from time import perf_counter, process_time
from typing import Any, Final

import orjson

from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from kube.access import Access
from kube.client import ApiClient
from runtime import collection

ZONES: Final = 10
_WRITERS: Final = 32
_PATH: Final = "/api/v1/namespaces/default/pods"
_MATCHING: Final = {"matchLabels": {"app": "training"}}


def node(number: int) -> dict[str, Any]:
    """Return a node of a training cluster."""
    allocatable = {
        "cpu": "192",
        "memory": "2Ti",
        "ephemeral-storage": "7Ti",
        "aws.amazon.com/neuron": "16",
        "pods": "110",
    }
    name = f"node-{number:06}"
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"zone-{number % ZONES}",
            },
        },
        "spec": {},
        "status": {"allocatable": allocatable, "capacity": allocatable},
    }


def pod(name: str, kind: str = "plain") -> dict[str, Any]:
    """Return a training pod: plain, kept apart from its like by node, or spread over zones."""
    requests = {"cpu": "10", "memory": "100Gi", "aws.amazon.com/neuron": "4"}
    spec: dict[str, Any] = {
        "containers": [{"name": "c", "image": "i:1", "resources": {"requests": requests}}]
    }
    spec["containers"][0]["resources"]["limits"] = requests
    if kind == "apart":
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": _MATCHING}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        spec["affinity"] = {"podAntiAffinity": required}
    if kind == "spread":
        spec["topologySpreadConstraints"] = [
            {
                "topologyKey": "topology.kubernetes.io/zone",
                "maxSkew": 1,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": _MATCHING,
            }
        ]
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "training"}}
    return {"metadata": metadata, "spec": spec}


def decide(nodes: int, pods: int, kind: str) -> dict[str, Any]:
    """Decide pods, one kind, on empty nodes: from decoded pods to nodes taken."""
    collection.look_at_new()
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    for number in range(nodes):
        engine.state.put_node(node(number))
    made = [pod(f"pod-{number}", kind) for number in range(pods)]
    collection.freeze()
    began_s, cpu_s = perf_counter(), process_time()
    for one in made:
        metadata = one["metadata"]
        shape, group = engine.shapes.of(one), engine.shapes.group_of(metadata)
        waiting = Waiting(metadata["uid"], metadata["name"], shape, group, {})
        slot = engine.choose(waiting)
        assert slot is not None
        engine.place(waiting, slot)
    taken_s = perf_counter() - began_s
    return {"rate": pods / taken_s, "s": taken_s, "cpu_us": (process_time() - cpu_s) / pods * 1e6}


async def fill(client: ApiClient, nodes: int, pods: int) -> dict[str, Any]:
    """Create nodes and pods."""
    numbers = itertools.count()

    async def write_nodes() -> None:
        while (number := next(numbers)) < nodes:
            made = node(number)
            path = f"/api/v1/nodes/{made['metadata']['name']}/status"
            await client.request("POST", "/api/v1/nodes", made)
            await client.request("PATCH", path, made_patch(made))

    await asyncio.gather(*(write_nodes() for _ in range(_WRITERS)))
    numbers = itertools.count()

    async def write_pods() -> None:
        while (number := next(numbers)) < pods:
            await client.send("POST", _PATH, created(f"pod-{number}"))

    await asyncio.gather(*(write_pods() for _ in range(_WRITERS)))
    return {}


def made_patch(made: dict[str, Any]) -> Any:
    """Return the patch that says what a node has."""
    from kube.client import Patch  # noqa: PLC0415 -- beside what it is for

    return Patch({"status": made["status"]})


def created(name: str) -> dict[str, Any]:
    """Return a pod as a client sends it."""
    made = pod(name)
    del made["metadata"]["uid"]
    return made


async def drain(client: ApiClient, pods: int) -> dict[str, Any]:
    """Wait until pods are bound, by a watch from before the first is."""
    query = {"fieldSelector": "spec.nodeName!=", "watch": "true", "sendInitialEvents": "true"}
    query["resourceVersionMatch"] = "NotOlderThan"
    seen, first_s, last_s = 0, 0.0, 0.0
    async with client.stream(_PATH, query, read_timeout_s=30) as batches:
        print("watching", flush=True)
        async for lines in batches:
            last_s = perf_counter()
            first_s = first_s or last_s
            seen += sum(line.startswith(b'{"type":"ADDED"') for line in lines)
            if seen >= pods:
                break
    return {"rate": seen / max(last_s - first_s, 1e-9), "s": last_s - first_s}


async def arrive(client: ApiClient, pods: int, rate: float) -> dict[str, Any]:
    """Create pods at a rate; measure from before a create to the event that tells it is bound."""
    sent: dict[str, float] = {}
    took_s: list[float] = []
    query = {"fieldSelector": "spec.nodeName!=", "watch": "true"}
    ready = asyncio.Event()

    async def follow() -> None:
        async with client.stream(_PATH, query, read_timeout_s=30) as batches:
            ready.set()
            async for lines in batches:
                now_s = perf_counter()
                for line in lines:
                    if line.startswith(b'{"type":"ADDED"'):
                        name = orjson.loads(line)["object"]["metadata"]["name"]
                        if name in sent:
                            took_s.append(now_s - sent[name])
                if len(took_s) >= pods:
                    return

    async def create(name: str) -> None:
        sent[name] = perf_counter()
        await client.send("POST", _PATH, created(name))

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await ready.wait()
        began_s = perf_counter()
        for number in range(pods):
            await asyncio.sleep(max(0.0, began_s + number / rate - perf_counter()))
            group.create_task(create(f"arriving-{number}"))
    took_s.sort()
    return {"p50_s": took_s[len(took_s) // 2], "p99_s": took_s[len(took_s) * 99 // 100]}


async def _with_client(arguments: list[str]) -> dict[str, Any]:
    what, url, token, *numbers = arguments
    async with ApiClient(Access(url, token=token)) as client:
        match what:
            case "fill":
                return await fill(client, int(numbers[0]), int(numbers[1]))
            case "drain":
                return await drain(client, int(numbers[0]))
            case _:
                return await arrive(client, int(numbers[0]), float(numbers[1]))


def main() -> None:
    """Do what the command line says."""
    what, *arguments = sys.argv[1:]
    if what == "decide":
        found = decide(int(arguments[0]), int(arguments[1]), arguments[2])
    else:
        found = asyncio.run(_with_client([what, *arguments]))
    print(orjson.dumps(found).decode(), flush=True)


if __name__ == "__main__":
    main()

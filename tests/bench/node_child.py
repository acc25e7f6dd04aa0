"""The process of the scenario `nodes`: a controller of many nodes, without an API server.

    python -m tests.bench.node_child NODES   prints what it measured, as JSON

Holds are CPU time between two turns of the event loop, so that other processes of the machine do
not count.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, Final

import orjson
import uvloop

from controllers.nodes.book import NodeBook
from controllers.nodes.cidr_set import CidrSet
from controllers.nodes.lifecycle import NodeLifecycle
from controllers.nodes.lost_pods import NODE_INDEX, LostPods, node_of
from controllers.nodes.marks import Marks
from controllers.nodes.monitor import Tools
from controllers.nodes.options import DEFAULTS
from controllers.workloads.pods import PodBook
from kube.informers.changes import Change, Told
from kube.informers.informer import Delta
from kube.informers.store import Store
from runtime import collection
from runtime.clock import SimulatedClock
from tests.bench.informer_child import Holds, memory_bytes

_SLICE: Final = 32
_ZONES: Final = 3


class _Client:
    """Has a clock, and is asked nothing: no node of this scenario needs a write."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()


class _Recorder:
    def note(self, *_: object) -> None:
        """Take no note."""


def _node(number: int, ready: str) -> dict[str, Any]:
    name = f"node-{number:06d}"
    zone = f"zone-{number % _ZONES}"
    condition = {
        "type": "Ready",
        "status": ready,
        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    taints = [] if ready == "True" else [_UNREACHABLE]
    return {
        "metadata": {
            "name": name,
            "uid": f"{number:08x}-0000-4000-8000-{number:012x}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone},
        },
        "spec": {"podCIDRs": [f"10.{number // 65536}.{number // 256 % 256}.{number % 256}/28"]}
        | ({"taints": taints} if taints else {}),
        "status": {"conditions": [condition]},
    }


_UNREACHABLE: Final = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


def _leases(count: int, renewed: str) -> Iterator[bytes]:
    for number in range(count):
        name = f"node-{number:06d}"
        lease = {
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": "kube-node-lease",
                "uid": f"{number:08x}-0000-4000-9000-{number:012x}",
                "resourceVersion": str(number),
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name}],
            },
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed},
        }
        yield orjson.dumps({"type": "MODIFIED", "object": lease})


def _put(book: NodeBook, count: int, ready: str) -> None:
    for at in range(0, count, _SLICE):
        made = [_node(number, ready) for number in range(at, min(at + _SLICE, count))]
        book.take([Delta(Change.ADDED, one["metadata"]["name"], one) for one in made])


def _hear(subject: NodeLifecycle, lines: list[bytes]) -> float:
    """Take leases as a reflector does; return the CPU seconds of it."""
    start_s = time.process_time()
    for at in range(0, len(lines), _SLICE):
        events = []
        for line in lines[at : at + _SLICE]:
            content = orjson.loads(line)
            events.append(Told(Change.MODIFIED, content["object"], b""))
        subject.heartbeats.take(events)
    return time.process_time() - start_s


async def _pass(subject: NodeLifecycle) -> tuple[float, float]:
    """Make a pass; return its CPU seconds and the longest hold."""
    holds = Holds()
    await asyncio.sleep(0)
    holds.worst_s = 0.0
    start_s = time.process_time()
    await subject.monitor.look()
    await asyncio.sleep(0)
    return time.process_time() - start_s, holds.worst_s


async def _measure(count: int) -> dict[str, float]:
    collection.look_at_new()
    client: Any = _Client()
    recorder: Any = _Recorder()
    book, nodes = NodeBook(), Store()
    tools = Tools(
        client,
        recorder,
        nodes,
        book,
        Marks(client, nodes),
        LostPods(client, recorder, Store({NODE_INDEX: node_of})),
    )
    subject = NodeLifecycle(tools, DEFAULTS, PodBook())
    lines = list(_leases(count, "2026-01-01T00:00:00.000000Z"))
    before_bytes = memory_bytes()
    _put(book, count, "True")
    _hear(subject, lines)
    kept_bytes = (memory_bytes() - before_bytes) / count
    first_s, first_hold_s = await _pass(subject)
    collection.freeze()
    later = list(_leases(count, "2026-01-01T00:00:10.000000Z"))
    lease_s = _hear(subject, later)
    pass_s, hold_s = await _pass(subject)
    _put(book, count, "Unknown")
    await subject.monitor.look()
    lost_s, lost_hold_s = await _pass(subject)
    ranges = CidrSet(ip_network("10.0.0.0/8"), 28)
    start_s = time.process_time()
    for _ in range(count):
        ranges.allocate()
    return {
        "lease_us": lease_s / count * 1e6,
        "kept_bytes": kept_bytes,
        "pass_ms": pass_s * 1000,
        "lost_pass_ms": lost_s * 1000,
        "first_pass_ms": first_s * 1000,
        "worst_ms": max(hold_s, first_hold_s, lost_hold_s) * 1000,
        "range_us": (time.process_time() - start_s) / count * 1e6,
    }


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(_measure(int(sys.argv[1])))).decode())

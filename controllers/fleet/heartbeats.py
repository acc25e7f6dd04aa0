"""What keeps nodes alive in the API: Leases, renewed evenly over their interval, and statuses.

Nodes are in a ring, and a hand goes round it once in an interval: no moment has more renewals than
another. Where the server cannot keep up, pods wait (`is_behind`). A node whose renewal still waits
when the hand comes by again is not put twice. What is written of Leases and statuses goes by
connections of its own, so that no flood of pods delays it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import orjson

from controllers.fleet.fleet_node import Node
from controllers.fleet.nodes import PATH, NodeBook
from controllers.fleet.plan import FleetPlan
from controllers.fleet.writers import Writers
from kube import times
from kube.access import Access
from kube.client import JSON, MERGE_PATCH, STRATEGIC_PATCH
from kube.pipe import Pipe, refusal
from runtime.clock import Clock
from runtime.tasks import TaskScope

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_TICK_S: Final = 0.05
_REPORT_S: Final = 60.0
_LEASE_WRITERS: Final = 32
_STATUS_WRITERS: Final = 8
_HELD_FOR: Final = 4
"""A Lease holds for so many intervals, as of kubelets."""
_log = logging.getLogger(__name__)


class Ring:
    """Nodes in a circle, and a hand that goes round; who has gone is dropped on the way."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._at = 0
        self._owed = 0.0

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: Node) -> None:
        """Put a node where the hand has just been."""
        self._nodes.append(node)

    def turn(self, part: float, visit: Callable[[Node], None]) -> int:
        """Move the hand on by a part of the circle; return how many it came by."""
        nodes = self._nodes
        self._owed = min(self._owed + part * len(nodes), float(len(nodes)))
        count = int(self._owed)
        self._owed -= count
        for _ in range(count):
            if self._at >= len(nodes):
                self._at = 0
            if not nodes:
                break
            node = nodes[self._at]
            if node.is_alive:
                visit(node)
                self._at += 1
            else:
                nodes[self._at] = nodes[-1]
                nodes.pop()
        return count


class Heartbeats:
    """See the module's head.

    Attributes:
        renewed: how many Leases were renewed since the start.
    """

    def __init__(self, access: Access, book: NodeBook, plan: FleetPlan, clock: Clock) -> None:
        self.renewed = 0
        self._book = book
        self._plan = plan
        self._clock = clock
        self._leases, self._statuses = Ring(), Ring()
        self._waiting: set[str] = set()
        self._missed = 0
        self._renewal = b""
        self._renewal_ms = 0
        self._renewals = Writers(access, "leases", _LEASE_WRITERS, self._renew, self._not_renewed)
        self._reports = Writers(access, "statuses", _STATUS_WRITERS, self._report, self._not_told)
        self._full: set[str] = set()

    def start(self, scope: TaskScope) -> None:
        """Start to keep alive what is added."""
        self._renewals.start(scope)
        self._reports.start(scope)
        scope.spawn(self._run(), name="heartbeats")

    def add(self, node: Node) -> None:
        """Keep a node alive from now on; at once, as it may have been without us for long."""
        self._leases.add(node)
        self._statuses.add(node)
        if not node.is_new:
            self._beat(node)

    def report(self, node: Node) -> None:
        """Have a node's whole status written: it has changed."""
        self._full.add(node.name)
        self._reports.put(node)

    @property
    def interval_s(self) -> float:
        """The interval between two renewals of a Lease, for as many nodes as there are now."""
        return self._plan.lease_s(len(self._leases))

    def is_behind(self) -> bool:
        """Tell whether more renewals wait than are due in a second: nothing else is as urgent.

        Pods can be late; a node whose Lease is, is taken for dead.
        """
        return len(self._renewals) > max(_LEASE_WRITERS, len(self._leases) / self.interval_s)

    async def _run(self) -> None:
        clock = self._clock
        before_s = reported_s = clock.monotonic_s()
        counted = 0
        while True:
            await clock.sleep(_TICK_S)
            now_s = clock.monotonic_s()
            passed_s, before_s = now_s - before_s, now_s
            self._leases.turn(passed_s / self.interval_s, self._beat)
            self._statuses.turn(passed_s / self._plan.status_interval_s, self._tell)
            if now_s - reported_s >= _REPORT_S:
                text = "%d nodes, a Lease each %g s: %.0f renewals/s, %d late, %d waiting"
                rate = (self.renewed - counted) / (now_s - reported_s)
                waits = len(self._renewals)
                _log.info(text, len(self._leases), self.interval_s, rate, self._missed, waits)
                reported_s, counted, self._missed = now_s, self.renewed, 0

    def _beat(self, node: Node) -> None:
        if node.is_lost:
            return
        if node.is_doubted:
            # With its next heartbeat, as a kubelet looks at its Node then: at once, it and whoever
            # is of another opinion would answer one another without end.
            node.is_doubted = False
            self._tell(node)
        if node.name in self._waiting:
            self._missed += 1
            return
        self._waiting.add(node.name)
        self._renewals.put(node)

    def _tell(self, node: Node) -> None:
        if not node.is_dirty and not node.is_lost:
            node.is_dirty = True
            self._reports.put(node)

    async def _renew(self, pipe: Pipe, node: Node) -> None:
        self._waiting.discard(node.name)
        if node.is_lost or not node.is_alive:
            return
        path = f"{LEASES}/{node.name}"
        answer = await pipe.request("PATCH", path, self._renewal_now(), MERGE_PATCH)
        if answer.code == 404 and node.is_alive and node.uid:
            answer = await pipe.request("POST", LEASES, self.new_lease(node), JSON)
        if answer.code < 300:
            self.renewed += 1
        elif answer.code != 409:
            raise refusal(f"the Lease of node {node.name}", answer)

    def _not_renewed(self, _node: Node) -> None:
        # Its turn comes again.
        self._missed += 1

    def _renewal_now(self) -> bytes:
        """Return the patch that renews a Lease; the same for all within some milliseconds."""
        now_ms = self._clock.now_ms()
        if not 0 <= now_ms - self._renewal_ms < 20:
            self._renewal_ms = now_ms
            spec: dict[str, object] = {
                "renewTime": times.format_micros(now_ms * 1000),
                "leaseDurationSeconds": self._lease_holds_s(),
            }
            self._renewal = orjson.dumps({"spec": spec})
        return self._renewal

    def _lease_holds_s(self) -> int:
        return int(_HELD_FOR * self.interval_s)

    def new_lease(self, node: Node) -> bytes:
        """Return the Lease of a node that has none, as a kubelet makes it."""
        owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
        now = times.format_micros(self._clock.now_ms() * 1000)
        spec = {
            "holderIdentity": node.name,
            "leaseDurationSeconds": self._lease_holds_s(),
            "renewTime": now,
        }
        metadata = {"name": node.name, "ownerReferences": [owner]}
        return orjson.dumps({"metadata": metadata, "spec": spec})

    async def _report(self, pipe: Pipe, node: Node) -> None:
        node.is_dirty = False
        is_whole = node.name in self._full
        if node.is_lost or not node.is_alive:
            self._full.discard(node.name)
            return
        self._full.discard(node.name)
        body = self._book.status_patch(node, whole=is_whole)
        answer = await pipe.request("PATCH", f"{PATH}/{node.name}/status", body, STRATEGIC_PATCH)
        if answer.code >= 300 and answer.code != 404:
            raise refusal(f"the status of node {node.name}", answer)

    def _not_told(self, node: Node) -> None:
        if not node.is_dirty:
            node.is_dirty = True
            self.report(node)

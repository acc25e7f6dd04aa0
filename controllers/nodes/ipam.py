"""Which addresses a node's pods get (pkg/controller/nodeipam, RangeAllocator).

Each node gets a part of each cluster range, for as long as it lives. What is given out stands in
the nodes alone: all of it is taken in before the first is given out. A write of which nobody knows
whether it was done keeps its ranges, and is tried again with the same; one that is refused gives
them back. Nodes that got nothing wait until a range is given back; no one looks for them meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Final

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.nodes.cidr_set import CidrSet, RangeError
from controllers.nodes.marks import NODES
from controllers.nodes.monitor import node_reference
from controllers.nodes.options import NodeOptions
from controllers.recorder import Recorder
from controllers.workqueue import WorkQueue, run_worker
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 30
_UNKNOWN_OUTCOME: Final = 504
_LOGGED_MAX: Final = 10
_TOLD_MAX: Final = 100
"""While more nodes wait than this, nobody is told of each."""
_log = logging.getLogger(__name__)


def cidr_sets(options: NodeOptions) -> list[CidrSet]:
    """Return what ranges are given out of, without what Services have.

    Raises:
        RangeError: a range has no such parts.
    """
    made = []
    for text in options.cluster_cidrs:
        network = ip_network(text)
        prefix = options.node_prefix_v4 if network.version == 4 else options.node_prefix_v6
        one = CidrSet(network, prefix)
        for service in options.service_cidrs:
            if ip_network(service).version == network.version and ip_network(service).overlaps(
                network
            ):
                one.occupy(service)
        made.append(one)
    return made


class RangeAllocator:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        book: all nodes in brief.
        sets: what ranges are given out of, one for each family.
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, book: NodeBook, sets: Sequence[CidrSet]
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._book = book
        self._sets = tuple(sets)
        self._held: dict[str, tuple[str, ...]] = {}
        self._waiting: dict[str, None] = {}
        self._queue: WorkQueue[str] = WorkQueue()
        self._foreign = 0
        if self._sets:
            book.listen(self._observe)

    def start(self, scope: TaskScope) -> None:
        """Start to give ranges out, once all nodes are known; without sets, others see to that."""
        if not self._sets:
            return
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"ranges of nodes {number}")

    def _observe(self, old: NodeBrief | None, new: NodeBrief | None, _node: object) -> None:
        if new is None:
            if old is not None:
                self._waiting.pop(old.name, None)
                self._queue.add(old.name)
        elif new.pod_ranges:
            self._hold(new.name, new.pod_ranges)
        elif new.name not in self._waiting:
            self._queue.add(new.name)

    def _hold(self, name: str, ranges: tuple[str, ...]) -> None:
        """Take note of what a node has, in place of what it was to get."""
        held = self._held.get(name)
        if held == ranges:
            return
        if held is not None:
            self._release(name)
        self._waiting.pop(name, None)
        self._held[name] = ranges
        for at, text in enumerate(ranges):
            try:
                if at >= len(self._sets):
                    raise RangeError(f"there is no cluster cidr at index {at}")
                self._sets[at].occupy(text)
            except RangeError as error:
                self._foreign += 1
                level = logging.WARNING if self._foreign <= _LOGGED_MAX else logging.DEBUG
                _log.log(level, "range %s of node %s is none of ours: %s", text, name, error)

    def _release(self, name: str) -> None:
        for one, text in zip(self._sets, self._held.pop(name, ()), strict=False):
            try:
                one.release(text)
            except RangeError:
                continue  # as it was not taken in
        for waiting in list(self._waiting)[:1]:
            del self._waiting[waiting]
            self._queue.add(waiting)

    async def sync(self, name: str) -> None:
        """Give a node its ranges, or take back those of one that is gone."""
        node = self._book.get(name)
        if node is None:
            if name in self._held:
                self._release(name)
            return
        if node.pod_ranges:
            return
        ranges = self._held.get(name) or self._allocate(node)
        if ranges is None:
            return
        body = {
            "metadata": {"uid": node.uid},
            "spec": {"podCIDR": ranges[0], "podCIDRs": list(ranges)},
        }
        try:
            await self._client.request("PATCH", f"{NODES}/{name}", Patch(body, STRATEGIC_PATCH))
        except StatusError as error:
            if error.code != _UNKNOWN_OUTCOME:
                self._release(name)
            if error.code == 404:
                return
            self._tell(node, "CIDRAssignmentFailed")
            raise

    def _allocate(self, node: NodeBrief) -> tuple[str, ...] | None:
        """Take a range of each set for a node; None: one has none left, and the node waits."""
        taken: list[str] = []
        for one in self._sets:
            found = one.allocate()
            if found is None:
                for other, text in zip(self._sets, taken, strict=False):
                    other.release(text)
                self._waiting[node.name] = None
                if len(self._waiting) <= _TOLD_MAX:
                    self._tell(node, "CIDRNotAvailable")
                return None
            taken.append(found)
        ranges = self._held[node.name] = tuple(taken)
        return ranges

    def _tell(self, node: NodeBrief, reason: str) -> None:
        text = f"Node {node.name} status is now: {reason}"
        self._recorder.note(node_reference(node.name, node.uid), reason, text)

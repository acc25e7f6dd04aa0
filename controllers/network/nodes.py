"""What slices need to know of nodes: their zones, and how much CPU each zone has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kube import quantity
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

NODES: Final = "/api/v1/nodes"
ZONE: Final = "topology.kubernetes.io/zone"
_EXCLUDED: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


class NodeBrief(NamedTuple):
    """What is kept of a node.

    Attributes:
        counts: whether its CPU counts: it is ready, and no control plane.
    """

    zone: str
    cpu_millis: int
    counts: bool


class Zones:
    """All nodes, fed by their informer; sums by zone are kept as they change.

    Attributes:
        version: grows when a node goes, or is in another zone: what was said of it is not so now.
    """

    def __init__(self) -> None:
        self.version = 0
        self._nodes: dict[str, NodeBrief] = {}
        self._cpu: dict[str, int] = {}
        self._lacking = 0
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` told whenever zones' shares may have changed."""
        self._listeners.append(listener)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        changed = False
        for change, key, obj, _ in deltas:
            old = self._nodes.get(key)
            new = None if change is Change.DELETED else _brief(obj)
            if old == new:
                continue
            changed = True
            if old is not None and (new is None or new.zone != old.zone):
                self.version += 1
            self._count(old, -1)
            self._count(new, 1)
            if new is None:
                self._nodes.pop(key, None)
            else:
                self._nodes[key] = new
        if changed:
            for listener in self._listeners:
                listener()

    def zone_of(self, node: str) -> str | None:
        """Return a node's zone, "" if it has none, None if there is no such node."""
        brief = self._nodes.get(node)
        return None if brief is None else brief.zone

    def shares(self) -> dict[str, float] | None:
        """Return which part of the CPU each zone has.

        None: there are not two zones, or of some node zone or CPU are unknown.
        """
        total = sum(self._cpu.values())
        if self._lacking or not total or len(self._cpu) < 2:
            return None
        return {zone: millis / total for zone, millis in self._cpu.items()}

    def _count(self, node: NodeBrief | None, sign: int) -> None:
        if node is None or not node.counts:
            return
        if not node.zone or not node.cpu_millis:
            self._lacking += sign
            return
        left = self._cpu.get(node.zone, 0) + sign * node.cpu_millis
        if left:
            self._cpu[node.zone] = left
        else:
            self._cpu.pop(node.zone, None)


def _brief(node: JsonObject) -> NodeBrief:
    labels = node["metadata"].get("labels") or {}
    status = node.get("status") or {}
    ready = any(
        one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()
    )
    try:
        cpu = quantity.parse_value((status.get("allocatable") or {}).get("cpu", "0")).milli_value
    except quantity.QuantityError:
        cpu = 0
    is_control_plane = any(key in labels for key in _EXCLUDED)
    return NodeBrief(labels.get(ZONE, ""), cpu, ready and not is_control_plane)

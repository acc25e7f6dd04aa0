"""Nodes as cells, and what pods take of them: what the console knows, kept up by single changes.

Each node has a cell: a slot, a zone, a state, and shares of what it has. Of each pod is kept
what it counts for, so that its next change can take that back. Whoever looks has a `Viewer`, whose
sets say what to tell next; so telling costs what has changed, never what there is.

Invariants:
    - A slot belongs to one node at a time; one that is free again is used before new ones are made.
    - `phases`, the states and each node's use are the sums over all pods and nodes that are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from apiserver.types.pods.quantities import nanos
from apiserver.types.pods.totals import aggregate
from kube.json_types import JsonObject
from kube.quantity import QuantityError

ZONE_LABEL: Final = "topology.kubernetes.io/zone"
CORDONED: Final = 4
TAINTED: Final = 8
PRESSED: Final = 16
LEAVING: Final = 32
"""Flags of a cell; the two lowest bits are its `Readiness`."""
_IMPLIED: Final = "node.kubernetes.io/"
"""Taints of this prefix say what conditions and `unschedulable` say already."""
_PRESSURES: Final = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure"})
_BLOCKING: Final = frozenset({"NoSchedule", "NoExecute"})
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_KNOWN_REQUESTS_MAX: Final = 4096
_MILLI: Final = 1_000_000
_UNIT: Final = 1_000_000_000
Row: TypeAlias = list[Any]


class Readiness(IntEnum):
    """What a node's condition Ready says."""

    READY = 0
    NOT_READY = 1
    UNKNOWN = 2


class Amounts(NamedTuple):
    """What is counted: thousandths of a core, bytes, devices of any extended resource."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    devices: int = 0


class Pod(NamedTuple):
    """What a pod counts for."""

    node: str
    phase: str
    amounts: Amounts


@dataclass(slots=True)
class Use:
    """What the pods of a node take; it may be known before the node is."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    devices: int = 0
    pods: int = 0

    def add(self, amounts: Amounts, sign: int) -> None:
        """Count a pod (1), or one less (-1)."""
        self.cpu_milli += sign * amounts.cpu_milli
        self.memory_bytes += sign * amounts.memory_bytes
        self.devices += sign * amounts.devices
        self.pods += sign


@dataclass(slots=True)
class Cell:
    """A node."""

    slot: int
    name: str
    zone: int
    flags: int
    has: Amounts
    pods_max: int
    use: Use


@dataclass(slots=True, eq=False)
class Viewer:
    """What somebody who looks has not been told yet, by slot, and how many zones he knows."""

    rows: set[int] = field(default_factory=set)
    uses: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    zones: int = 0


class Book:
    """See the module's head."""

    def __init__(self) -> None:
        self.cells: list[Cell | None] = []
        self.zones: list[str] = []
        self.phases: Counter[str] = Counter()
        self.unbound = 0
        self.viewers: set[Viewer] = set()
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._zone_numbers: dict[str, int] = {}
        self._uses: dict[str, Use] = {}
        self._pods: dict[str, Pod] = {}
        self._flags: Counter[int] = Counter()

    def look(self) -> Viewer:
        """Return somebody new, who is to be told of all nodes."""
        viewer = Viewer(rows=set(self._slots.values()))
        self.viewers.add(viewer)
        return viewer

    def put_node(self, node: JsonObject) -> None:
        """Take a node as it is now."""
        name = node["metadata"]["name"]
        labels = node["metadata"].get("labels") or {}
        status = node.get("status") or {}
        free = status.get("allocatable") or status.get("capacity") or {}
        slot = self._slots.get(name)
        if slot is None:
            slot = self._new_slot(name)
        else:
            self._flags[self._cell(slot).flags] -= 1
        flags = flags_of(node)
        cell = Cell(
            slot,
            name,
            self._zone(str(labels.get(ZONE_LABEL) or "")),
            flags,
            amounts_of(free),
            _amount(free.get("pods"), _UNIT),
            self._use(name),
        )
        before, self.cells[slot] = self.cells[slot], cell
        self._flags[flags] += 1
        # A kubelet's report that changes nothing shown is the most frequent one.
        if before != cell:
            for viewer in self.viewers:
                viewer.rows.add(slot)
                viewer.gone.discard(slot)

    def drop_node(self, name: str) -> None:
        """Forget a node; what its pods take stays until they go."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        self._flags[self._cell(slot).flags] -= 1
        self.cells[slot] = None
        self._free.append(slot)
        self._forget_use(name)
        for viewer in self.viewers:
            viewer.rows.discard(slot)
            viewer.uses.discard(slot)
            viewer.gone.add(slot)

    def clear_nodes(self) -> None:
        """Forget all nodes: what there is will be told anew."""
        for name in tuple(self._slots):
            self.drop_node(name)

    def put_pod(self, key: str, obj: JsonObject) -> None:
        """Take a pod as it is now."""
        pod = pod_of(obj)
        before = self._pods.get(key)
        if before == pod:
            return
        if before is not None:
            self._count(before, -1)
        self._pods[key] = pod
        self._count(pod, 1)

    def drop_pod(self, key: str) -> None:
        """Forget a pod."""
        pod = self._pods.pop(key, None)
        if pod is not None:
            self._count(pod, -1)

    def clear_pods(self) -> None:
        """Forget all pods."""
        for key in tuple(self._pods):
            self.drop_pod(key)

    def node_counts(self) -> dict[str, int]:
        """Return how many nodes there are, and in which states; O(kinds of states)."""
        counts = dict.fromkeys(("total", "ready", "notReady", "unknown"), 0)
        counts |= dict.fromkeys(("cordoned", "tainted", "pressed"), 0)
        names = {0: "ready", 1: "notReady", 2: "unknown"}
        for flags, count in self._flags.items():
            counts["total"] += count
            counts[names[flags & 3]] += count
            for flag, name in ((CORDONED, "cordoned"), (TAINTED, "tainted"), (PRESSED, "pressed")):
                counts[name] += count if flags & flag else 0
        return counts

    def pod_counts(self) -> dict[str, int]:
        """Return how many pods there are by phase, in all, and without a node."""
        counts = {phase: count for phase, count in sorted(self.phases.items()) if count}
        return {"total": len(self._pods), "unbound": self.unbound, **counts}

    def row(self, slot: int) -> Row | None:
        """Return a node for a viewer: slot, name, zone, flags, and what `use_row` has."""
        cell = self.cells[slot]
        if cell is None:
            return None
        return [slot, cell.name, cell.zone, cell.flags, *_shares(cell)]

    def use_row(self, slot: int) -> Row | None:
        """Return what a node's pods take: slot, permille of cpu, memory, devices, pods; pods.

        -1 stands for what the node does not have.
        """
        cell = self.cells[slot]
        return None if cell is None else [slot, *_shares(cell)]

    def _count(self, pod: Pod, sign: int) -> None:
        self.phases[pod.phase] += sign
        if not pod.node:
            self.unbound += sign
            return
        if pod.phase in _ENDED:
            return
        self._use(pod.node).add(pod.amounts, sign)
        slot = self._slots.get(pod.node)
        if slot is None:
            self._forget_use(pod.node)
            return
        for viewer in self.viewers:
            viewer.uses.add(slot)

    def _use(self, name: str) -> Use:
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = Use()
        return use

    def _forget_use(self, name: str) -> None:
        use = self._uses.get(name)
        if use is not None and not use.pods and name not in self._slots:
            del self._uses[name]

    def _new_slot(self, name: str) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.cells)
            self.cells.append(None)
        self._slots[name] = slot
        return slot

    def _cell(self, slot: int) -> Cell:
        cell = self.cells[slot]
        assert cell is not None, "a slot in use has a cell"
        return cell

    def _zone(self, name: str) -> int:
        number = self._zone_numbers.get(name)
        if number is None:
            number = self._zone_numbers[name] = len(self.zones)
            self.zones.append(name)
        return number


def flags_of(node: JsonObject) -> int:
    """Return a node's readiness and what else there is to see of it."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    flags = int(Readiness.UNKNOWN)
    for condition in status.get("conditions") or ():
        kind, value = condition.get("type"), condition.get("status")
        if kind == "Ready":
            known = {"True": Readiness.READY, "False": Readiness.NOT_READY}
            flags = flags & ~3 | known.get(str(value), Readiness.UNKNOWN)
        elif kind in _PRESSURES and value == "True":
            flags |= PRESSED
    if spec.get("unschedulable"):
        flags |= CORDONED
    for taint in spec.get("taints") or ():
        if taint.get("effect") in _BLOCKING and not str(taint.get("key")).startswith(_IMPLIED):
            flags |= TAINTED
    if node["metadata"].get("deletionTimestamp"):
        flags |= LEAVING
    return flags


def pod_of(obj: JsonObject) -> Pod:
    """Return what a pod counts for."""
    spec = obj.get("spec") or {}
    phase = str((obj.get("status") or {}).get("phase") or "Pending")
    return Pod(str(spec.get("nodeName") or ""), phase, _requests(spec))


def amounts_of(resources: JsonObject) -> Amounts:
    """Return what a resource list has of what is counted."""
    devices = sum(
        _amount(value, _UNIT)
        for name, value in resources.items()
        # Extended resources have a domain, and not one of Kubernetes's own.
        if "/" in name and "kubernetes.io/" not in name
    )
    cpu = _amount(resources.get("cpu"), _MILLI)
    return Amounts(cpu, _amount(resources.get("memory"), _UNIT), devices)


_known: dict[bytes, Amounts] = {}


def _requests(spec: JsonObject) -> Amounts:
    """Return what a pod requests; pods of one template are worked out once."""
    mains: Sequence[JsonObject] = spec.get("containers") or ()
    inits: Sequence[JsonObject] = spec.get("initContainers") or ()
    key = orjson.dumps(
        [
            [one.get("resources") for one in mains],
            [(one.get("resources"), one.get("restartPolicy")) for one in inits],
            (spec.get("resources") or {}).get("requests"),
        ]
    )
    amounts = _known.get(key)
    if amounts is None:
        # What is asked for the pod as a whole stands above its containers (KEP-2837).
        whole = (spec.get("resources") or {}).get("requests") or {}
        amounts = amounts_of({**aggregate(spec, "requests"), **whole})
        if len(_known) >= _KNOWN_REQUESTS_MAX:
            _known.clear()
        _known[key] = amounts
    return amounts


def _amount(value: object, unit_nanos: int) -> int:
    try:
        return 0 if value is None else nanos(str(value)) // unit_nanos
    except QuantityError:
        return 0  # a node says what it likes


def _shares(cell: Cell) -> Row:
    use, has = cell.use, cell.has
    return [
        _permille(use.cpu_milli, has.cpu_milli),
        _permille(use.memory_bytes, has.memory_bytes),
        _permille(use.devices, has.devices),
        _permille(use.pods, cell.pods_max),
        use.pods,
    ]


def _permille(used: int, whole: int) -> int:
    return used * 1000 // whole if whole > 0 else -1

"""Nodes as NumPy columns: one slot a node, one array a property, kept up to date by events.

A slot belongs to a name: it is made when a node, or a pod on one, is first heard of, and given
back when both are gone. Arrays have room for more slots than are used (`count`); all that is
read of them is cut there. Labels become columns of small numbers when somebody first asks.

`version` changes with whatever the filters look at that pods do not change: labels, taints,
capacity, images, and which nodes there are. What pods take is in `used`, and changes without it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from controllers.scheduler.resources import NATIVE, PODS, Amounts, amounts_of
from controllers.scheduler.terms import Taint, parse_taints
from kube.json_types import JsonObject
from kube.selectors import Operator, Requirement, parse_int64

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)
_ROOM: Final = 64
_GOLDEN: Final = 2_654_435_761
_GOLDEN_INVERSE: Final = pow(_GOLDEN, -1, 1 << 32)
_UNUSED_MAX: Final = 1024
ABSENT: Final = -1


class LabelColumn:
    """The values of one label, as numbers: `codes[slot]` is one of `values`, or ABSENT."""

    def __init__(self, room: int) -> None:
        self.codes: Codes = np.full(room, ABSENT, np.int32)
        self.values: list[str] = []
        self.code_of: dict[str, int] = {}

    def put(self, slot: int, value: str | None) -> None:
        """Set a node's value."""
        if value is None:
            self.codes[slot] = ABSENT
            return
        code = self.code_of.get(value)
        if code is None:
            code = self.code_of[value] = len(self.values)
            self.values.append(value)
        self.codes[slot] = code

    def matching(self, requirement: Requirement, count: int) -> Bools:
        """Return which nodes meet a condition on this label."""
        codes = self.codes[:count]
        found: Bools
        match requirement.operator:
            case Operator.EXISTS:
                found = codes != ABSENT
            case Operator.NOT_EXISTS:
                found = codes == ABSENT
            case Operator.IN | Operator.NOT_IN:
                wanted = [
                    self.code_of[value] for value in requirement.values if value in self.code_of
                ]
                found = np.isin(codes, wanted) if len(wanted) != 1 else codes == wanted[0]
                if requirement.operator is Operator.NOT_IN:
                    found = ~found
            case Operator.GREATER | Operator.LESS:
                table = np.zeros(len(self.values) + 1, np.bool_)  # the last one is ABSENT's
                for code, value in enumerate(self.values):
                    is_number = parse_int64(value) is not None
                    table[code] = is_number and requirement.matches({requirement.key: value})
                found = table[codes]
        return found


@dataclass(slots=True)
class NodeFacts:
    """What is kept of a node beside the arrays: to tell what an update changes."""

    labels: tuple[str, ...]
    taints: tuple[Taint, ...]
    unschedulable: bool
    amounts: Amounts
    images: int


@dataclass(slots=True)
class ImageSets:
    """The images that nodes have, as sets: nodes of one kind often have the same."""

    sets: list[dict[str, int]] = field(default_factory=lambda: [{}])
    numbers: dict[tuple[tuple[str, int], ...], int] = field(default_factory=lambda: {(): 0})

    def number_of(self, images: tuple[tuple[str, int], ...]) -> int:
        """Return the number of a set."""
        number = self.numbers.get(images)
        if number is None:
            number = self.numbers[images] = len(self.sets)
            self.sets.append(dict(images))
        return number


class NodeColumns:
    """See the module's head.

    Attributes:
        count: slots in use are below this.
        valid: whether the slot's node exists.
        allocatable, used: amounts by resource, and what pods take.
        pods_max, pods: how many pods may be, and are there.
        nonzero_cpu, nonzero_memory: what scores think that pods take.
        taints, images: numbers of taint sets and image sets.
        rank: an order of nodes by which equals are taken in turn, seeded.
    """

    def __init__(self, seed: int = 0) -> None:
        self.count = 0
        self.version = 0
        self.slot_of: dict[str, int] = {}
        self.names: list[str] = []
        self.facts: list[NodeFacts | None] = []
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.image_sets = ImageSets()
        self.labels: dict[str, LabelColumn] = {}
        self._taint_numbers: dict[tuple[Taint, ...], int] = {(): 0}
        self._seed = seed & 0xFFFFFFFF
        self._free: list[int] = []
        self._room = _ROOM
        self.valid: Bools = np.zeros(_ROOM, np.bool_)
        self.unschedulable: Bools = np.zeros(_ROOM, np.bool_)
        self.taints: Codes = np.zeros(_ROOM, np.int32)
        self.images: Codes = np.zeros(_ROOM, np.int32)
        self.pods_max: Ints = np.zeros(_ROOM, np.int64)
        self.pods: Ints = np.zeros(_ROOM, np.int64)
        self.nonzero_cpu: Ints = np.zeros(_ROOM, np.int64)
        self.nonzero_memory: Ints = np.zeros(_ROOM, np.int64)
        self.rank: Ints = np.zeros(_ROOM, np.int64)
        self.allocatable: dict[str, Ints] = {name: np.zeros(_ROOM, np.int64) for name in NATIVE}
        self.used: dict[str, Ints] = {name: np.zeros(_ROOM, np.int64) for name in NATIVE}

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return int(self.valid[: self.count].sum())

    def slot(self, name: str) -> int:
        """Return the slot of a node, made if there is none."""
        found = self.slot_of.get(name)
        if found is not None:
            return found
        if self._free:
            slot = self._free.pop()
            self.names[slot] = name
        else:
            slot = self.count
            if slot == self._room:
                self._grow()
            self.count += 1
            self.names.append(name)
            self.facts.append(None)
            # A bijection of 32 bits: no two nodes have one rank.
            self.rank[slot] = (slot * _GOLDEN + self._seed) & 0xFFFFFFFF
        self.slot_of[name] = slot
        self.version += 1
        return slot

    def slot_of_rank(self, rank: int) -> int:
        """Return whose rank it is."""
        return ((rank - self._seed) * _GOLDEN_INVERSE) & 0xFFFFFFFF

    def put(self, node: JsonObject) -> tuple[int, bool]:
        """Take a node as it is now; return its slot, and whether that changes anything."""
        slot = self.slot(node["metadata"]["name"])
        facts = self._read(node)
        if self.facts[slot] == facts:
            return slot, False
        self.facts[slot] = facts
        self._forget_unused()
        self.version += 1
        self.valid[slot] = True
        self.unschedulable[slot] = facts.unschedulable
        self.taints[slot] = self._taint_set(facts.taints)
        self.images[slot] = facts.images
        self.pods_max[slot] = facts.amounts.get(PODS, 0)
        for name, amount in facts.amounts.items():
            if name != PODS:
                self.column(self.allocatable, name)[slot] = amount
        for name, column in self.allocatable.items():
            if name not in facts.amounts:
                column[slot] = 0
        self._put_labels(slot, dict(zip(facts.labels[::2], facts.labels[1::2], strict=True)))
        return slot, True

    def drop(self, name: str) -> int | None:
        """Forget a node; its slot stays while pods are on it. Return the slot."""
        slot = self.slot_of.get(name)
        if slot is None:
            return None
        self.version += 1
        self.valid[slot] = False
        self.facts[slot] = None
        self.unschedulable[slot] = False
        self.taints[slot] = self.images[slot] = 0
        self.pods_max[slot] = 0
        for column in self.allocatable.values():
            column[slot] = 0
        self._put_labels(slot, {})
        self.release(slot)
        return slot

    def release(self, slot: int) -> None:
        """Give a slot back if there is neither a node nor a pod."""
        if self.facts[slot] is None and not self.pods[slot]:
            name = self.names[slot]
            if self.slot_of.pop(name, None) is not None:
                self.names[slot] = ""
                self._free.append(slot)

    def label(self, key: str) -> LabelColumn:
        """Return the column of a label."""
        column = self.labels.get(key)
        if column is None:
            column = self.labels[key] = LabelColumn(self._room)
            for slot, facts in enumerate(self.facts):
                if facts is None:
                    continue
                labels = facts.labels
                for at in range(0, len(labels), 2):
                    if labels[at] == key:
                        column.put(slot, labels[at + 1])
        return column

    def labels_of(self, slot: int) -> dict[str, str]:
        """Return a node's labels."""
        facts = self.facts[slot]
        labels = facts.labels if facts is not None else ()
        return dict(zip(labels[::2], labels[1::2], strict=True))

    def column(self, columns: dict[str, Ints], name: str) -> Ints:
        """Return an amount's column, made if there is none."""
        found = columns.get(name)
        if found is None:
            found = columns[name] = np.zeros(self._room, np.int64)
        return found

    def add_pod(self, slot: int, requests: Amounts, nonzero: tuple[int, int], sign: int) -> None:
        """Count what a pod takes (sign 1), or does not take any more (-1)."""
        for name, amount in requests.items():
            self.column(self.used, name)[slot] += sign * amount
        self.nonzero_cpu[slot] += sign * nonzero[0]
        self.nonzero_memory[slot] += sign * nonzero[1]
        self.pods[slot] += sign

    def _read(self, node: JsonObject) -> NodeFacts:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        labels: list[str] = []
        for key, value in (node["metadata"].get("labels") or {}).items():
            labels += (sys.intern(key), sys.intern(value))
        images = tuple(
            (name, int(image.get("sizeBytes") or 0))
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        )
        return NodeFacts(
            tuple(labels),
            parse_taints(spec),
            bool(spec.get("unschedulable")),
            amounts_of(status.get("allocatable") or status.get("capacity")),
            self.image_sets.number_of(images),
        )

    def _forget_unused(self) -> None:
        """Begin anew to number what has mostly belonged to nodes that are gone."""
        most = 2 * self.count + _UNUSED_MAX
        if len(self.image_sets.sets) > most:
            old, self.image_sets = self.image_sets.sets, ImageSets()
            for slot, facts in enumerate(self.facts):
                if facts is not None:
                    images = tuple(old[facts.images].items())
                    facts.images = self.image_sets.number_of(images)
                    self.images[slot] = facts.images
        if len(self.taint_sets) > most:
            self.taint_sets, self._taint_numbers = [()], {(): 0}
            self.taints[:] = 0
            for slot, facts in enumerate(self.facts):
                if facts is not None:
                    self.taints[slot] = self._taint_set(facts.taints)
        for key in [key for key, column in self.labels.items() if len(column.values) > most]:
            del self.labels[key]  # made again when it is asked for

    def _put_labels(self, slot: int, labels: dict[str, str]) -> None:
        for key, column in self.labels.items():
            column.put(slot, labels.get(key))

    def _taint_set(self, taints: tuple[Taint, ...]) -> int:
        number = self._taint_numbers.get(taints)
        if number is None:
            number = self._taint_numbers[taints] = len(self.taint_sets)
            self.taint_sets.append(taints)
        return number

    def _grow(self) -> None:
        self._room *= 2
        for name in _ARRAYS:
            setattr(self, name, _grown(getattr(self, name), self._room, 0))
        for columns in (self.allocatable, self.used):
            for name, array in columns.items():
                columns[name] = _grown(array, self._room, 0)
        for column in self.labels.values():
            column.codes = _grown(column.codes, self._room, ABSENT)


_ARRAYS: Final = (
    "valid",
    "unschedulable",
    "taints",
    "images",
    "pods_max",
    "pods",
    "nonzero_cpu",
    "nonzero_memory",
    "rank",
)


def _grown(array: npt.NDArray[T], room: int, fill: int) -> npt.NDArray[T]:
    grown = np.full(room, fill, array.dtype)
    grown[: len(array)] = array
    return grown

"""Slices, classes and claims as the scheduler believes them to be, and which node reaches what.

An allocation that was decided counts at once (`assume`), until the API tells of it or it is taken
back. Whoever keeps conclusions about nodes reads on in `touched`, the pools of which something
came or went, and begins anew when `slices_version` is another.

Invariant: `usage` is the sum over the allocations of all claims, assumed ones before the API's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools, NodeColumns
from controllers.scheduler.devices.model import (
    Amounts,
    Claim,
    Device,
    DeviceId,
    Place,
    PoolId,
    Slice,
    nanos,
    read_claim,
    read_slice,
    selectors_of,
)
from controllers.scheduler.devices.search import Pool, Usage
from controllers.scheduler.node_rules import names_match, term_matches
from controllers.scheduler.terms import NodeTerm
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

_TOUCHED_MAX: Final = 65_536
UPDATING: Final = "currently being updated"
INVALID: Final = "currently invalid"
View = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A DeviceClass: its selectors, and what it configures."""

    name: str
    selectors: tuple[str, ...]
    config: tuple[JsonObject, ...]


class Book:
    """See the module's head.

    Attributes:
        touched: pools, in the order in which something changed in them.
        touched_count: how many were ever touched.
        freed: how many allocations came to an end.
    """

    def __init__(self, columns: NodeColumns) -> None:
        self.columns = columns
        self.claims: dict[str, Claim] = {}
        self.classes: dict[str, DeviceClass] = {}
        self.slices: dict[str, Slice] = {}
        self.usage = Usage()
        self.slices_version = self.classes_version = self.freed = 0
        self.touched: deque[PoolId] = deque(maxlen=_TOUCHED_MAX)
        self.touched_count = 0
        self.on_claim: list[Callable[[str], None]] = []
        self._assumed: dict[str, JsonObject] = {}
        self._by_pool: dict[PoolId, dict[str, Slice]] = {}
        self._local: dict[str, dict[str, Slice]] = {}
        self._shared: dict[str, Slice] = {}
        self._marks: dict[str, int] = {}
        self._mark = 0

    def claim_mark(self, key: str) -> int:
        """Return a number that changes with a claim."""
        return self._marks.get(key, 0)

    def take_slices(self, deltas: Sequence[Delta]) -> None:
        """Take changes of ResourceSlices."""
        for delta in deltas:
            before = self.slices.pop(delta.key, None)
            if before is not None:
                self._by_pool[before.pool].pop(before.name, None)
                self._shared.pop(before.name, None)
                if before.place is not None:
                    self._local.get(before.place.node, {}).pop(before.name, None)
            if delta.change is not Change.DELETED:
                made = self.slices[delta.key] = read_slice(delta.object)
                self._by_pool.setdefault(made.pool, {})[made.name] = made
                if made.place is not None and made.place.node:
                    self._local.setdefault(made.place.node, {})[made.name] = made
                else:
                    self._shared[made.name] = made
        self.slices_version += 1

    def take_classes(self, deltas: Sequence[Delta]) -> None:
        """Take changes of DeviceClasses."""
        for delta in deltas:
            if delta.change is Change.DELETED:
                self.classes.pop(delta.key, None)
                continue
            spec = delta.object.get("spec") or {}
            selectors = selectors_of(spec.get("selectors"))
            config = tuple(spec.get("config") or ())
            self.classes[delta.key] = DeviceClass(delta.key, selectors, config)
        self.classes_version += 1

    def take_claims(self, deltas: Sequence[Delta]) -> None:
        """Take changes of ResourceClaims."""
        for delta in deltas:
            key = delta.key
            held = self._held(key)
            if delta.change is Change.DELETED:
                self.claims.pop(key, None)
                self._assumed.pop(key, None)
                self._marks.pop(key, None)
            else:
                self.claims[key] = claim = read_claim(delta.object)
                if claim.allocation is not None:
                    self._assumed.pop(key, None)
                self._mark += 1
                self._marks[key] = self._mark
            self._exchange(held, self._held(key))
            for tell in self.on_claim:
                tell(key)

    def allocation_of(self, key: str) -> JsonObject | None:
        """Return what a claim has, or is about to."""
        return self._held(key)

    def assume(self, key: str, allocation: JsonObject) -> None:
        """Take a claim for allocated before the API knows."""
        held = self._held(key)
        self._assumed[key] = allocation
        self._exchange(held, allocation)

    def forget(self, key: str) -> None:
        """Take back what was assumed of a claim."""
        held = self._held(key)
        if self._assumed.pop(key, None) is not None:
            self._exchange(held, self._held(key))

    def _held(self, key: str) -> JsonObject | None:
        assumed = self._assumed.get(key)
        if assumed is not None:
            return assumed
        claim = self.claims.get(key)
        return None if claim is None else claim.allocation

    def _exchange(self, before: JsonObject | None, after: JsonObject | None) -> None:
        if before == after:
            return
        if before is not None:
            self._count(before, -1)
            self.freed += 1
        if after is not None:
            self._count(after, 1)

    def _count(self, allocation: JsonObject, sign: int) -> None:
        devices, consumed = self.usage.devices, self.usage.consumed
        for result in (allocation.get("devices") or {}).get("results") or ():
            if result.get("adminAccess"):
                continue
            device = (result["driver"], result["pool"], result["device"])
            if result.get("shareID"):
                amounts = consumed.setdefault(device, {})
                for name, amount in (result.get("consumedCapacity") or {}).items():
                    amounts[name] = amounts.get(name, 0) + sign * nanos(amount)
                shares = amounts[""] = amounts.get("", 0) + sign
                if not shares:
                    del consumed[device]
            else:
                left = devices.get(device, 0) + sign
                if left:
                    devices[device] = left
                else:
                    del devices[device]
            self.touched.append(device[:2])
            self.touched_count += 1

    def views(self) -> list[View]:
        """Return, by slot, the slices that the node reaches, and its name if devices ask for it."""
        columns, count = self.columns, self.columns.count
        masks = [(name, self._mask(one)) for name, one in sorted(self._shared.items())]
        everywhere = tuple(name for name, mask in masks if mask is None)
        some = [(name, mask) for name, mask in masks if mask is not None]
        found: list[View] = []
        for slot in range(count):
            name = columns.names[slot]
            view = (*everywhere, *(one for one, mask in some if mask[slot]))
            local = self._local.get(name)
            if local:
                view = (*view, *sorted(local))
            if any(self.slices[one].place is None for one in view if one in self._shared):
                view = (*view, f"@{name}")
            found.append(view)
        return found

    def _mask(self, one: Slice) -> Bools | None:
        """Return which nodes reach a slice, or any device of it; None: all."""
        places = [one.place] if one.place is not None else [each.place for each in one.devices]
        if any(place.is_everywhere for place in places):
            return None
        found = np.zeros(self.columns.count, np.bool_)
        for place in places:
            slot = self.columns.slot_of.get(place.node) if place.node else None
            if slot is not None:
                found[slot] = True
            if place.terms is not None:
                found |= terms_mask(self.columns, place.terms)
        return found

    def pools(self, view: View, slot: int) -> list[Pool]:
        """Return the pools of a view, as the node at a slot reaches them (GatherPools)."""
        by_pool: dict[PoolId, list[Slice]] = {}
        for name in view:
            if name in self.slices:
                by_pool.setdefault(self.slices[name].pool, []).append(self.slices[name])
        made = [self._pool(pool, slices, slot) for pool, slices in by_pool.items()]
        found = [pool for pool in made if pool is not None]
        # Devices that have to be waited for come last.
        found.sort(key=lambda pool: (any(one.binding for one in pool.devices), pool.id))
        return found

    def _pool(self, pool: PoolId, slices: list[Slice], slot: int) -> Pool | None:
        every = self._by_pool[pool].values()
        generation = max(one.generation for one in every)
        mine = sorted(
            (one for one in slices if one.generation == generation), key=lambda one: one.name
        )
        if not mine:
            return None  # its driver is about to replace what is here
        current = [one for one in every if one.generation == generation]
        fault = "" if len(current) == mine[0].slices else UPDATING
        names = [device.id for one in current for device in one.devices]
        if len(set(names)) < len(names):
            fault = INVALID
        devices = tuple(
            device
            for one in mine
            for device in one.devices
            if one.place is not None or self._reaches(device.place, slot)
        )
        return Pool(pool, devices, fault, self._left(current))

    def place_of(self, device: Device) -> Place:
        """Return where a device is: where its slice is, or a place of its own."""
        for one in self._by_pool.get(device.pool, {}).values():
            if one.place is not None and device in one.devices:
                return one.place
        return device.place

    def _reaches(self, place: Place, slot: int) -> bool:
        if place.node:
            return self.columns.slot_of.get(place.node) == slot
        if place.is_everywhere:
            return True
        return place.terms is not None and self.matches_terms(place.terms, slot)

    def matches_terms(self, terms: Iterable[NodeTerm], slot: int) -> bool:
        """Tell whether a node is one that a NodeSelector selects."""
        labels, name = self.columns.labels_of(slot), self.columns.names[slot]
        return any(
            not term.is_empty
            and all(one.matches(labels) for one in term.expressions)
            and names_match(term, name)
            for term in terms
        )

    def _left(self, slices: list[Slice]) -> Mapping[str, Amounts]:
        """Return what allocated devices leave of a pool's counters."""
        left = {name: dict(amounts) for one in slices for name, amounts in one.counters.items()}
        if left:
            for one in slices:
                for device in one.devices:
                    if self._is_used(device.id):
                        _subtract(left, device)
        return left

    def _is_used(self, device: DeviceId) -> bool:
        return device in self.usage.devices or device in self.usage.consumed

    def check(self) -> None:
        """Assert the invariant; for tests."""
        usage, self.usage = self.usage, Usage()
        touched = self.touched_count
        for key in {*self.claims, *self._assumed}:
            held = self._held(key)
            if held is not None:
                self._count(held, 1)
        assert usage == self.usage, (usage, self.usage)
        self.touched_count = max(touched, self.touched_count)


def _subtract(left: dict[str, dict[str, int]], device: Device) -> None:
    for name, amounts in device.counters:
        counters = left.get(name, {})
        for counter, amount in amounts.items():
            if counter in counters:
                counters[counter] -= amount


def terms_mask(columns: NodeColumns, terms: Iterable[NodeTerm]) -> Bools:
    """Return which nodes a NodeSelector selects."""
    found = np.zeros(columns.count, np.bool_)
    for term in terms:
        found |= term_matches(columns, term)
    return found

"""Choosing devices for claims on one node: the first way that fits, by going back where none does.

    claim ──► request ──► alternative ──► device ──► device ──► next request ──► next claim
                  ▲            │ none fits   │ none fits
                  └── next ◄───┘◄── next ◄───┘

Devices of one request are taken in the order of the pools, so that each set is tried once. What
is taken is on a stack, and is given back from its top. The search gives up after as many steps as
are allowed: there may be more ways than anybody can try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controllers.scheduler.devices.model import (
    ALL,
    BLOCKING_EFFECTS,
    Amounts,
    Asked,
    Claim,
    Device,
    DeviceId,
    PoolId,
    tolerates,
)

RESULTS_MAX: Final = 32
STEPS_MAX: Final = 10_000
Matches = Callable[[Asked, Device], bool]


class CannotAllocate(Exception):
    """Claims that nothing can be allocated for as they are; the message says why."""


class Pool(NamedTuple):
    """The devices of a pool that a node reaches.

    Attributes:
        fault: why nothing may be taken of it; empty: nothing is wrong.
        counters: what is left of its counter sets.
    """

    id: PoolId
    devices: tuple[Device, ...]
    fault: str
    counters: Mapping[str, Amounts]


class Taken(NamedTuple):
    """A device for a request.

    Attributes:
        consumed: of a shared device, how much is taken, by capacity.
    """

    asked: Asked
    device: Device
    consumed: Mapping[str, int]


@dataclass(slots=True)
class Usage:
    """What is allocated: devices, and of those that are shared how much."""

    devices: dict[DeviceId, int] = field(default_factory=dict)
    consumed: dict[DeviceId, dict[str, int]] = field(default_factory=dict)


class Search:
    """One search; see the module's head.

    Args of the constructor:
        pools: what the node reaches.
        claims: what is wanted.
        usage: what others have.
        matches: tells whether class and selectors let a device through.
    """

    def __init__(
        self, pools: Sequence[Pool], claims: Sequence[Claim], usage: Usage, matches: Matches
    ) -> None:
        self._claims = claims
        self._usage = usage
        self._matches = matches
        self._faults = [pool for pool in pools if pool.fault]
        self._sound = [pool for pool in pools if not pool.fault]
        self._counters = {pool.id: pool.counters for pool in self._sound}
        self._candidates: dict[Asked, list[Device]] = {}
        self._results: list[list[Taken]] = [[] for _ in claims]
        self._holders: dict[DeviceId, list[int]] = {}
        self._used: dict[tuple[PoolId, str, str], int] = {}
        self._consumed: dict[DeviceId, dict[str, int]] = {}
        self._steps = 0

    def run(self) -> list[list[Taken]] | None:
        """Return what each claim gets; None: not all of them get what they want.

        Raises:
            CannotAllocate: something is wrong with a claim, or the search took too long.
            SelectorFault: an expression failed.
        """
        if self._claim(0):
            return self._results
        if self._faults:
            raise CannotAllocate("invalid resource pools were encountered")
        return None

    def _claim(self, at: int) -> bool:
        return at == len(self._claims) or self._request(at, 0)

    def _request(self, at: int, number: int) -> bool:
        requests = self._claims[at].requests
        if number == len(requests):
            return self._claim(at + 1)
        return any(self._alternative(at, number, asked) for asked in requests[number])

    def _alternative(self, at: int, number: int, asked: Asked) -> bool:
        candidates = self._candidates_for(asked)
        is_all = asked.mode == ALL
        if is_all and self._faults:
            pool = self._faults[0]
            what = f"claim {self._claims[at].key}, request {asked.name}: asks for all devices"
            raise CannotAllocate(f"{what}, but resource pool {'/'.join(pool.id)} is {pool.fault}")
        count = len(candidates) if is_all else asked.number
        if not candidates or len(candidates) < count:
            return False
        if len(self._results[at]) + count > RESULTS_MAX:
            return False
        if is_all:
            return self._all(at, number, asked)
        return self._some(at, number, asked, (count, 0))

    def _all(self, at: int, number: int, asked: Asked) -> bool:
        taken = 0
        for device in self._candidates_for(asked):
            if not self._take(at, asked, device):
                break
            taken += 1
        else:
            if self._request(at, number + 1):
                return True
        for _ in range(taken):
            self._give_back(at)
        return False

    def _some(self, at: int, number: int, asked: Asked, left: tuple[int, int]) -> bool:
        """Take so many more devices, from some candidate on."""
        count, start = left
        if not count:
            return self._request(at, number + 1)
        candidates = self._candidates_for(asked)
        for index in range(start, len(candidates) - count + 1):
            if not self._take(at, asked, candidates[index]):
                continue
            if self._some(at, number, asked, (count - 1, index + 1)):
                return True
            self._give_back(at)
        return False

    def _candidates_for(self, asked: Asked) -> list[Device]:
        found = self._candidates.get(asked)
        if found is None:
            found = self._candidates[asked] = [
                device
                for pool in self._sound
                for device in pool.devices
                if self._matches(asked, device)
            ]
        return found

    def _take(self, at: int, asked: Asked, device: Device) -> bool:
        """Take a device for a claim, if it can be had; what has room is looked at first."""
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise CannotAllocate("timed out trying to allocate devices")
        if self._is_in_use(at, asked, device):
            return False
        taints = (one for one in device.taints if one[2] in BLOCKING_EFFECTS)
        if any(not tolerates(asked, taint) for taint in taints):
            return False
        consumed = self._consumption(asked, device)
        if consumed is None or not self._meets_constraints(at, asked, device):
            return False
        if not self._count(device, 1):
            return False
        if device.is_shared:
            mine = self._consumed.setdefault(device.id, {})
            for name, amount in consumed.items():
                mine[name] = mine.get(name, 0) + amount
        self._holders.setdefault(device.id, []).append(at)
        self._results[at].append(Taken(asked, device, consumed if device.is_shared else {}))
        return True

    def _is_in_use(self, at: int, asked: Asked, device: Device) -> bool:
        holders = self._holders.get(device.id, ())
        if asked.is_admin:
            return at in holders and not device.is_shared
        if device.id in self._usage.devices:
            return True
        return bool(holders) and not device.is_shared

    def _give_back(self, at: int) -> None:
        taken = self._results[at].pop()
        device = taken.device
        holders = self._holders[device.id]
        holders.remove(at)
        if device.is_shared:
            mine = self._consumed[device.id]
            for name, amount in taken.consumed.items():
                mine[name] -= amount
        self._count(device, -1)

    def _consumption(self, asked: Asked, device: Device) -> dict[str, int] | None:
        """Return what a request takes of a device's capacity; None: there is not enough."""
        wanted: dict[str, int] = {}
        for name, amount in asked.capacity:
            own = _capacity_name(device, name)
            if own is None:
                return None
            wanted[own] = amount
        before = self._usage.consumed.get(device.id, {})
        mine = self._consumed.get(device.id, {})
        found: dict[str, int] = {}
        for name, capacity in device.capacity.items():
            taken = capacity.taken_by(wanted.get(name))
            if taken is None or taken < 0:
                return None
            if before.get(name, 0) + mine.get(name, 0) + taken > capacity.value:
                return None
            found[name] = taken
        return found

    def _count(self, device: Device, sign: int) -> bool:
        """Count what a device takes of its pool's counters; tell whether there is so much."""
        if not device.counters:
            return True
        is_used = device.is_shared and (
            device.id in self._usage.consumed or len(self._holders.get(device.id, ())) > 0
        )
        if is_used:
            return True  # who had it first has paid
        left = self._counters[device.pool]
        used = self._used
        for name, amounts in device.counters:
            for counter, amount in amounts.items():
                key = (device.pool, name, counter)
                used[key] = used.get(key, 0) + sign * amount
        is_enough = all(
            used[device.pool, name, counter] <= left.get(name, {}).get(counter, 0)
            for name, amounts in device.counters
            for counter in amounts
        )
        if sign > 0 and not is_enough:
            self._count(device, -1)
            return False
        return True

    def _meets_constraints(self, at: int, asked: Asked, device: Device) -> bool:
        for constraint in self._claims[at].constraints:
            if not constraint.applies(asked.name):
                continue
            mine = device.attribute(constraint.attribute)
            if mine is None:
                return False
            for taken in self._results[at]:
                if not constraint.applies(taken.asked.name):
                    continue
                theirs = taken.device.attribute(constraint.attribute)
                if (mine == theirs) == constraint.is_distinct:
                    return False
        return True


def _capacity_name(device: Device, name: str) -> str | None:
    """Return what a device calls a capacity that a request names, with or without its domain."""
    if name in device.capacity:
        return name
    driver = device.id[0]
    domain, slash, own = name.partition("/")
    other = own if slash and domain == driver else f"{driver}/{name}"
    return other if other in device.capacity else None

"""Hints in proportion to zones' CPU (k8s.io/endpointslice/topologycache), for topology-mode: Auto.

Each zone is to have endpoints by its share of all nodes' CPU, and none more than a fifth too few.
Where that can't be, there are no hints, and an event says why. Endpoints that a zone has too many
of are lent to zones that lack some.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from controllers.network import hints
from controllers.network.slices import Plan, endpoints_of
from kube.json_types import JsonObject

_OVERLOAD: Final = 0.2
DISABLED: Final = "TopologyAwareHintsDisabled"
ENABLED: Final = "TopologyAwareHintsEnabled"
TURNED_OFF: Final = "Topology Aware Hints has been disabled"
_TURNED_ON: Final = "Topology Aware Hints has been enabled"
_NO_ZONE: Final = "One or more endpoints do not have a zone specified"
_NONE_ALLOCATED: Final = "No hints allocated for zones"
_NODES: Final = (
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
)
_TOO_FEW: Final = "Insufficient number of endpoints"
_OVERLOADED: Final = (
    "Unable to allocate minimum required endpoints to each zone without exceeding overload "
    "threshold"
)
Counts = dict[str, int]


class Saying(NamedTuple):
    """An event to tell: whether it is a warning, its reason and its text."""

    is_warning: bool
    reason: str
    text: str


class _Allocation(NamedTuple):
    desired: float
    least: int
    most: int


class HintCache:
    """How many endpoints each zone has, by Service and family, where hints are on."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, Counts]] = {}
        self._on: set[str] = set()

    def is_on(self, service: str) -> bool:
        """Tell whether a Service has hints of this kind."""
        return service in self._on

    def put(self, service: str, family: str, counts: Counts) -> None:
        """Note hints that were given."""
        self._counts.setdefault(service, {})[family] = counts
        self._on.add(service)

    def drop(self, service: str, family: str | None = None) -> None:
        """Note that a Service has none, of a family or at all."""
        self._on.discard(service)
        families = self._counts.get(service)
        if families is not None:
            families.pop(family or "", None)
            if family is None or not families:
                del self._counts[service]

    def overloaded(self, shares: dict[str, float] | None) -> list[str]:
        """Return the services of which a zone has too few endpoints by now."""
        return [
            service
            for service, families in self._counts.items()
            if any(_is_overloaded(counts, shares or {}) for counts in families.values())
        ]


def add_hints(
    cache: HintCache,
    shares: dict[str, float] | None,
    where: tuple[str, str],
    plan: Plan,
) -> Saying | None:
    """Give endpoints their hints, or take them away; return what is to be told.

    Args:
        cache: takes note.
        shares: of the CPU, by zone.
        where: Service and family.
        plan: changed in place.
    """
    service, family = where
    every = [*hints.written(plan), *plan.kept.values()]
    total = sum(hints.is_ready(one) for piece in every for one in endpoints_of(piece))
    allocations = _allocate(shares, total)
    problem = allocations if isinstance(allocations, str) else None
    if not isinstance(allocations, str):
        counts = _keep_fitting(plan, allocations)
        if _hint_own_zone(plan, counts):
            giving, receiving = _givers_and_takers(allocations, counts)
            _lend(plan, giving, receiving, counts)
            problem = None if counts else _NONE_ALLOCATED
        else:
            problem = _NO_ZONE
        if problem is None:
            was_on = cache.is_on(service)
            cache.put(service, family, counts)
            return None if was_on else _say(ENABLED, _TURNED_ON, family)
    cache.drop(service, family)
    hints.remove(plan)
    assert problem is not None
    return _say(DISABLED, problem, family)


def turned_off(family: str) -> Saying:
    """Return what is told when the annotation is gone."""
    return _say(DISABLED, TURNED_OFF, family)


def _say(reason: str, text: str, family: str) -> Saying:
    return Saying(reason == DISABLED, reason, f"{text}, addressType: {family}")


def _allocate(shares: dict[str, float] | None, total: int) -> dict[str, _Allocation] | str:
    """Return how many endpoints each zone should have, or why that can't be."""
    if shares is None:
        return _NODES
    about = f"({total} endpoints, {len(shares)} zones)"
    if len(shares) > total:
        return f"{_TOO_FEW} {about}"
    least = {
        zone: math.ceil(share * total * (1 / (1 + _OVERLOAD))) for zone, share in shares.items()
    }
    spare = total - sum(least.values())
    if spare < 0:
        return f"{_OVERLOADED} {about}"
    return {
        zone: _Allocation(max(share * total, float(least[zone])), least[zone], least[zone] + spare)
        for zone, share in shares.items()
    }


def _keep_fitting(plan: Plan, allocations: dict[str, _Allocation]) -> Counts:
    """Count the hints of slices that may stay as they are; the others are to be updated."""
    counts: Counts = {}
    for name, piece in list(plan.kept.items()):
        own = _hints_of(piece, counts, allocations)
        if own is None:
            plan.update[name] = plan.kept.pop(name)
            continue
        for zone, number in own.items():
            counts[zone] = counts.get(zone, 0) + number
    return counts


def _hints_of(
    piece: JsonObject, counts: Counts, allocations: dict[str, _Allocation]
) -> Counts | None:
    own: Counts = {}
    for endpoint in endpoints_of(piece):
        if not hints.is_ready(endpoint):
            continue
        zones = (endpoint.get("hints") or {}).get("forZones")
        if not zones:
            return None
        for zone in zones:
            if zone["name"] not in allocations:
                return None
            own[zone["name"]] = own.get(zone["name"], 0) + 1
    if any(number + counts.get(zone, 0) > allocations[zone].most for zone, number in own.items()):
        return None
    return own


def _hint_own_zone(plan: Plan, counts: Counts) -> bool:
    """Hint at each endpoint's own zone, for a start; return whether all have one."""
    for piece in hints.written(plan):
        for endpoint in endpoints_of(piece):
            if not hints.is_ready(endpoint):
                endpoint.pop("hints", None)
                continue
            zone = endpoint.get("zone")
            if not zone:
                return False
            counts[zone] = counts.get(zone, 0) + 1
            endpoint["hints"] = {"forZones": [{"name": zone}]}
    return True


def _givers_and_takers(
    allocations: dict[str, _Allocation], counts: Counts
) -> tuple[Counts, Counts]:
    """Return how many endpoints which zones give away, and which get them."""
    over = {zone: counts.get(zone, 0) - one.desired for zone, one in allocations.items()}
    too_many = {zone: number for zone, number in over.items() if number > 0}
    too_few = {zone: -number for zone, number in over.items() if number < 0}
    giving: Counts = {}
    receiving: Counts = {}
    while too_many and too_few:
        giver, taker = (max(group, key=lambda z: group[z]) for group in (too_many, too_few))
        gives, takes = too_many[giver], too_few[taker]
        if (gives < 1.0 and takes < 1.0) or gives < 0.5 or takes < 0.5:
            break
        giving[giver] = giving.get(giver, 0) + 1
        receiving[taker] = receiving.get(taker, 0) + 1
        too_many[giver] -= 1
        too_few[taker] -= 1
    return giving, receiving


def _lend(plan: Plan, giving: Counts, receiving: Counts, counts: Counts) -> None:
    for piece in hints.written(plan):
        for endpoint in endpoints_of(piece):
            giver = endpoint.get("zone", "")
            if not hints.is_ready(endpoint) or not giving.get(giver):
                continue
            taker = next((zone for zone, number in receiving.items() if number), None)
            if taker is None:
                return
            endpoint["hints"] = {"forZones": [{"name": taker}]}
            giving[giver] -= 1
            receiving[taker] -= 1
            counts[giver] -= 1
            counts[taker] = counts.get(taker, 0) + 1


def _is_overloaded(counts: Counts, shares: dict[str, float]) -> bool:
    if not counts:
        return False
    total = sum(counts.values())
    # Without shares any hint is wrong.
    return not shares or any(
        counts.get(zone, 0) < math.ceil(total * share * (1 / (1 + _OVERLOAD)))
        for zone, share in shares.items()
    )

"""Whether claims can be had on a node, in plain Python: every way is made, and then judged whole.

Devices are tuples of what is in their slices' JSON. Nothing is pruned and nothing is kept.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]
Way = list[tuple[int, str, Obj, Obj]]
"""Index of the claim, name of the request (with the alternative), the request, the device."""


def reach(slices: list[Obj], node: str) -> list[Obj]:
    """Return the devices that a node reaches, each with its driver and pool."""
    found = []
    for one in slices:
        spec = one["spec"]
        if spec.get("allNodes") or spec.get("nodeName") == node:
            for device in spec.get("devices", ()):
                found.append({**device, "pool": spec["pool"]["name"]})
    return found


def can(slices: list[Obj], node: str, claims: list[Obj], taken: Counter[tuple[str, str]]) -> bool:
    """Whether all claims can be allocated at once."""
    devices = reach(slices, node)
    return any(is_right(slices, claims, way, taken) for way in ways(claims, devices))


def ways(claims: list[Obj], devices: list[Obj]) -> Iterator[Way]:
    """Yield every way to give each request as many devices as it wants, right or wrong."""
    slots = []
    for at, claim in enumerate(claims):
        for request in claim["spec"]["devices"]["requests"]:
            slots.append(list(_choices(at, request, devices)))
    for combination in itertools.product(*slots):
        yield [one for part in combination for one in part]


def _choices(at: int, request: Obj, devices: list[Obj]) -> Iterator[Way]:
    alternatives = [(request["name"], request.get("exactly"))]
    if request.get("firstAvailable"):
        alternatives = [
            (f"{request['name']}/{one['name']}", one) for one in request["firstAvailable"]
        ]
    for name, asked in alternatives:
        assert asked is not None
        fitting = [one for one in devices if selected(asked, one)]
        if asked.get("allocationMode") == "All":
            if fitting:
                yield [(at, name, asked, one) for one in fitting]
            continue
        for some in itertools.combinations(fitting, asked.get("count", 1)):
            yield [(at, name, asked, one) for one in some]


def selected(asked: Obj, device: Obj) -> bool:
    """The one selector that the tests use: a model."""
    model = asked.get("model")
    return model is None or device["attributes"]["model"]["string"] == model


def is_right(
    slices: list[Obj], claims: list[Obj], way: Way, taken: Counter[tuple[str, str]]
) -> bool:
    """Judge a whole way."""
    for _, _, asked, device in way:
        key = (device["pool"], device["name"])
        if not asked.get("adminAccess") and taken[key]:
            return False
        holders = [(a, q.get("adminAccess")) for a, _, q, d in way if d is device]
        if len(holders) > 1:
            # Only admins of other claims may be beside each other, in the order of claims.
            first = holders[0]
            if any(one[0] == first[0] for one in holders[1:]) or not all(
                is_admin for _, is_admin in holders[1:]
            ):
                return False
            if len({a for a, _ in holders}) < len(holders):
                return False
        for taint in device.get("taints", ()):
            if not any(one["key"] == taint["key"] for one in asked.get("tolerations", ())):
                return False
    return _counters_suffice(slices, way, taken) and _constraints_hold(claims, way)


def _counters_suffice(slices: list[Obj], way: Way, taken: Counter[tuple[str, str]]) -> bool:
    left: Counter[tuple[str, str]] = Counter()
    for one in slices:
        pool = one["spec"]["pool"]["name"]
        for counters in one["spec"].get("sharedCounters", ()):
            left[pool, counters["name"]] += int(counters["counters"]["c"]["value"])
        for device in one["spec"].get("devices", ()):
            if taken[pool, device["name"]]:
                for use in device.get("consumesCounters", ()):
                    left[pool, use["counterSet"]] -= int(use["counters"]["c"]["value"])
    mine: Counter[tuple[str, str]] = Counter()
    for _, _, _, device in way:
        for use in device.get("consumesCounters", ()):
            mine[device["pool"], use["counterSet"]] += int(use["counters"]["c"]["value"])
    return all(amount <= left[key] for key, amount in mine.items())


def _constraints_hold(claims: list[Obj], way: Way) -> bool:
    for at, claim in enumerate(claims):
        for constraint in claim["spec"]["devices"].get("constraints", ()):
            names = constraint.get("requests", [])
            name = constraint.get("matchAttribute") or constraint["distinctAttribute"]
            values = [
                next(iter(device["attributes"][name.partition("/")[2]].values()))
                for a, request, _, device in way
                if a == at and (not names or request in names or request.partition("/")[0] in names)
            ]
            if "matchAttribute" in constraint and len(set(values)) > 1:
                return False
            if "distinctAttribute" in constraint and len(set(values)) < len(values):
                return False
    return True

"""Devices, slices, classes and claims of resource.k8s.io/v1, parsed once.

Amounts are integers, in units of 10**-9, so that fractions are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from controllers.scheduler.terms import NodeTerm, parse_node_terms
from kube.json_types import JsonObject
from kube.quantity import QuantityError, parse_value

ALL: Final = "All"
BLOCKING_EFFECTS: Final = frozenset({"NoSchedule", "NoExecute"})
DeviceId = tuple[str, str, str]
PoolId = tuple[str, str]
Amounts = Mapping[str, int]


class Place(NamedTuple):
    """Which nodes reach a device: one, all, or those that a selector names; none of these: none.

    Attributes:
        selector: the NodeSelector as it stands, for allocations.
    """

    node: str
    is_everywhere: bool
    terms: tuple[NodeTerm, ...] | None
    selector: JsonObject | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of something a device has, and how much of it a request takes (requestPolicy).

    Attributes:
        default: what is taken by who does not say.
        least, most, step: of a valid range; values: the valid ones, rising. None: any amount.
    """

    value: int
    default: int | None = None
    least: int | None = None
    most: int | None = None
    step: int | None = None
    values: tuple[int, ...] = ()

    def taken_by(self, asked: int | None) -> int | None:
        """Return what a request takes; None: it asks for what is not given."""
        if asked is None:
            return self.value if self.default is None else self.default
        if self.values:
            return next((value for value in self.values if value >= asked), None)
        taken = asked if self.least is None else max(asked, self.least)
        if self.least is not None and self.step:
            taken = self.least - (self.least - taken) // self.step * self.step
        return None if self.most is not None and taken > self.most else taken


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Device:
    """A device.

    Attributes:
        attributes: by qualified name, kind and value: ("string", "a").
        taints: key, value, effect.
        counters: what it takes of counter sets of its pool.
        is_shared: whether several claims may have it at once.
        place: of its own, where the slice leaves that to devices.
        binding, failing: conditions that have to hold, and must not, before the pod is bound.
    """

    id: DeviceId
    attributes: Mapping[str, tuple[str, Any]]
    capacity: Mapping[str, Capacity]
    amounts: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    counters: tuple[tuple[str, Amounts], ...]
    is_shared: bool
    place: Place
    binds_to_node: bool
    binding: tuple[str, ...]
    failing: tuple[str, ...]

    @property
    def pool(self) -> PoolId:
        """Its pool."""
        return self.id[0], self.id[1]

    def attribute(self, name: str) -> tuple[str, Any] | None:
        """Return kind and value of an attribute by its full name (lookupAttribute)."""
        found = self.attributes.get(name)
        if found is not None:
            return found
        domain, _, own = name.partition("/")
        return self.attributes.get(own) if domain == self.id[0] else None


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A ResourceSlice; `place` is None where each device has its own."""

    name: str
    pool: PoolId
    generation: int
    slices: int
    place: Place | None
    devices: tuple[Device, ...]
    counters: Mapping[str, Amounts]


class Asked(NamedTuple):
    """One way to satisfy a request.

    Attributes:
        name: of the request, or "request/alternative".
        number: how many devices; of mode ALL: as many as there are.
    """

    name: str
    class_name: str
    mode: str
    number: int
    is_admin: bool
    selectors: tuple[str, ...]
    tolerations: tuple[tuple[str, str, str, str], ...]
    capacity: tuple[tuple[str, int], ...]


class Constraint(NamedTuple):
    """What devices of some requests have in common, or must not; no requests: all."""

    attribute: str
    is_distinct: bool
    requests: frozenset[str]

    def applies(self, request: str) -> bool:
        """Tell whether it is about a request, or a way to satisfy it."""
        if not self.requests:
            return True
        return request in self.requests or request.partition("/")[0] in self.requests


@dataclass(frozen=True, slots=True)
class Claim:
    """A ResourceClaim.

    Attributes:
        spec_key: equal for claims that ask for the same.
        owner: uid of the pod that it was made for.
        requests: each with its alternatives, the preferred first.
        allocation: of its status.
        reserved: uids of pods that it is reserved for.
    """

    key: str
    uid: str
    revision: int
    spec_key: bytes
    owner: str
    is_going: bool
    requests: tuple[tuple[Asked, ...], ...]
    constraints: tuple[Constraint, ...]
    allocation: JsonObject | None
    reserved: tuple[str, ...]
    conditions: Mapping[DeviceId, Mapping[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, without the namespace."""
        return self.key.partition("/")[2]


def nanos(quantity: Any) -> int:
    """Return a quantity in units of 10**-9; one that cannot be read is nothing."""
    try:
        return parse_value(quantity).nanos
    except QuantityError:
        return 0


def read_place(obj: Mapping[str, Any]) -> Place:
    """Return where a slice, or a device, says that it is."""
    selector = obj.get("nodeSelector")
    terms = None if selector is None else parse_node_terms(selector)
    return Place(obj.get("nodeName") or "", bool(obj.get("allNodes")), terms, selector)


def read_slice(obj: JsonObject) -> Slice:
    """Return what is kept of a ResourceSlice."""
    spec = obj["spec"]
    pool = spec.get("pool") or {}
    pool_id = (spec.get("driver", ""), pool.get("name", ""))
    return Slice(
        name=obj["metadata"]["name"],
        pool=pool_id,
        generation=int(pool.get("generation") or 0),
        slices=int(pool.get("resourceSliceCount") or 0),
        place=None if spec.get("perDeviceNodeSelection") else read_place(spec),
        devices=tuple(_device(pool_id, one) for one in spec.get("devices") or ()),
        counters={
            one["name"]: _amounts(one.get("counters")) for one in spec.get("sharedCounters") or ()
        },
    )


def _device(pool: PoolId, device: JsonObject) -> Device:
    capacity = device.get("capacity") or {}
    return Device(
        id=(*pool, device["name"]),
        attributes={
            name: next(iter(value.items()), ("", None))
            for name, value in (device.get("attributes") or {}).items()
        },
        capacity={name: _capacity(one) for name, one in capacity.items()},
        amounts={name: str(one.get("value", "0")) for name, one in capacity.items()},
        taints=tuple(
            (one.get("key", ""), one.get("value", ""), one.get("effect", ""))
            for one in device.get("taints") or ()
        ),
        counters=tuple(
            (one.get("counterSet", ""), _amounts(one.get("counters")))
            for one in device.get("consumesCounters") or ()
        ),
        is_shared=bool(device.get("allowMultipleAllocations")),
        place=read_place(device),
        binds_to_node=bool(device.get("bindsToNode")),
        binding=tuple(device.get("bindingConditions") or ()),
        failing=tuple(device.get("bindingFailureConditions") or ()),
    )


def _amounts(counters: Mapping[str, Any] | None) -> Amounts:
    return {name: nanos(one.get("value", "0")) for name, one in (counters or {}).items()}


def _capacity(capacity: JsonObject) -> Capacity:
    policy = capacity.get("requestPolicy") or {}
    valid = policy.get("validRange") or {}

    def amount(of: Mapping[str, Any], name: str) -> int | None:
        return nanos(of[name]) if of.get(name) is not None else None

    return Capacity(
        value=nanos(capacity.get("value", "0")),
        default=amount(policy, "default"),
        least=amount(valid, "min"),
        most=amount(valid, "max"),
        step=amount(valid, "step"),
        values=tuple(sorted(nanos(one) for one in policy.get("validValues") or ())),
    )


def read_claim(obj: JsonObject) -> Claim:
    """Return what is kept of a ResourceClaim."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    devices = (obj.get("spec") or {}).get("devices") or {}
    owner = next(
        (one["uid"] for one in metadata.get("ownerReferences") or () if one.get("controller")), ""
    )
    return Claim(
        key=f"{metadata['namespace']}/{metadata['name']}",
        uid=metadata.get("uid", ""),
        revision=int(metadata.get("resourceVersion") or 0),
        spec_key=bytes(memoryview(orjson.dumps(devices, option=orjson.OPT_SORT_KEYS))),
        owner=owner,
        is_going="deletionTimestamp" in metadata,
        requests=tuple(_request(one) for one in devices.get("requests") or ()),
        constraints=tuple(_constraint(one) for one in devices.get("constraints") or ()),
        allocation=status.get("allocation"),
        reserved=tuple(one.get("uid", "") for one in status.get("reservedFor") or ()),
        conditions={
            (one["driver"], one["pool"], one["device"]): {
                condition["type"]: condition.get("status", "")
                for condition in one.get("conditions") or ()
            }
            for one in status.get("devices") or ()
        },
    )


def _request(request: JsonObject) -> tuple[Asked, ...]:
    name = request["name"]
    if request.get("firstAvailable"):
        return tuple(_asked(f"{name}/{one['name']}", one) for one in request["firstAvailable"])
    return (_asked(name, request.get("exactly") or {}),)


def _asked(name: str, asked: JsonObject) -> Asked:
    return Asked(
        name=name,
        class_name=asked.get("deviceClassName", ""),
        mode=asked.get("allocationMode") or "ExactCount",
        number=int(asked.get("count") or 1),
        is_admin=bool(asked.get("adminAccess")),
        selectors=selectors_of(asked.get("selectors")),
        tolerations=tuple(
            (
                one.get("key", ""),
                one.get("operator") or "Equal",
                one.get("value", ""),
                one.get("effect", ""),
            )
            for one in asked.get("tolerations") or ()
        ),
        capacity=tuple(
            sorted(
                (key, nanos(value))
                for key, value in ((asked.get("capacity") or {}).get("requests") or {}).items()
            )
        ),
    )


def _constraint(constraint: JsonObject) -> Constraint:
    distinct = constraint.get("distinctAttribute")
    return Constraint(
        attribute=distinct or constraint.get("matchAttribute", ""),
        is_distinct=distinct is not None,
        requests=frozenset(constraint.get("requests") or ()),
    )


def selectors_of(selectors: Sequence[JsonObject] | None) -> tuple[str, ...]:
    """Return the CEL expressions of selectors."""
    return tuple((one.get("cel") or {}).get("expression", "") for one in selectors or ())


def tolerates(asked: Asked, taint: tuple[str, str, str]) -> bool:
    """Tell whether a request tolerates a device's taint (resourceclaim.ToleratesTaint)."""
    key, value, effect = taint
    return any(
        (not wanted_effect or wanted_effect == effect)
        and (not wanted_key or wanted_key == key)
        and (operator == "Exists" or (operator == "Equal" and wanted_value == value))
        for wanted_key, operator, wanted_value, wanted_effect in asked.tolerations
    )

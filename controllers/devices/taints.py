"""Which devices are tainted, by their slices and by rules, and when who uses them has to go.

A taint with the effect NoExecute that the claim's request does not tolerate has the claim's pods
evicted: at the time at which it was added, or so many seconds later as it is tolerated. Of several
the earliest counts. All of it is arithmetic on what watches have told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controllers.nodes.taints import NO_EXECUTE, Taint, tolerates
from controllers.volumes.device_facts import owning_pod
from kube import times
from kube.json_types import JsonObject

NO_EFFECT: Final = "None"
PoolId = tuple[str, str]
"""Driver and name of a pool."""


class DeviceTaint(NamedTuple):
    """A taint, and since when: seconds since the epoch."""

    taint: Taint
    since_s: float


class Device(NamedTuple):
    """A device that a claim has, and what its request tolerates."""

    driver: str
    pool: str
    name: str
    tolerations: tuple[JsonObject, ...]


class Rule(NamedTuple):
    """A DeviceTaintRule. Empty texts of the selector take every device.

    Attributes:
        selects: whether it selects anything at all.
    """

    name: str
    uid: str
    taint: DeviceTaint
    selects: bool
    driver: str
    pool: str
    device: str

    def matches(self, driver: str, pool: str, device: str) -> bool:
        """Tell whether a device is one of the rule's."""
        return self.selects and all(
            not wanted or wanted == given
            for wanted, given in (
                (self.driver, driver),
                (self.pool, pool),
                (self.device, device),
            )
        )


class Eviction(NamedTuple):
    """When the pods of a claim have to go, and the uids of the rules for which they do."""

    when_s: float
    rules: frozenset[str] = frozenset()

    def joined(self, other: Eviction | None) -> Eviction:
        """Return what comes of two: the earlier time, the rules of both."""
        if other is None:
            return self
        return Eviction(min(self.when_s, other.when_s), self.rules | other.rules)


class Claim(NamedTuple):
    """A claim that has devices.

    Attributes:
        owner: uid of the pod that it was made for, "" for none.
        pods: name and uid of those that it is reserved for.
    """

    uid: str
    owner: str
    pods: tuple[tuple[str, str], ...]
    devices: tuple[Device, ...]

    def is_reserved_for(self, uid: str) -> bool:
        """Tell whether a pod may use it."""
        return any(uid == one for _, one in self.pods)


def read_taint(source: JsonObject, now_s: float) -> DeviceTaint:
    """Return a taint; one without a time was added now."""
    added = source.get("timeAdded")
    taint = Taint(source.get("key", ""), source.get("effect", ""), source.get("value", ""))
    return DeviceTaint(taint, times.epoch_seconds(added) if added else now_s)


def read_rule(rule: JsonObject, now_s: float) -> Rule:
    """Return a rule."""
    selector = rule["spec"].get("deviceSelector")
    wanted = selector or {}
    return Rule(
        rule["metadata"]["name"],
        rule["metadata"]["uid"],
        read_taint(rule["spec"].get("taint") or {}, now_s),
        selector is not None,
        wanted.get("driver") or "",
        wanted.get("pool") or "",
        wanted.get("device") or "",
    )


def read_claim(claim: JsonObject) -> Claim | None:
    """Return a claim; None: it has no devices yet."""
    status = claim.get("status") or {}
    allocation = status.get("allocation")
    if allocation is None:
        return None
    results = (allocation.get("devices") or {}).get("results") or ()
    return Claim(
        claim["metadata"]["uid"],
        owning_pod(claim)[1],
        tuple(
            (one["name"], one["uid"])
            for one in status.get("reservedFor") or ()
            if not one.get("apiGroup") and one.get("resource") == "pods"
        ),
        tuple(
            Device(one["driver"], one["pool"], one["device"], tuple(one.get("tolerations") or ()))
            for one in results
        ),
    )


@dataclass(slots=True)
class Slice:
    """What is kept of a ResourceSlice: its devices, and the NoExecute taints of some."""

    generation: int
    devices: tuple[str, ...]
    tainted: dict[str, tuple[DeviceTaint, ...]] = field(default_factory=dict)


def read_slice(source: JsonObject, now_s: float) -> Slice:
    """Return a slice."""
    spec = source["spec"]
    made = Slice(
        int((spec.get("pool") or {}).get("generation", 0)),
        tuple(one["name"] for one in spec.get("devices") or ()),
    )
    for device in spec.get("devices") or ():
        taints = tuple(
            read_taint(one, now_s)
            for one in device.get("taints") or ()
            if one.get("effect") == NO_EXECUTE
        )
        if taints:
            made.tainted[device["name"]] = taints
    return made


class Pools:
    """The slices of all pools; of each pool, those of its newest generation count."""

    def __init__(self) -> None:
        self._pools: dict[PoolId, dict[str, Slice]] = {}

    def put(self, pool: PoolId, name: str, made: Slice | None) -> bool:
        """Note a slice, None: it is gone; tell whether devices' taints may be others now."""
        before = self.tainted(pool)
        slices = self._pools.setdefault(pool, {})
        if made is None:
            slices.pop(name, None)
        else:
            slices[name] = made
        if not slices:
            del self._pools[pool]
        return before != self.tainted(pool)

    def tainted(self, pool: PoolId) -> dict[str, tuple[DeviceTaint, ...]]:
        """Return the taints of a pool's devices."""
        found: dict[str, tuple[DeviceTaint, ...]] = {}
        for one in self._newest(pool):
            found |= one.tainted
        return found

    def taints(self, device: Device) -> tuple[DeviceTaint, ...]:
        """Return the taints of a device."""
        for one in self._newest((device.driver, device.pool)):
            if device.name in one.tainted:
                return one.tainted[device.name]
        return ()

    def count(self, rule: Rule) -> int:
        """Return how many published devices a rule selects."""
        return sum(
            rule.matches(*pool, name)
            for pool in self._pools
            for one in self._newest(pool)
            for name in one.devices
        )

    def _newest(self, pool: PoolId) -> Iterator[Slice]:
        slices = self._pools.get(pool, {}).values()
        newest = max((one.generation for one in slices), default=0)
        return (one for one in slices if one.generation == newest)


def eviction_of(claim: Claim, pools: Pools, rules: Iterable[Rule]) -> Eviction | None:
    """Return when the pods of a claim have to go, None: they need not.

    Args:
        claim: the claim.
        pools: all slices.
        rules: those whose taints have the effect NoExecute.
    """
    found: Eviction | None = None
    listed = tuple(rules)
    for device in claim.devices:
        for one in pools.taints(device):
            if (when_s := _leaves_at(device.tolerations, one)) is not None:
                found = Eviction(when_s).joined(found)
        for rule in listed:
            if not rule.matches(device.driver, device.pool, device.name):
                continue
            if (when_s := _leaves_at(device.tolerations, rule.taint)) is not None:
                found = Eviction(when_s, frozenset({rule.uid})).joined(found)
    return found


def _leaves_at(tolerations: Sequence[JsonObject], one: DeviceTaint) -> float | None:
    """Return when a taint has its device's users go, None: they tolerate it for ever."""
    least: float | None = None
    for toleration in tolerations:
        if toleration.get("effect") != NO_EXECUTE or not tolerates(toleration, one.taint):
            continue
        seconds = toleration.get("tolerationSeconds")
        if seconds is None:
            return None
        least = max(0.0, float(seconds)) if least is None else min(least, max(0.0, float(seconds)))
    return one.since_s + (least or 0.0)

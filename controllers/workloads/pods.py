"""What controllers need to know of pods, in little memory and found by owner.

A sync of a controller with ten thousand pods must not decode ten thousand objects. So of each pod a
brief is kept, made once when the watch tells of it; labels are shared, as pods of one template have
the same. Invariant: a pod is with exactly one owner, its controller, or among its namespace's
orphans.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from kube import times
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.informers.specs import OfOrigin
from kube.json_types import JsonObject

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_LABELS_MAX: Final = 16_384
_INT32_MAX: Final = 2**31 - 1

Labels = frozenset[tuple[str, str]]


class Owner(NamedTuple):
    """The controller of an object, by its reference."""

    kind: str
    name: str
    uid: str


class Network(NamedTuple):
    """How a pod is reached.

    Attributes:
        ips: its addresses, canonical, at most one of a family.
        ports: of its containers, those that have names: name, protocol, number.
        ready_change_s: when its readiness changed last, seconds since the epoch; 0: unknown.
    """

    ips: tuple[str, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    ports: tuple[tuple[str, str, int], ...] = ()
    ready_change_s: int = 0


NO_NETWORK: Final = Network()
ORPHANS: Final = ""
"""The kind of owners that pods have whom nobody controls."""


class PodBrief(NamedTuple):
    """What is kept of a pod.

    Attributes:
        key: "namespace/name".
        created_s: when it was created, seconds since the epoch.
        ready_s: since when it is ready, as far as its condition says; None: it is not.
        restarts: the most of a container, and the most of a sidecar.
        cost: how dear it is to delete, as its annotation says.
        target: the node that it is made for, of a daemon that is not on it yet.
        network: how it is reached, once it has an address.
    """

    key: str
    uid: str
    owner: Owner | None
    labels: Labels
    phase: str
    node: str
    is_deleting: bool
    created_s: int
    ready_s: int | None
    restarts: tuple[int, int]
    cost: int
    target: str = ""
    network: Network = NO_NETWORK

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return self.key.partition("/")[2]

    @property
    def is_active(self) -> bool:
        """Whether it runs or will: neither done nor being deleted."""
        return self.phase not in ("Succeeded", "Failed") and not self.is_deleting

    @property
    def is_terminating(self) -> bool:
        """Whether it is being deleted and not yet done."""
        return self.phase not in ("Succeeded", "Failed") and self.is_deleting

    def is_available(self, min_ready_s: int, now_s: float) -> bool:
        """Tell whether it has been ready for so long (podutil.IsPodAvailable)."""
        if self.ready_s is None:
            return False
        return min_ready_s == 0 or (self.ready_s > 0 and self.ready_s + min_ready_s <= now_s)


def controller_of(obj: JsonObject) -> Owner | None:
    """Return who controls an object."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return Owner(reference["kind"], reference["name"], reference["uid"])
    return None


def selects(selector: JsonObject | None) -> Callable[[Mapping[str, str]], bool]:
    """Return a LabelSelector as a function of labels; None selects nothing."""
    if selector is None:
        return lambda _labels: False
    equal = selector.get("matchLabels") or {}
    rules = selector.get("matchExpressions") or ()

    def matches(labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in equal.items()) and all(
            _meets(labels, rule) for rule in rules
        )

    return matches


def _meets(labels: Mapping[str, str], rule: JsonObject) -> bool:
    key, values = rule["key"], rule.get("values") or ()
    match rule["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def condition_of(obj: JsonObject, kind: str) -> JsonObject | None:
    """Return a condition of an object's status."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            found: JsonObject = condition
            return found
    return None


def _restarts(pod: JsonObject) -> tuple[int, int]:
    status = pod.get("status") or {}
    regular = max(
        (one.get("restartCount", 0) for one in status.get("containerStatuses") or ()), default=0
    )
    sidecars = {
        one["name"]
        for one in pod["spec"].get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }
    if not sidecars:
        return regular, 0
    statuses = status.get("initContainerStatuses") or ()
    return regular, max(
        (one.get("restartCount", 0) for one in statuses if one["name"] in sidecars), default=0
    )


def _cost(pod: JsonObject) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST)
    if text is None:
        return 0
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -_INT32_MAX <= cost <= _INT32_MAX and text == str(cost) else 0


def _target(pod: JsonObject) -> str:
    """Return the one node that a pod's affinity names by its name, until it is on a node."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return ""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for rule in term.get("matchFields") or ():
            values: list[str] = rule.get("values") or []
            is_name = rule["key"] == "metadata.name" and rule["operator"] == "In"
            if is_name and len(values) == 1:
                return sys.intern(values[0])
    return ""


def _network(pod: JsonObject, ready: JsonObject | None) -> Network:
    """Return how a pod is reached; all that have no address share one answer."""
    status = pod.get("status") or {}
    told = [one.get("ip", "") for one in status.get("podIPs") or ()] or [status.get("podIP", "")]
    ips = tuple(canonical_ip(ip) for ip in told if ip)
    if not ips:
        return NO_NETWORK
    spec = pod["spec"]
    return Network(
        ips,
        spec.get("hostname", ""),
        spec.get("subdomain", ""),
        _ports.of(spec),
        epoch_s(ready.get("lastTransitionTime")) if ready is not None else 0,
    )


def canonical_ip(text: str) -> str:
    """Return an address as it is written usually; what is none stays as it is."""
    try:
        if ":" in text:
            return str(ip_address(text))
        if ".0" in text or text.startswith("0"):
            # Leading zeros of IPv4 are decimal to Kubernetes, and refused by Python.
            return ".".join(str(int(part)) for part in text.split("."))
    except ValueError:
        return text
    return text


def _named_ports(spec: JsonObject) -> tuple[tuple[str, str, int], ...]:
    sidecars = (
        one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"
    )
    return tuple(
        (port["name"], port.get("protocol", "TCP"), port["containerPort"])
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("name")
    )


_ports: Final = OfOrigin(_named_ports)


def epoch_s(text: str | None) -> int:
    """Return a time of the API in seconds since the epoch, 0 for none."""
    return times.epoch_seconds(text) if text else 0


class Briefs:
    """Makes briefs; labels that are alike are kept once."""

    def __init__(self) -> None:
        self._labels: dict[Labels, Labels] = {}

    def of(self, key: str, pod: JsonObject) -> PodBrief:
        """Return a pod's brief."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        labels = frozenset((metadata.get("labels") or {}).items())
        known = self._labels.get(labels)
        if known is None:
            if len(self._labels) >= _LABELS_MAX:
                self._labels.clear()
            known = self._labels[labels] = labels
        ready = condition_of(pod, "Ready")
        is_ready = ready is not None and ready.get("status") == "True"
        return PodBrief(
            key=key,
            uid=metadata.get("uid", ""),
            owner=controller_of(pod),
            labels=known,
            phase=status.get("phase", ""),
            node=pod["spec"].get("nodeName", ""),
            is_deleting="deletionTimestamp" in metadata,
            created_s=epoch_s(metadata.get("creationTimestamp")),
            ready_s=epoch_s(ready.get("lastTransitionTime")) if ready and is_ready else None,
            restarts=_restarts(pod),
            cost=_cost(pod),
            target=_target(pod),
            network=_network(pod, ready),
        )


PodListener = Callable[[PodBrief | None, PodBrief | None], None]
"""Told of a pod before and after a change; None: there was or is none."""


class PodBook:
    """All pods, by owner; see the module's head. Fed by the informer of pods."""

    def __init__(self) -> None:
        self._briefs = Briefs()
        self._by_key: dict[str, PodBrief] = {}
        self._owned: dict[str, dict[str, PodBrief]] = {}
        self._orphans: dict[str, dict[str, PodBrief]] = {}
        self._listeners: list[PodListener] = []
        self._of_kind: dict[str, list[PodListener]] = {}

    def listen(self, listener: PodListener) -> None:
        """Have `listener` told of every change."""
        self._listeners.append(listener)

    def listen_for(self, kind: str, listener: PodListener) -> None:
        """Have `listener` told of orphans, and of pods that an object of a kind controls, or did.

        Args:
            kind: such as "ReplicaSet"; ORPHANS: of orphans alone.
            listener: who is told.
        """
        self._of_kind.setdefault(kind, []).append(listener)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        for delta in deltas:
            old = self._by_key.get(delta.key)
            new = (
                None if delta.change is Change.DELETED else self._briefs.of(delta.key, delta.object)
            )
            self._put(delta.key, old, new)
            for listener in self._listeners:
                listener(old, new)
            for kind in self._kinds(old, new):
                for listener in self._of_kind.get(kind, ()):
                    listener(old, new)

    def _kinds(self, old: PodBrief | None, new: PodBrief | None) -> Iterable[str]:
        """Return the kinds for which a change is news."""
        found = []
        for brief in (old, new):
            if brief is not None:
                if brief.owner is None:
                    return self._of_kind
                if brief.owner.kind not in found:
                    found.append(brief.owner.kind)
        return found

    def _put(self, key: str, old: PodBrief | None, new: PodBrief | None) -> None:
        if old is not None and (new is None or old.owner != new.owner):
            place, name = self._place(old)
            if (group := place.get(name)) is not None:
                group.pop(key, None)
                if not group:
                    del place[name]
        if new is None:
            self._by_key.pop(key, None)
            return
        self._by_key[key] = new
        place, name = self._place(new)
        place.setdefault(name, {})[key] = new

    def _place(self, brief: PodBrief) -> tuple[dict[str, dict[str, PodBrief]], str]:
        if brief.owner is not None:
            return self._owned, brief.owner.uid
        return self._orphans, brief.key.partition("/")[0]

    def get(self, key: str) -> PodBrief | None:
        """Return a pod by its key."""
        return self._by_key.get(key)

    def owned(self, uid: str) -> Collection[PodBrief]:
        """Return the pods that an object controls."""
        return self._owned.get(uid, {}).values()

    def orphans(self, namespace: str) -> Iterable[PodBrief]:
        """Return the pods of a namespace that nobody controls."""
        return self._orphans.get(namespace, {}).values()

    def __iter__(self) -> Iterator[PodBrief]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

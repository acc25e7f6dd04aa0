"""Pods of equal requirements are one shape, so that what is true of one is worked out once.

A shape is everything of a pod's spec that a decision looks at. Labels are not part of it unless the
pod has spread constraints, as pods of one template often differ in a label that says which of them
it is; labels and namespace together are a pod's group. Whatever has namespaced terms or claims has
its namespace in its shape.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

import orjson

from controllers.scheduler import terms
from controllers.scheduler.resources import (
    CPU,
    MEMORY,
    NONZERO_DEFAULTS,
    Amounts,
    pod_requests,
)
from controllers.volumes.device_facts import claim_name
from kube.informers.specs import SharedSpec
from kube.json_types import JsonObject

_KNOWN_MAX: Final = 65_536
_ORIGINS_MAX: Final = 1024
_DIGEST_BYTES: Final = 16
_ALIKE: Final = (
    "affinity",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "resourceClaims",
    "resources",
    "schedulerName",
    "tolerations",
    "topologySpreadConstraints",
)
_VOLUMES: Final = (
    "persistentVolumeClaim",
    "ephemeral",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "azureDisk",
    "cinder",
    "iscsi",
    "portworxVolume",
    "rbd",
)
_OFTEN_ALIKE: Final = ("containers", "initContainers", "overhead", "resources", "tolerations")
DEFAULT_SCHEDULER: Final = "default-scheduler"


class Port(NamedTuple):
    """A port of a host that a container takes."""

    address: str
    protocol: str
    number: int

    def clashes(self, other: Port) -> bool:
        """Tell whether two cannot be on one host."""
        if self.number != other.number or self.protocol != other.protocol:
            return False
        return self.address == other.address or "0.0.0.0" in (self.address, other.address)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a decision looks at; equal ones are the same object.

    Attributes:
        number: of the shape; never used again.
        namespace: empty where it does not matter.
        requests: amounts by resource, without zeros.
        nonzero: milli-cpu and bytes of memory that scores reckon with.
        preempts: whether it may take others' places.
        volumes: those that have a say in where the pod may run.
        claims: names of its device claims, None where one is not made yet, empty where none is
            needed; and whether it is made for the pod.
        pod_name, pod_uid: of the pod, if something is made for it alone; else empty.
        has_pod_terms: whether others must look at this pod's terms.
        looks_at_itself: whether the pod's own labels matter to where it may be.
    """

    number: int
    namespace: str
    scheduler: str
    priority: int
    preempts: bool
    requests: Amounts
    nonzero: tuple[int, int]
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    tolerations: tuple[terms.Toleration, ...]
    nodes: terms.NodeRules
    spreads: tuple[terms.Spread, ...]
    affinity: terms.PodTerms
    anti: terms.PodTerms
    volumes: tuple[JsonObject, ...] = ()
    claims: tuple[tuple[str | None, bool], ...] = ()
    pod_name: str = ""
    pod_uid: str = ""
    has_pod_terms: bool = field(init=False)
    looks_at_itself: bool = field(init=False)

    def __post_init__(self) -> None:
        has_terms = any((*self.affinity, *self.anti))
        object.__setattr__(self, "has_pod_terms", has_terms)
        is_hard = any(one.is_hard for one in self.spreads)
        object.__setattr__(self, "looks_at_itself", has_terms or is_hard)


class Group(NamedTuple):
    """What others' selectors look at; equal ones are the same object.

    Attributes:
        number: of the group.
        is_leaving: the pod is being deleted, and does not count for spreading.
    """

    number: int
    namespace: str
    labels: tuple[tuple[str, str], ...]
    is_leaving: bool = False


_OriginKey = tuple[int, int, str]


class _OfOrigin(NamedTuple):
    """A shape, with what it was found by, which is held so that nothing else gets its identity.

    Attributes:
        shape: None: it depends on more of a pod than its spec and namespace.
    """

    origin: JsonObject
    default: tuple[terms.Spread, ...]
    shape: Shape | None


def _has_own(spec: JsonObject) -> bool:
    return bool(
        spec.get("resourceClaims")
        or spec.get("topologySpreadConstraints")
        or any(volume.get("ephemeral") for volume in spec.get("volumes") or ())
    )


@dataclass(slots=True)
class Shapes:
    """Finds the shape and the group of a pod; what was not seen for long is made anew."""

    _shapes: OrderedDict[bytes, Shape] = field(default_factory=OrderedDict)
    _groups: OrderedDict[tuple[object, ...], Group] = field(default_factory=OrderedDict)
    _numbers: int = 0
    _of_origin: dict[_OriginKey, _OfOrigin] = field(default_factory=dict)

    def of(self, pod: JsonObject, default: tuple[terms.Spread, ...] = ()) -> Shape:
        """Return a pod's shape.

        Args:
            pod: decoded.
            default: constraints that it is given if it has none.
        """
        spec = pod["spec"]
        if not isinstance(spec, SharedSpec):
            return self._find(pod, default)
        # Of ten thousand pods of a template it is worked out once.
        origin, namespace = spec.origin, pod["metadata"].get("namespace", "")
        key = (id(origin), id(default), namespace)
        known = self._of_origin.get(key)
        if known is None or known.origin is not origin or known.default is not default:
            if len(self._of_origin) >= _ORIGINS_MAX:
                self._of_origin.clear()
            shape = None if _has_own(spec) else self._find(pod, default)
            known = self._of_origin[key] = _OfOrigin(origin, default, shape)
        return known.shape or self._find(pod, default)

    def _find(self, pod: JsonObject, default: tuple[terms.Spread, ...]) -> Shape:
        spec, metadata = pod["spec"], pod["metadata"]
        parts: list[object] = [spec.get(name) for name in _ALIKE]
        volumes = tuple(
            volume
            for volume in spec.get("volumes") or ()
            if any(volume.get(kind) is not None for kind in _VOLUMES)
        )
        if volumes:
            parts.append(volumes)
        for kind in ("containers", "initContainers"):
            parts.append([_container(one) for one in spec.get(kind) or ()])
        if default:
            parts.append(_written(default))
        namespace = ""
        if spec.get("affinity") or spec.get("topologySpreadConstraints") or default or volumes:
            namespace = metadata.get("namespace", "")
        if spec.get("resourceClaims"):
            namespace = metadata.get("namespace", "")
            parts.append((pod.get("status") or {}).get("resourceClaimStatuses"))
        if spec.get("topologySpreadConstraints"):
            parts.append(metadata.get("labels"))
        parts.append(namespace)
        own = ("", "")
        # What is made for a pod is called after it and is its alone; devices are reserved for it.
        if spec.get("resourceClaims") or any(volume.get("ephemeral") for volume in volumes):
            own = (metadata["name"], metadata.get("uid", ""))
        parts.append(own)
        # What orjson returns takes whole pages of memory when it is kept.
        written = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        key = blake2b(written, digest_size=_DIGEST_BYTES).digest()
        shape = self._shapes.get(key)
        if shape is None:
            self._numbers += 1
            shape = _make(self._numbers, pod, (namespace, *own), volumes, default)
            self._shapes[key] = shape
            if len(self._shapes) > _KNOWN_MAX:
                self._shapes.popitem(last=False)
        return shape

    def group_of(self, metadata: JsonObject) -> Group:
        """Return a pod's group."""
        labels = tuple(sorted((metadata.get("labels") or {}).items()))
        is_leaving = bool(metadata.get("deletionTimestamp"))
        key = (metadata.get("namespace", ""), labels, is_leaving)
        group = self._groups.get(key)
        if group is None:
            self._numbers += 1
            group = self._groups[key] = Group(self._numbers, *key)
            if len(self._groups) > _KNOWN_MAX:
                self._groups.popitem(last=False)
        return group


class _Parts(NamedTuple):
    """What shapes share that differ in affinity alone, as those of a DaemonSet's pods do."""

    requests: Amounts
    nonzero: tuple[int, int]
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    tolerations: tuple[terms.Toleration, ...]


@lru_cache(maxsize=4096)
def _parts_of(written: bytes) -> _Parts:
    """Return what is said in members of a spec, `_OFTEN_ALIKE`, given as JSON."""
    spec = dict(zip(_OFTEN_ALIKE, orjson.loads(written), strict=True))
    nonzero = pod_requests(spec, NONZERO_DEFAULTS)
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return _Parts(
        {name: amount for name, amount in pod_requests(spec).items() if amount},
        (nonzero.get(CPU, 0), nonzero.get(MEMORY, 0)),
        host_ports(spec),
        tuple(one.get("image") or "" for one in containers),
        terms.parse_tolerations(spec),
    )


@lru_cache(maxsize=4096)
def _written(spreads: tuple[terms.Spread, ...]) -> str:
    return str(spreads)  # which takes longer than all else of a shape


def _container(container: JsonObject) -> tuple[object, ...]:
    ports = [port for port in container.get("ports") or () if port.get("hostPort")]
    return (
        (container.get("resources") or {}).get("requests"),
        ports,
        container.get("image"),
        container.get("restartPolicy"),
    )


def _make(
    number: int,
    pod: JsonObject,
    whose: tuple[str, str, str],
    volumes: tuple[JsonObject, ...],
    default: tuple[terms.Spread, ...],
) -> Shape:
    spec = pod["spec"]
    own = pod["metadata"].get("namespace", "")
    spreads = terms.parse_spreads(spec, pod["metadata"].get("labels") or {})
    parts = _parts_of(orjson.dumps([spec.get(name) for name in _OFTEN_ALIKE]))
    return Shape(
        number=number,
        namespace=whose[0],
        scheduler=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        priority=int(spec.get("priority") or 0),
        preempts=spec.get("preemptionPolicy") != "Never",
        requests=parts.requests,
        nonzero=parts.nonzero,
        ports=parts.ports,
        images=parts.images,
        tolerations=parts.tolerations,
        nodes=terms.parse_node_rules(spec),
        spreads=spreads or default,
        affinity=terms.parse_pod_terms(spec, "podAffinity", own),
        anti=terms.parse_pod_terms(spec, "podAntiAffinity", own),
        volumes=volumes,
        claims=tuple(claim_name(pod, one) for one in spec.get("resourceClaims") or ()),
        pod_name=whose[1],
        pod_uid=whose[2],
    )


def host_ports(spec: JsonObject) -> tuple[Port, ...]:
    """Return the ports of the host that a pod takes, those of sidecars included."""
    sidecars = [
        one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"
    ]
    found = {
        Port(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }
    return tuple(sorted(found))

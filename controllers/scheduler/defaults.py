"""Spreading by default: what pods without constraints of their own are given (PodTopologySpread).

They are spread among the pods that the same services and the same owner select, over nodes first
and zones second, softly; or as a profile's `defaultConstraints` say. A pod that nothing selects is
given nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.terms import HOSTNAME, Spread, parse_selector
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.selectors import LabelSelector, Operator, Requirement

SERVICES: Final = "/api/v1/services"
OWNERS: Final = {
    "ReplicationController": "/api/v1/replicationcontrollers",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "StatefulSet": "/apis/apps/v1/statefulsets",
}
ZONE: Final = "topology.kubernetes.io/zone"
_SYSTEM: Final = ((HOSTNAME, 3), (ZONE, 5))
_KNOWN_MAX: Final = 16_384
_SYSTEM_DEFAULTS: Final = "System"


@dataclass(slots=True)
class Defaults:
    """See the module's head.

    Args of the constructor:
        profiles: by the name of the scheduler.
        owners: stores by kind, of what owns pods.
    """

    profiles: Mapping[str, Profile]
    owners: Mapping[str, Store]
    _services: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    _known: OrderedDict[tuple[object, ...], tuple[Spread, ...]] = field(default_factory=OrderedDict)

    def take_services(self, deltas: Sequence[Delta]) -> None:
        """Take changes of services."""
        for delta in deltas:
            namespace, _, name = delta.key.partition("/")
            selector = (delta.object.get("spec") or {}).get("selector")
            there = self._services.setdefault(namespace, {})
            if delta.change is Change.DELETED or not selector:
                there.pop(name, None)
            else:
                there[name] = selector

    def of(self, pod: JsonObject) -> tuple[Spread, ...]:
        """Return the constraints that a pod without any is given."""
        name = pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER
        profile = self.profiles[name]
        if profile.spread_defaults != _SYSTEM_DEFAULTS and not profile.spread_list:
            return ()
        metadata = pod["metadata"]
        labels = metadata.get("labels") or {}
        pairs = self._selected(metadata.get("namespace", ""), labels)
        requirements = self._owner_selects(metadata)
        if not pairs and not requirements:
            return ()
        key = (name, tuple(sorted(pairs.items())), requirements)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _spreads(profile, pairs, requirements)
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return found

    def _selected(self, namespace: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Return what the services say that select a pod, all together."""
        found: dict[str, str] = {}
        for selector in self._services.get(namespace, {}).values():
            if selector.items() <= labels.items():
                found |= selector
        return found

    def _owner_selects(self, metadata: JsonObject) -> tuple[Requirement, ...]:
        for owner in metadata.get("ownerReferences") or ():
            store = self.owners.get(owner.get("kind", "")) if owner.get("controller") else None
            if store is None:
                continue
            raw = store.raw(f"{metadata.get('namespace', '')}/{owner['name']}")
            uid, requirements = ("", ()) if raw is None else _read_owner(raw, owner["kind"])
            return requirements if uid == owner.get("uid") else ()
        return ()


def _spreads(
    profile: Profile, pairs: Mapping[str, str], requirements: tuple[Requirement, ...]
) -> tuple[Spread, ...]:
    services = [Requirement(key, Operator.IN, (value,)) for key, value in pairs.items()]
    together = {*services, *requirements}
    ordered = sorted(together, key=lambda one: (one.key, one.operator.value, one.values))
    selector = LabelSelector(tuple(ordered))
    if profile.spread_defaults == _SYSTEM_DEFAULTS:
        return tuple(
            Spread(key, selector, skew, is_hard=False, is_default=True) for key, skew in _SYSTEM
        )
    return tuple(_listed(one, selector) for one in profile.spread_list)


def _listed(constraint: Mapping[str, Any], selector: LabelSelector) -> Spread:
    return Spread(
        str(constraint.get("topologyKey", "")),
        selector,
        int(constraint.get("maxSkew") or 1),
        is_hard=constraint.get("whenUnsatisfiable") != "ScheduleAnyway",
    )


@lru_cache(maxsize=256)
def _read_owner(raw: bytes, kind: str) -> tuple[str | None, tuple[Requirement, ...]]:
    """Return an owner's uid and what it selects: each of its pods asks for that."""
    obj = orjson.loads(raw)
    selector = (obj.get("spec") or {}).get("selector")
    if kind == "ReplicationController":
        selector = {"matchLabels": selector or {}}
    return obj["metadata"].get("uid"), _parsed(orjson.dumps(selector))


@lru_cache(maxsize=4096)
def _parsed(selector: bytes) -> tuple[Requirement, ...]:
    """Return what a selector requires, given as JSON: an owner is asked for by each of its pods."""
    return parse_selector(orjson.loads(selector)).requirements

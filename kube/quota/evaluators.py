"""Who counts what: an evaluator for each type, and one for all others, which counts objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from kube.json_types import JsonObject
from kube.quantity import Quantity
from kube.quota import pods
from kube.quota.amounts import ZERO, Amounts, add, read

_ONE: Final = read({"one": "1"})["one"]
_ALIASES: Final = {
    ("", name): name
    for name in ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
}
IGNORED: Final = frozenset({("", "events"), ("events.k8s.io", "events"), ("", "bindings")})
"""Types that no quota limits."""
_CLASS_SUFFIX: Final = ".storageclass.storage.k8s.io/"
_CLAIM_NAMES: Final = ("persistentvolumeclaims", "requests.storage")
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"


class Evaluator(NamedTuple):
    """How objects of a type are counted.

    Attributes:
        matching: those of a quota's names that count them.
        usage: what an object takes, at a time.
        is_in_scope: whether an object is in a scope; None: scopes never are for this type.
        fault: what an object should say and does not; "" for nothing.
    """

    matching: Callable[[Iterable[str]], list[str]]
    usage: Callable[[JsonObject, float], Amounts]
    is_in_scope: Callable[[JsonObject, JsonObject], bool] | None = None
    fault: Callable[[JsonObject, Iterable[str]], str] | None = None

    def matches(self, quota: JsonObject, obj: JsonObject, hard: Iterable[str]) -> bool:
        """Tell whether a quota counts an object."""
        return bool(self.matching(hard)) and self.is_in_scopes(quota, obj)

    def is_in_scopes(self, quota: JsonObject, obj: JsonObject) -> bool:
        """Tell whether an object is in all of a quota's scopes."""
        scopes = list(scopes_of(quota))
        if not scopes:
            return True
        decide = self.is_in_scope
        return decide is not None and all(decide(scope, obj) for scope in scopes)


def scopes_of(quota: JsonObject) -> Iterator[JsonObject]:
    """Yield a quota's scopes, in either way of saying them, as selector expressions."""
    spec = quota.get("spec") or {}
    for name in spec.get("scopes") or ():
        yield {"scopeName": name, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


def count_name(group: str, plural: str) -> str:
    """Return the name by which quotas count objects of a type."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def evaluator_of(group: str, plural: str) -> Evaluator | None:
    """Return who counts a type; None: nobody does."""
    if (group, plural) in IGNORED:
        return None
    return _SPECIAL.get((group, plural)) or _object_count(group, plural)


def _object_count(group: str, plural: str) -> Evaluator:
    names = {count_name(group, plural)}
    if alias := _ALIASES.get((group, plural)):
        names.add(alias)
    taken = dict.fromkeys(names, _ONE)
    return Evaluator(
        lambda given: [name for name in given if name in names], lambda _obj, _now_s: taken
    )


_SERVICE_NAMES: Final = frozenset(
    {"count/services", "services", "services.loadbalancers", "services.nodeports"}
)


def _service_usage(service: JsonObject, _now_s: float) -> Amounts:
    spec = service["spec"]
    kind, ports = spec.get("type"), spec.get("ports") or ()
    node_ports = 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(bool(port.get("nodePort")) for port in ports)
    elif kind in ("NodePort", "LoadBalancer"):
        node_ports = len(ports)
    return {
        "count/services": _ONE,
        "services": _ONE,
        "services.loadbalancers": _ONE if kind == "LoadBalancer" else ZERO,
        "services.nodeports": Quantity(node_ports),
    }


def class_of(claim: JsonObject) -> str:
    """Return the name of a PersistentVolumeClaim's storage class, "" for none."""
    annotations = claim["metadata"].get("annotations") or {}
    if _BETA_CLASS in annotations:
        return str(annotations[_BETA_CLASS])
    return claim["spec"].get("storageClassName") or ""


def _claims_matching(names: Iterable[str]) -> list[str]:
    suffixes = tuple(_CLASS_SUFFIX + name for name in _CLAIM_NAMES)
    known = {"count/persistentvolumeclaims", *_CLAIM_NAMES}
    return [name for name in names if name in known or name.endswith(suffixes)]


def _claim_usage(claim: JsonObject, _now_s: float) -> Amounts:
    taken = {"persistentvolumeclaims": _ONE, "count/persistentvolumeclaims": _ONE}
    storage_class = class_of(claim)
    if storage_class:
        taken[f"{storage_class}{_CLASS_SUFFIX}persistentvolumeclaims"] = _ONE
    asked = read((claim["spec"].get("resources") or {}).get("requests")).get("storage")
    if asked is not None:
        allocated = read((claim.get("status") or {}).get("allocatedResources")).get("storage")
        if allocated is not None and asked < allocated:
            asked = allocated
        if asked.nanos % 10**9:
            asked = Quantity(asked.value, 0, asked.format)
        taken["requests.storage"] = asked
        if storage_class:
            taken[f"{storage_class}{_CLASS_SUFFIX}requests.storage"] = asked
    return taken


def _is_claim_in_scope(scope: JsonObject, claim: JsonObject) -> bool:
    if scope["scopeName"] != "VolumeAttributesClass":
        return False
    status = claim.get("status") or {}
    named = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    names = [name for name in dict.fromkeys(named) if name]
    return bool(names) if scope.get("operator") == "Exists" else pods.selects(scope, names)


_SPECIAL: Final = {
    ("", "pods"): Evaluator(pods.matching, pods.usage, pods.is_in_scope, pods.fault),
    ("", "services"): Evaluator(
        lambda names: [name for name in names if name in _SERVICE_NAMES], _service_usage
    ),
    ("", "persistentvolumeclaims"): Evaluator(_claims_matching, _claim_usage, _is_claim_in_scope),
}


def recount(
    quota: JsonObject, found: Iterable[tuple[Evaluator, Iterable[JsonObject]]], now_s: float
) -> tuple[dict[str, str], dict[str, str]]:
    """Count anew what is used of a quota.

    Args:
        quota: the ResourceQuota.
        found: all evaluators whose names it has, each with all objects of the namespace.
        now_s: the time.

    Returns:
        What its status should say under `hard` and `used`.
    """
    hard: dict[str, str] = dict((quota.get("spec") or {}).get("hard") or {})
    used = read((quota.get("status") or {}).get("used"))
    for evaluator, objects in found:
        names = evaluator.matching(hard)
        total: Amounts = dict.fromkeys(names, ZERO)
        for obj in objects:
            if evaluator.is_in_scopes(quota, obj):
                total = add(total, evaluator.usage(obj, now_s))
        used.update({name: total[name] for name in names})
    return hard, {name: str(used[name]) for name in hard if name in used}

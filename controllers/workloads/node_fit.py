"""On which nodes a DaemonSet's pods run: by name, labels and taints (NodeShouldRunDaemonPod).

What a template asks for is read once; a node is then looked at in a microsecond. Whether a pod
would find room there is the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from controllers.nodes.book import NodeBrief
from controllers.nodes.taints import Taint, tolerates
from kube.json_types import JsonObject

_NO_NEW: Final = ("NoExecute", "NoSchedule")
_TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_WITHOUT_NETWORK: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")
_TAINTS_MAX: Final = 1024
Rule = Callable[[NodeBrief], bool]


def tolerations_of(spec: JsonObject) -> list[JsonObject]:
    """Return the tolerations of a daemon's pods: the template's, and what all daemons tolerate."""
    own = list(spec.get("tolerations") or ())
    wanted = [*_TOLERATED, *([_WITHOUT_NETWORK] if spec.get("hostNetwork") else [])]
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        alike = [at for at, one in enumerate(own) if _is_alike(one, toleration)]
        if alike:
            # One with a time limit becomes one without.
            for at in alike:
                own[at] = toleration
        else:
            own.append(toleration)
    return own


def _is_alike(one: JsonObject, other: JsonObject) -> bool:
    names = ("key", "operator", "effect", "value")
    return all(one.get(name, "") == other.get(name, "") for name in names)


class NodeFit:
    """What the template of one DaemonSet asks of nodes."""

    def __init__(self, spec: JsonObject) -> None:
        self._name = spec.get("nodeName") or ""
        self._labels = tuple((spec.get("nodeSelector") or {}).items())
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        self._terms = None if required is None else _terms(required)
        self._tolerations = tolerations_of(spec)
        self._by_taints: dict[tuple[Taint, ...], tuple[bool, bool]] = {}

    def of(self, node: NodeBrief) -> tuple[bool, bool]:
        """Return whether a pod is to be made for a node, and whether one there may stay."""
        if (self._name and self._name != node.name) or not self._is_chosen(node):
            return False, False
        taints = node.taints
        if not taints:
            return True, True
        found = self._by_taints.get(taints)
        if found is None:
            if len(self._by_taints) >= _TAINTS_MAX:
                self._by_taints.clear()
            found = self._by_taints[taints] = self._withstands(taints)
        return found

    def _is_chosen(self, node: NodeBrief) -> bool:
        labels = node.labels
        for key, value in self._labels:
            if labels.get(key) != value:
                return False
        return self._terms is None or any(
            all(rule(node) for rule in rules) for rules in self._terms
        )

    def _withstands(self, taints: tuple[Taint, ...]) -> tuple[bool, bool]:
        left = [
            taint
            for taint in taints
            if taint.effect in _NO_NEW
            and not any(tolerates(one, taint) for one in self._tolerations)
        ]
        return not left, all(taint.effect != "NoExecute" for taint in left)


def _terms(selector: JsonObject) -> tuple[tuple[Rule, ...], ...]:
    """Return the terms of a NodeSelector, of which one must hold; one without rules never does."""
    found = []
    for term in selector.get("nodeSelectorTerms") or ():
        rules = [_label_rule(one) for one in term.get("matchExpressions") or ()]
        rules += [_field_rule(one) for one in term.get("matchFields") or ()]
        if rules:
            found.append(tuple(rules))
    return tuple(found)


def _label_rule(rule: JsonObject) -> Rule:
    key, values = rule["key"], frozenset(rule.get("values") or ())
    match rule["operator"]:
        case "In":
            return lambda node: node.labels.get(key) in values
        case "NotIn":
            return lambda node: node.labels.get(key) not in values
        case "Exists":
            return lambda node: key in node.labels
        case "DoesNotExist":
            return lambda node: key not in node.labels
        case "Gt" | "Lt" as operator:
            return _number_rule(key, operator, next(iter(values), None))
        case _:
            return lambda _node: False


def _number_rule(key: str, operator: str, text: Any) -> Rule:
    bound = _number(text)
    if bound is None:
        return lambda _node: False

    def holds(labels: Mapping[str, str]) -> bool:
        value = _number(labels.get(key))
        if value is None:
            return False
        return value > bound if operator == "Gt" else value < bound

    return lambda node: holds(node.labels)


def _number(text: Any) -> int | None:
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def _field_rule(rule: JsonObject) -> Rule:
    values = frozenset(rule.get("values") or ())
    if rule["key"] != "metadata.name":
        return lambda _node: False
    match rule["operator"]:
        case "In":
            return lambda node: node.name in values
        case "NotIn":
            return lambda node: node.name not in values
        case _:
            return lambda _node: False

"""The levels and flow schemas of a fresh cluster, as upstream's bootstrap configuration has them.

The mandatory ones are always there and always like this; the suggested ones may be edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apiserver.fairness.model import CATCH_ALL, EXEMPT
from kube.json_types import JsonObject

AUTO_UPDATE: Final = "apf.kubernetes.io/autoupdate-spec"
_ALL: Final = ["*"]
_ANYBODY: Final = ("system:unauthenticated", "system:authenticated")


def _named(name: str, spec: JsonObject) -> JsonObject:
    return {"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec}


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> JsonObject:
    response: JsonObject = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": response,
    }
    return _named(name, {"type": "Limited", "limited": limited})


def _groups(*names: str) -> list[JsonObject]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[JsonObject]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_KUBE_SYSTEM: Final[JsonObject] = {
    "kind": "ServiceAccount",
    "serviceAccount": {"name": "*", "namespace": "kube-system"},
}


def _resources(
    verbs: Sequence[str], group: str, resources: Sequence[str], *, cluster_scope: bool
) -> JsonObject:
    rule: JsonObject = {
        "verbs": list(verbs),
        "apiGroups": [group],
        "resources": list(resources),
        "namespaces": _ALL,
    }
    if cluster_scope:
        rule["clusterScope"] = True
    return rule


_EVERYTHING: Final[JsonObject] = {
    "resourceRules": [_resources("*", "*", "*", cluster_scope=True)],
    "nonResourceRules": [{"verbs": _ALL, "nonResourceURLs": _ALL}],
}


def _schema(
    name: str,
    level: str,
    precedence: int,
    by: str,
    subjects: list[JsonObject],
    rules: JsonObject = _EVERYTHING,
) -> JsonObject:
    spec: dict[str, Any] = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
    }
    if by:
        spec["distinguisherMethod"] = {"type": by}
    spec["rules"] = [{"subjects": subjects, **rules}]
    return _named(name, spec)


MANDATORY_LEVELS: Final = (
    _level(CATCH_ALL, 5, 0),
    _named(
        EXEMPT,
        {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    ),
)
SUGGESTED_LEVELS: Final = (
    _level("system", 30, 33, 64, 6),
    _level("node-high", 40, 25, 64, 6),
    _level("leader-election", 10, 0, 16, 4),
    _level("workload-high", 40, 50, 128, 6),
    _level("workload-low", 100, 90, 128, 6),
    _level("global-default", 20, 50, 128, 6),
)
MANDATORY_SCHEMAS: Final = (
    _schema(EXEMPT, EXEMPT, 1, "", _groups("system:masters")),
    _schema(CATCH_ALL, CATCH_ALL, 10_000, "ByUser", _groups(*_ANYBODY)),
)
SUGGESTED_SCHEMAS: Final = (
    _schema("system-nodes", "system", 500, "ByUser", _groups("system:nodes")),
    _schema(
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        _groups("system:nodes"),
        {
            "resourceRules": [
                _resources("*", "", ["nodes", "nodes/status"], cluster_scope=True),
                _resources("*", "coordination.k8s.io", ["leases"], cluster_scope=False),
            ]
        },
    ),
    _schema(
        "probes",
        EXEMPT,
        2,
        "",
        _groups(*_ANYBODY),
        {
            "nonResourceRules": [
                {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
            ]
        },
    ),
    _schema(
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        [*_users("system:kube-controller-manager", "system:kube-scheduler"), _KUBE_SYSTEM],
        {
            "resourceRules": [
                _resources(
                    ["get", "create", "update"],
                    "coordination.k8s.io",
                    ["leases"],
                    cluster_scope=False,
                )
            ]
        },
    ),
    _schema(
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        _users("system:kube-controller-manager"),
    ),
    _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _users("system:kube-scheduler")),
    _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", [_KUBE_SYSTEM]),
    _schema("service-accounts", "workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
    _schema("global-default", "global-default", 9900, "ByUser", _groups(*_ANYBODY)),
)

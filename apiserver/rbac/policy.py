"""The roles and bindings that every cluster has, as objects: upstream's default policy.

The tables hold what each role may do; all else follows: labels, annotations, the aggregated roles,
and the bindings, which have the name of their role.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from apiserver.rbac.index import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
)
from apiserver.rbac.policy_controllers import CONTROLLERS
from apiserver.rbac.policy_roles import NAMESPACED, USERS
from kube.json_types import JsonObject

AUTO_UPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
CONTROLLER_PREFIX: Final = "system:controller:"
_AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"
_SYSTEM: Final = "kube-system"
_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")
_SHORT: Final = {"read": _READ, "write": _WRITE, "all": (*_READ, *_WRITE)}
_CONTINUED: Final = re.compile(r",\n *")
_EVENTS: Final = "create,patch,update core,events.k8s.io events"
_AGGREGATED: Final = {"admin": "", "edit": "admin", "view": "edit"}
"""Roles made of others, and the role that they are a part of themselves."""
_MANAGER, _SCHEDULER = "User system:kube-controller-manager", "User system:kube-scheduler"
_BOUND: Final = {
    "cluster-admin": ("Group system:masters",),
    "system:basic-user": ("Group system:authenticated",),
    "system:discovery": ("Group system:authenticated",),
    "system:kube-controller-manager": (_MANAGER,),
    "system:kube-dns": (f"{_SYSTEM} kube-dns",),
    "system:kube-scheduler": (_SCHEDULER,),
    "system:monitoring": ("Group system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:volume-scheduler": (_SCHEDULER,),
}
_BOUND_IN: Final = {
    "kube-public/system:controller:bootstrap-signer": (f"{_SYSTEM} bootstrap-signer",),
    "kube-system/extension-apiserver-authentication-reader": (_MANAGER, _SCHEDULER),
    "kube-system/system::leader-locking-kube-controller-manager": (
        _MANAGER,
        f"{_SYSTEM} kube-controller-manager",
        f"{_SYSTEM} leader-election-controller",
    ),
    "kube-system/system::leader-locking-kube-scheduler": (_SCHEDULER, f"{_SYSTEM} kube-scheduler"),
    "kube-system/system:controller:bootstrap-signer": (f"{_SYSTEM} bootstrap-signer",),
    "kube-system/system:controller:cloud-provider": (f"{_SYSTEM} cloud-provider",),
    "kube-system/system:controller:token-cleaner": (f"{_SYSTEM} token-cleaner",),
}
_OWN_NAME: Final = {
    "extension-apiserver-authentication-reader": (
        "system::extension-apiserver-authentication-reader"
    )
}
"""The one binding that is not called as its role."""


def parse_table(text: str) -> dict[str, list[JsonObject]]:
    """Return the rules of a table's roles by name."""
    roles: dict[str, list[JsonObject]] = {}
    rules: list[JsonObject] = []
    for line in _CONTINUED.sub(",", text).splitlines():
        if not line.startswith(" "):
            roles[line] = rules = []
        else:
            rules.append(_parse_rule(line.split()))
    return roles


def _parse_rule(words: list[str]) -> JsonObject:
    if words == ["events"]:
        words = _EVENTS.split()
    verbs = [verb for word in words[0].split(",") for verb in _SHORT.get(word, (word,))]
    if words[1] == "urls":
        return {"verbs": sorted(verbs), "nonResourceURLs": words[2].split(",")}
    groups = ["" if group == "core" else group for group in words[1].split(",")]
    rule: JsonObject = {
        "verbs": sorted(verbs),
        "apiGroups": groups,
        "resources": words[2].split(","),
    }
    if len(words) > 3:
        rule["resourceNames"] = words[3].split(",")
    return rule


@cache
def default_objects() -> tuple[tuple[str, str, JsonObject], ...]:
    """Return (storage resource, namespace, object) of all; not to be changed."""
    return (*_cluster_roles(), *_namespaced_roles(), *_cluster_bindings(), *_namespaced_bindings())


def node_rules() -> list[JsonObject]:
    """Return what a node may do, as far as the node authorizer does not look closer."""
    return parse_table(USERS)["system:node"]


def _cluster_roles() -> Iterator[tuple[str, str, JsonObject]]:
    for name, rules in parse_table(USERS).items():
        role = _object(name)
        kind = name.removeprefix("system:aggregate-to-")
        if kind != name:
            role["metadata"]["labels"][_AGGREGATE + kind] = "true"
        yield CLUSTER_ROLES, "", {**role, "rules": rules}
    for name, whole in _AGGREGATED.items():
        role = _object(name)
        if whole:
            role["metadata"]["labels"][_AGGREGATE + whole] = "true"
        selector = {"matchLabels": {_AGGREGATE + name: "true"}}
        yield CLUSTER_ROLES, "", {**role, "aggregationRule": {"clusterRoleSelectors": [selector]}}
    for name, rules in parse_table(CONTROLLERS).items():
        yield CLUSTER_ROLES, "", {**_object(CONTROLLER_PREFIX + name), "rules": rules}


def _namespaced_roles() -> Iterator[tuple[str, str, JsonObject]]:
    for place, rules in parse_table(NAMESPACED).items():
        namespace, _, name = place.partition("/")
        yield ROLES, namespace, {**_object(name, namespace), "rules": rules}


def _cluster_bindings() -> Iterator[tuple[str, str, JsonObject]]:
    bound = dict(_BOUND)
    for name in parse_table(CONTROLLERS):
        bound[CONTROLLER_PREFIX + name] = (f"{_SYSTEM} {name}",)
    for name, subjects in bound.items():
        yield CLUSTER_ROLE_BINDINGS, "", _binding(_object(name), "ClusterRole", name, subjects)


def _namespaced_bindings() -> Iterator[tuple[str, str, JsonObject]]:
    for place, subjects in _BOUND_IN.items():
        namespace, _, name = place.partition("/")
        binding = _object(_OWN_NAME.get(name, name), namespace)
        yield ROLE_BINDINGS, namespace, _binding(binding, "Role", name, subjects)


def _binding(binding: JsonObject, kind: str, role: str, subjects: tuple[str, ...]) -> JsonObject:
    binding["roleRef"] = {"apiGroup": GROUP, "kind": kind, "name": role}
    if subjects:
        binding["subjects"] = [_subject(subject) for subject in subjects]
    return binding


def _subject(text: str) -> JsonObject:
    kind, _, name = text.partition(" ")
    if kind in ("User", "Group"):
        return {"apiGroup": GROUP, "kind": kind, "name": name}
    return {"kind": "ServiceAccount", "name": name, "namespace": kind}


def _object(name: str, namespace: str = "") -> JsonObject:
    metadata: JsonObject = {
        "name": name,
        "labels": dict(BOOTSTRAPPING),
        "annotations": {AUTO_UPDATE: "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata}

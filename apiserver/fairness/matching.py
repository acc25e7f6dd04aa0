"""Which FlowSchema a request belongs to: the first, by precedence and name, whose rules match."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apiserver.authn import User
from apiserver.authz import Attributes
from apiserver.fairness.model import ANY, PathRule, PolicyRule, ResourceRule, SchemaSpec

_ACCOUNT: Final = "system:serviceaccount:"


def in_order(schemas: Iterable[SchemaSpec]) -> list[SchemaSpec]:
    """Return schemas in the order in which they are asked."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def matches(schema: SchemaSpec, user: User, request: Attributes) -> bool:
    """Tell whether one of a schema's rules is for this request."""
    return any(_rule_matches(rule, user, request) for rule in schema.rules)


def _rule_matches(rule: PolicyRule, user: User, request: Attributes) -> bool:
    if not _is_meant(rule, user):
        return False
    if request.resource:
        return any(_resource_matches(one, request) for one in rule.resource_rules)
    return any(_path_matches(one, request) for one in rule.path_rules)


def _is_meant(rule: PolicyRule, user: User) -> bool:
    if user.name in rule.users or ANY in rule.users or ANY in rule.groups:
        return True
    if not rule.groups.isdisjoint(user.groups):
        return True
    return any(_is_account(user.name, namespace, name) for namespace, name in rule.accounts)


def _is_account(user: str, namespace: str, name: str) -> bool:
    prefix = f"{_ACCOUNT}{namespace}:"
    return user.startswith(prefix) if name == ANY else user == prefix + name


def _resource_matches(rule: ResourceRule, request: Attributes) -> bool:
    resource = request.resource
    if request.subresource:
        resource = f"{resource}/{request.subresource}"
    if not (
        _holds(rule.verbs, request.verb)
        and _holds(rule.resources, resource)
        and _holds(rule.groups, request.group)
    ):
        return False
    if not request.namespace:
        return rule.cluster_scope
    return _holds(rule.namespaces, request.namespace)


def _holds(values: frozenset[str], value: str) -> bool:
    return value in values or ANY in values


def _path_matches(rule: PathRule, request: Attributes) -> bool:
    return _holds(rule.verbs, request.verb) and any(
        _path_is_under(path, request.path) for path in rule.paths
    )


def _path_is_under(rule: str, path: str) -> bool:
    """Tell whether a rule's path, which stands for all below it too, is that of a request."""
    if rule in (ANY, path):
        return True
    prefix = rule.removesuffix(ANY)
    return path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def distinguisher_of(schema: SchemaSpec, user: User, request: Attributes) -> str:
    """Return what tells flows of one schema apart for this request."""
    match schema.distinguisher:
        case "ByUser":
            return user.name
        case "ByNamespace":
            return request.namespace
        case _:
            return ""

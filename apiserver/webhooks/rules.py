"""Which requests a rule is about: operation, group, version, resource and scope, never content.

Shared by webhooks and admission policies. Rules are as their objects hold them, defaulted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from kube.json_types import JsonObject

POLICIES: Final = frozenset(
    {
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    }
)
"""Of admissionregistration.k8s.io: no policy may keep anybody from mending these."""
CONFIGURATIONS: Final = POLICIES | {
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
}
"""Neither may a webhook, nor from mending its configuration."""
EXCLUDED_RESOURCES: Final = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)
"""Questions that are stored nowhere: a cluster must not be shut out of its own authorization."""
_GROUP: Final = "admissionregistration.k8s.io"


class Place(NamedTuple):
    """What a request is for, as far as rules look.

    Attributes:
        is_namespaced: whether it is within a namespace; a Namespace itself is not.
    """

    operation: str
    group: str
    version: str
    resource: str
    subresource: str
    is_namespaced: bool


def is_excluded(group: str, resource: str, *, by_policies: bool = False) -> bool:
    """Tell whether webhooks, or policies, are never asked about a type."""
    if group == _GROUP:
        return resource in (POLICIES if by_policies else CONFIGURATIONS)
    return (group, resource) in EXCLUDED_RESOURCES


def rule_matches(rule: JsonObject, place: Place) -> bool:
    """Tell whether a rule is about a request."""
    return (
        _is_in_scope(rule.get("scope"), is_namespaced=place.is_namespaced)
        and _has(rule.get("operations"), place.operation)
        and _has(rule.get("apiGroups"), place.group)
        and _has(rule.get("apiVersions"), place.version)
        and any(
            _is_resource(pattern, place.resource, place.subresource)
            for pattern in rule.get("resources") or ()
        )
    )


def first_match(
    rules: Iterable[JsonObject], place: Place, versions: Sequence[tuple[str, str, str]], name: str
) -> tuple[str, str, str] | None:
    """Return what a request is to be shown as for these rules; None: they are not about it.

    The requested type counts first. Another is one of the same objects in another group or
    version, for rules with matchPolicy Equivalent; earlier rules go first.

    Args:
        rules: with or without resourceNames.
        place: the request.
        versions: group, version and resource of its equivalents.
        name: of its object, "" for one whose name is not known yet.
    """
    asked = (place.group, place.version, place.resource)
    rules = tuple(rules)
    if any(rule_matches(rule, place) and _is_named(rule, name) for rule in rules):
        return asked
    for rule in rules:
        for other in versions:
            if other == asked:
                continue
            group, version, resource = other
            moved = place._replace(group=group, version=version, resource=resource)
            if rule_matches(rule, moved) and _is_named(rule, name):
                return other
    return None


def _is_named(rule: JsonObject, name: str) -> bool:
    names = rule.get("resourceNames")
    return not names or name in names


def _is_in_scope(scope: Any, *, is_namespaced: bool) -> bool:
    match scope:
        case None | "*":
            return True
        case "Namespaced":
            return is_namespaced
        case "Cluster":
            return not is_namespaced
        case _:
            return False


def _has(items: Any, wanted: str) -> bool:
    return bool(items) and ("*" in items or wanted in items)


def _is_resource(pattern: str, resource: str, subresource: str) -> bool:
    wanted, _, part = pattern.partition("/")
    return wanted in ("*", resource) and part in ("*", subresource)

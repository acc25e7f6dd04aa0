"""Which requests are put on record, and how much of them: an audit.k8s.io/v1 Policy.

The first rule that matches a request says so; a request that none matches leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from apiserver.authn import User
from apiserver.authz import Attributes
from kube.json_types import JsonObject

API_VERSION: Final = "audit.k8s.io/v1"
RECEIVED: Final = "RequestReceived"
STARTED: Final = "ResponseStarted"
COMPLETE: Final = "ResponseComplete"
STAGES: Final = (RECEIVED, STARTED, COMPLETE, "Panic")


class Level(IntEnum):
    """How much of a request is recorded."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3


LEVELS: Final = {
    "None": Level.NONE,
    "Metadata": Level.METADATA,
    "Request": Level.REQUEST,
    "RequestResponse": Level.REQUEST_RESPONSE,
}
NAMES: Final = {level: name for name, level in LEVELS.items()}


class PolicyUseless(ValueError):
    """The policy is malformed; the text says where."""


class Treatment(NamedTuple):
    """What is recorded of a request."""

    level: Level
    omitted: frozenset[str] = frozenset()
    omits_managed_fields: bool = False


NOTHING: Final = Treatment(Level.NONE)


class _Kinds(NamedTuple):
    group: str
    resources: tuple[str, ...]
    names: frozenset[str]

    def include(self, asked: Attributes) -> bool:
        if self.group != asked.group:
            return False
        if not self.resources:
            return True
        if self.names and asked.name not in self.names:
            return False
        part = asked.subresource
        whole = f"{asked.resource}/{part}" if part else asked.resource
        wanted = {whole, "*", f"{asked.resource}/*"}
        if part:
            wanted.add(f"*/{part}")
        return not wanted.isdisjoint(self.resources)


class _Rule(NamedTuple):
    treatment: Treatment
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    kinds: tuple[_Kinds, ...]
    urls: tuple[str, ...]

    def matches(self, user: User, asked: Attributes) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.kinds:
            if not asked.resource:
                return False
            if self.namespaces and asked.namespace not in self.namespaces:
                return False
            return not self.kinds or any(kinds.include(asked) for kinds in self.kinds)
        if self.urls:
            return not asked.resource and any(_is_below(url, asked.path) for url in self.urls)
        return True


class Policy:
    """The rules in their order."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = tuple(rules)

    def treat(self, user: User, asked: Attributes) -> Treatment:
        """Return what is to be recorded of a request."""
        for rule in self._rules:
            if rule.matches(user, asked):
                return rule.treatment
        return NOTHING


def parse_policy(document: Any) -> Policy:
    """Return a policy.

    Raises:
        PolicyUseless: it is none.
    """
    if not isinstance(document, dict):
        raise PolicyUseless("must be an object")
    if document.get("kind") != "Policy" or document.get("apiVersion") != API_VERSION:
        raise PolicyUseless(f"must be a Policy of {API_VERSION}")
    rules = document.get("rules") or []
    if not rules:
        raise PolicyUseless("has no rules")
    omitted = _stages(document.get("omitStages"), "omitStages")
    hides = bool(document.get("omitManagedFields"))
    return Policy(
        [
            _parse_rule(rule, f"rules[{number}]", omitted, hides=hides)
            for number, rule in enumerate(rules)
        ]
    )


def _parse_rule(rule: JsonObject, where: str, omitted: frozenset[str], *, hides: bool) -> _Rule:
    level = LEVELS.get(rule.get("level", ""))
    if level is None:
        raise PolicyUseless(f"{where}.level: must be one of {', '.join(LEVELS)}")
    urls = tuple(rule.get("nonResourceURLs") or ())
    kinds, namespaces = rule.get("resources") or (), frozenset(rule.get("namespaces") or ())
    if urls and (kinds or namespaces):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        raise PolicyUseless(f"{where}.nonResourceURLs: {text}")
    for url in urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise PolicyUseless(f"{where}.nonResourceURLs: {url!r} is no path that may end in *")
    stages = omitted | _stages(rule.get("omitStages"), f"{where}.omitStages")
    own = rule.get("omitManagedFields")
    return _Rule(
        Treatment(level, stages, hides if own is None else bool(own)),
        frozenset(rule.get("users") or ()),
        frozenset(rule.get("userGroups") or ()),
        frozenset(rule.get("verbs") or ()),
        namespaces,
        tuple(_parse_kinds(one, where) for one in kinds),
        urls,
    )


def _parse_kinds(kinds: JsonObject, where: str) -> _Kinds:
    group = kinds.get("group", "")
    if "/" in group:
        raise PolicyUseless(f"{where}.resources: group {group!r} must not have a version")
    names = frozenset(kinds.get("resourceNames") or ())
    resources = tuple(kinds.get("resources") or ())
    if names and not resources:
        raise PolicyUseless(f"{where}.resources: resourceNames need resources")
    return _Kinds(group, resources, names)


def _stages(names: Any, where: str) -> frozenset[str]:
    for name in names or ():
        if name not in STAGES:
            raise PolicyUseless(f"{where}: {name!r} is none of {', '.join(STAGES)}")
    return frozenset(names or ())


def _is_below(url: str, path: str) -> bool:
    return path.startswith(url[:-1]) if url.endswith("*") else path == url

"""Rules of roles, compiled for matching; what they match is upstream's.

A rule names verbs on resources (by group, and perhaps by name) or on paths, never both. `*` stands
for all; `*/scale` for that subresource of any resource; a path may end in `*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from apiserver.authz import Attributes
from kube.json_types import JsonObject

ALL: Final = "*"
_NONE: Final[frozenset[str]] = frozenset()


class Rule(NamedTuple):
    """One compiled rule.

    Attributes:
        names: the objects that it is for; none: all.
        urls: paths, without their `*` where they ended in one.
        source: the rule as the role has it.
    """

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[tuple[str, bool], ...]
    source: JsonObject

    def covers(self, asked: Attributes) -> bool:
        """Tell whether this is a rule for what is asked, whatever the object's name."""
        verbs = self.verbs
        if asked.verb not in verbs and ALL not in verbs:
            return False
        if not asked.resource:
            return covers_path(self.urls, asked.path)
        if asked.group not in self.groups and ALL not in self.groups:
            return False
        resources = self.resources
        if not asked.subresource:
            return asked.resource in resources or ALL in resources
        return (
            f"{asked.resource}/{asked.subresource}" in resources
            or ALL in resources
            or f"*/{asked.subresource}" in resources
        )


def covers_path(urls: Iterable[tuple[str, bool]], path: str) -> bool:
    """Tell whether one of the paths is `path`, or begins it where it ended in `*`."""
    return any(path.startswith(url) if is_open else path == url for url, is_open in urls)


def compile_url(url: str) -> tuple[str, bool]:
    """Return a rule's path as `covers_path` takes it."""
    return (url.rstrip(ALL), True) if url.endswith(ALL) else (url, False)


def compile_rule(rule: JsonObject) -> Rule:
    """Return a rule of a role."""
    names = rule.get("resourceNames")
    return Rule(
        frozenset(rule.get("verbs") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("resources") or ()),
        frozenset(names) if names else _NONE,
        tuple(compile_url(url) for url in rule.get("nonResourceURLs") or ()),
        rule,
    )


def compile_rules(rules: Iterable[JsonObject] | None) -> tuple[Rule, ...]:
    """Return the rules of a role."""
    return tuple(compile_rule(rule) for rule in rules or ())

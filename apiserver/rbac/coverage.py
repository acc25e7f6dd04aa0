"""Whether some rules allow all that others do, and what is missing: who may grant what.

Rules are taken apart into the smallest that say the same (one verb on one resource of one group,
under one name), as upstream's rule evaluation does, and each must be covered by a single rule of
the owner's. What is missing is told as upstream tells it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from apiserver.rbac.rules import ALL, Rule, covers_path
from kube.field import quote
from kube.json_types import JsonObject

PARTS_MAX: Final = 20_000
"""Of smallest rules that are looked at: 100 verbs, groups and resources would make a million. What
comes after is taken for missing."""


class Part(NamedTuple):
    """The smallest rule: one verb on one resource, or on one path where `url` is set."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str | None = None
    url: str = ""

    def as_rule(self) -> JsonObject:
        """Return it as a rule of a role."""
        if self.url:
            return {"verbs": [self.verb], "nonResourceURLs": [self.url]}
        rule: JsonObject = {
            "verbs": [self.verb],
            "apiGroups": [self.group],
            "resources": [self.resource],
        }
        if self.name is not None:
            rule["resourceNames"] = [self.name]
        return rule


def parts_of(rule: JsonObject) -> Iterator[Part]:
    """Take a rule apart."""
    verbs = rule.get("verbs") or ()
    names = rule.get("resourceNames") or (None,)
    for group, resource, verb, name in itertools.product(
        rule.get("apiGroups") or (), rule.get("resources") or (), verbs, names
    ):
        yield Part(verb, group, resource, name)
    for url, verb in itertools.product(rule.get("nonResourceURLs") or (), verbs):
        yield Part(verb, url=url)


def missing_parts(owner: Sequence[Rule], wanted: Iterable[JsonObject]) -> list[Part]:
    """Return what of `wanted` no rule of the owner's allows."""
    useful: dict[tuple[str, str, bool], list[Rule]] = {}
    missing: dict[Part, None] = {}
    parts = itertools.chain.from_iterable(parts_of(rule) for rule in wanted)
    for number, part in enumerate(parts):
        key = (part.verb, part.group, bool(part.url))
        rules = useful.get(key)
        if rules is None:
            rules = useful[key] = [one for one in owner if _may_cover(one, part)]
        if number >= PARTS_MAX or not any(_covers(one, part) for one in rules):
            missing[part] = None
            if number >= PARTS_MAX:
                break
    return list(missing)


def _may_cover(rule: Rule, part: Part) -> bool:
    if part.verb not in rule.verbs and ALL not in rule.verbs:
        return False
    return bool(part.url) or part.group in rule.groups or ALL in rule.groups


def _covers(rule: Rule, part: Part) -> bool:
    if part.url:
        return covers_path(rule.urls, part.url)
    if rule.names and part.name not in rule.names:
        return False
    resource = part.resource
    if resource in rule.resources or ALL in rule.resources:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in rule.resources


def describe(missing: Iterable[Part]) -> list[str]:
    """Return what is missing in upstream's words, sorted: verbs of one resource go together."""
    compact: dict[Part, list[str]] = {}
    for part in missing:
        key = part if part.url else part._replace(verb="")
        compact.setdefault(key, []).append(part.verb)
    return sorted(_describe(part, verbs) for part, verbs in compact.items())


def _describe(part: Part, verbs: list[str]) -> str:
    shown: list[tuple[str, list[str]]] = []
    if part.url:
        shown.append(("NonResourceURLs", [part.url]))
    else:
        shown += [("APIGroups", [part.group]), ("Resources", [part.resource])]
        if part.name is not None:
            shown.append(("ResourceNames", [part.name]))
    shown.append(("Verbs", list(dict.fromkeys(verbs))))
    return "{" + ", ".join(f"{key}:{quoted(values)}" for key, values in shown) + "}"


def quoted(values: Iterable[str]) -> str:
    """Return texts as Go prints a list of them with %q."""
    return f"[{' '.join(quote(value) for value in values)}]"

"""The SubjectAccessReview that a question is, for webhooks and for expressions about it.

Selectors are told as their requirements, never as a text that everybody would have to parse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apiserver.authn import User
from apiserver.authz import Attributes
from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, parse_field_selector, parse_label_selector

_OPERATORS: Final = {"in": "In", "notin": "NotIn", "exists": "Exists", "!": "DoesNotExist"}
_RESOURCE_KEYS: Final = (
    "namespace",
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "name",
)


def spec_of(user: User, asked: Attributes) -> JsonObject:
    """Return the spec as it is sent: what is empty is left out."""
    whole = whole_spec_of(user, asked)
    spec = {key: value for key, value in whole.items() if value}
    for part in ("resourceAttributes", "nonResourceAttributes"):
        if part in spec:
            spec[part] = {key: value for key, value in spec[part].items() if value}
    return spec


def whole_spec_of(user: User, asked: Attributes) -> JsonObject:
    """Return the spec with all fields that a question of its kind has, as expressions see it."""
    spec: JsonObject = {
        "user": user.name,
        "groups": list(user.groups),
        "uid": user.uid,
        "extra": user.extra,
    }
    if not asked.resource:
        spec["nonResourceAttributes"] = {"path": asked.path, "verb": asked.verb}
        return spec
    about: JsonObject = {key: getattr(asked, key) for key in _RESOURCE_KEYS}
    fields, labels = asked.selectors
    if found := _field_requirements(fields):
        about["fieldSelector"] = {"requirements": found}
    if found := _label_requirements(labels):
        about["labelSelector"] = {"requirements": found}
    spec["resourceAttributes"] = about
    return spec


def _field_requirements(text: str) -> list[JsonObject]:
    if not text:
        return []
    try:
        terms = parse_field_selector(text).terms
    except SelectorError:
        return []  # the request itself is refused for it
    return [
        _requirement(term.field, "NotIn" if term.negated else "In", [term.value]) for term in terms
    ]


def _label_requirements(text: str) -> list[JsonObject]:
    if not text:
        return []
    try:
        requirements = parse_label_selector(text).requirements
    except SelectorError:
        return []
    # A selector only narrows: what has no form here may be left out.
    return [
        _requirement(one.key, _OPERATORS[one.operator.value], sorted(one.values))
        for one in requirements
        if one.operator.value in _OPERATORS
    ]


def _requirement(key: str, operator: str, values: Iterable[str]) -> JsonObject:
    found: JsonObject = {"key": key, "operator": operator}
    listed = list(values)
    return {**found, "values": listed} if listed else found

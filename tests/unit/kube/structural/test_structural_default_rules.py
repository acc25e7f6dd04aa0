"""Defaults in a schema must be values that objects could have."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import EMBEDDED, INTEGER, STRING, listed, obj, texts

from kube.field import FieldError, invalid
from kube.json_types import JsonObject
from kube.structural.default_rules import DefaultRules, default_errors, has_unpruned


def accept(_value: JsonObject, _path: str) -> list[FieldError]:
    return []


def found(schema: JsonObject, **rules: Any) -> list[str]:
    made = DefaultRules(**{"check_embedded": accept, **rules})
    return texts(default_errors(schema, "schema", made))


@pytest.mark.parametrize(
    "schema",
    [
        obj(a={**STRING, "default": "x"}),
        obj(a={**obj(b=INTEGER), "default": {"b": 1}}),
        obj(a=listed({**STRING, "default": "x"}, default=[])),
        obj(pod={**EMBEDDED, "default": {"apiVersion": "v1", "kind": "Pod", "spec": {"a": 1}}}),
        {**obj(a=STRING), "default": {"a": "x"}},
    ],
)
def test_defaults_that_fit_pass(schema: JsonObject) -> None:
    assert found(schema) == []


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            obj(a={**STRING, "default": 1}),
            'schema.properties[a].default: Invalid value: "integer":  in body must be '
            'of type string: "integer"',
        ),
        (
            obj(a=listed({**obj(b={**INTEGER, "minimum": 1}), "default": {"b": 0}})),
            "schema.properties[a].items.default.b: Invalid value: 0: b in body should be greater "
            "than or equal to 1",
        ),
        (
            obj(a={**obj(b=INTEGER), "default": {"z": 1, "c": 2}}),
            'schema.properties[a].default: Invalid value: {"c":2,"z":1}: must not have unknown '
            "fields",
        ),
        (
            obj(pod={**EMBEDDED, "default": {"metadata": {"name": 1}}}),
            'schema.properties[pod].default.metadata: Invalid value: {"name":1}: json: cannot '
            "unmarshal number into Go struct field ObjectMeta.name of type string",
        ),
    ],
)
def test_defaults_that_do_not_fit_are_told(schema: JsonObject, message: str) -> None:
    assert found(schema) == [message]


def test_defaults_of_embedded_metadata_are_judged_within_their_object() -> None:
    pod = {
        **EMBEDDED,
        "properties": {
            "metadata": obj(name={**STRING, "default": "a/b"}, labels={"type": "object"})
        },
    }
    seen: list[Any] = []

    def refuse(value: JsonObject, path: str) -> list[FieldError]:
        seen.append(value)
        return [invalid("metadata.name", "a/b", "may not contain '/'")]

    assert found(obj(pod=pod), check_embedded=refuse) == [
        "schema.properties[pod].properties[metadata].properties[name].default: Invalid value: "
        '"a/b": must result in valid metadata: metadata.name: Invalid value: "a/b": may not '
        "contain '/'"
    ]
    assert seen == [
        {"apiVersion": "validation/v1", "kind": "Validation", "metadata": {"name": "a/b"}}
    ]


def test_unknown_fields_in_defaults_may_be_let_through() -> None:
    schema = obj(a={**obj(b=INTEGER), "default": {"c": 1}})
    assert found(schema, require_pruned=False) == []
    assert has_unpruned(schema)
    assert not has_unpruned(obj(a={**obj(b=INTEGER), "default": {"b": 1}}))


def test_cel_rules_are_asked_of_defaults_that_fit() -> None:
    asked: list[tuple[Any, str]] = []

    def check(_schema: JsonObject, default: Any, path: str) -> list[FieldError]:
        asked.append((default, path))
        return [invalid(path, default, "failed rule")]

    schema = obj(a={**STRING, "default": "x"}, b={**STRING, "default": 1})
    assert len(found(schema, check_rules=check)) == 2
    assert asked == [("x", "schema.properties[a].default")]

"""What makes a schema structural, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import EMBEDDED, INTEGER, PRESERVE, STRING, listed, mapped, obj, texts

from kube.json_types import JsonObject
from kube.structural.structure import conversion_fault, structural_errors

INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def found(schema: JsonObject) -> list[str]:
    assert conversion_fault(schema) is None
    return texts(structural_errors(schema, "schema"))


@pytest.mark.parametrize(
    "schema",
    [
        obj(),
        {"type": "object", **PRESERVE},
        obj(a=listed(STRING), b=mapped(obj(c=INTEGER)), d={**PRESERVE}),
        obj(a={"x-kubernetes-int-or-string": True}),
        obj(a={"x-kubernetes-int-or-string": True, "anyOf": INT_OR_STRING}),
        obj(
            a={
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": INT_OR_STRING}, {"anyOf": [{"minimum": 1}, {"pattern": "a"}]}],
            }
        ),
        obj(metadata={"type": "object"}),
        obj(metadata=obj(name={**STRING, "pattern": "a"}, generateName=STRING)),
        obj(metadata={**obj(name=STRING), "default": {"name": "x"}}),
        obj(pod=EMBEDDED),
        obj(a={**obj(b=STRING), "anyOf": [{"required": ["b"]}, {"properties": {"b": {}}}]}),
    ],
)
def test_a_structural_schema_has_no_faults(schema: JsonObject) -> None:
    assert found(schema) == []


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "schema.type: Required value: must not be empty at the root"),
        (
            {"type": "array", "items": STRING},
            'schema.type: Invalid value: "array": must be object at the root',
        ),
        (mapped(STRING), "schema.additionalProperties: Forbidden: must not be used at the root"),
        (
            obj(a={}),
            "schema.properties[a].type: Required value: must not be empty for specified object "
            "fields",
        ),
        (
            obj(a=listed({})),
            "schema.properties[a].items.type: Required value: must not be empty for specified "
            "array items",
        ),
        (
            obj(a=mapped({})),
            "schema.properties[a].additionalProperties.type: Required value: must not be empty for "
            "specified object fields",
        ),
        (obj(a={"type": "array"}), "schema.properties[a].items: Required value: must be specified"),
        (
            obj(a={"x-kubernetes-int-or-string": True, **PRESERVE}),
            "schema.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must "
            "be false if x-kubernetes-int-or-string is true",
        ),
        (
            obj(a={**STRING, "x-kubernetes-embedded-resource": True, **PRESERVE}),
            'schema.properties[a].type: Invalid value: "string": must be object if '
            "x-kubernetes-embedded-resource is true",
        ),
        (
            obj(a={"type": "object", "x-kubernetes-embedded-resource": True}),
            "schema.properties[a].properties: Required value: must not be empty if "
            "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ),
        (
            obj(a={**mapped(STRING), "x-kubernetes-embedded-resource": True, **PRESERVE}),
            "schema.properties[a].additionalProperties: Forbidden: must not be used if "
            "x-kubernetes-embedded-resource is set",
        ),
        (
            obj(kind=INTEGER),
            'schema.properties[kind].type: Invalid value: "integer": must be string',
        ),
        (
            obj(metadata=STRING),
            'schema.properties[metadata].type: Invalid value: "string": must be object',
        ),
        (
            obj(metadata=obj(name=STRING, labels={"type": "object"})),
            "schema.properties[metadata]: Forbidden: must not specify anything other than name and "
            "generateName, but metadata is implicitly specified",
        ),
        (
            obj(metadata={"type": "object", "minProperties": 0}),
            "schema.properties[metadata]: Forbidden: must not specify anything other than name and "
            "generateName, but metadata is implicitly specified",
        ),
        (
            obj(a={**STRING, "pattern": "("}),
            'schema.properties[a].pattern: Invalid value: "(": must be a valid regular expression, '
            "but isn't: error parsing regexp: missing closing ): `(`",
        ),
        (
            {**obj(), "anyOf": [{"properties": {"a": {}}}]},
            "schema.properties[a]: Required value: because it is defined in "
            "schema.anyOf[0].properties[a]",
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_told_why(schema: JsonObject, message: str) -> None:
    assert found(schema) == [message]


def test_alternatives_below_the_root_need_no_declarations() -> None:
    assert found(obj(a={**obj(), "not": {"items": {}}})) == []


def test_alternatives_at_the_root_need_their_fields_declared() -> None:
    schema = {**obj(a=listed(obj(b=STRING))), "not": {"properties": {"a": {"items": obj_of("c")}}}}
    assert found(schema) == [
        "schema.properties[a].items.properties[c]: Required value: because it is defined in "
        "schema.not.properties[a].items.properties[c]"
    ]
    assert found({**obj(a=STRING), "allOf": [{"properties": {"a": {"items": {}}}}]}) == [
        "schema.properties[a].items: Required value: because it is defined in "
        "schema.allOf[0].properties[a].items"
    ]


def obj_of(name: str) -> JsonObject:
    return {"properties": {name: {}}}


@pytest.mark.parametrize(
    ("part", "key", "text"),
    [
        ({"type": "string"}, "type", "must be empty to be structural"),
        ({"default": 0}, "default", "must be undefined to be structural"),
        ({"title": "x"}, "title", "must be empty to be structural"),
        ({"description": "x"}, "description", "must be empty to be structural"),
        ({"nullable": True}, "nullable", "must be false to be structural"),
        (
            {"additionalProperties": True},
            "additionalProperties",
            "must be undefined to be structural",
        ),
        (
            {"additionalProperties": {}},
            "additionalProperties",
            "must be undefined to be structural",
        ),
        (PRESERVE, "x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        (
            {"x-kubernetes-embedded-resource": True},
            "x-kubernetes-embedded-resource",
            "must be false to be structural",
        ),
        (
            {"x-kubernetes-int-or-string": True},
            "x-kubernetes-int-or-string",
            "must be false to be structural",
        ),
        (
            {"x-kubernetes-list-type": "set"},
            "x-kubernetes-list-type",
            "must be undefined to be structural",
        ),
        (
            {"x-kubernetes-list-map-keys": ["a"]},
            "x-kubernetes-list-map-keys",
            "must be empty to be structural",
        ),
        (
            {"x-kubernetes-map-type": "atomic"},
            "x-kubernetes-map-type",
            "must be undefined to be structural",
        ),
        (
            {"x-kubernetes-validations": [{"rule": "true"}]},
            "x-kubernetes-validations",
            "must be empty to be structural",
        ),
    ],
)
@pytest.mark.parametrize("junctor", ["anyOf", "allOf", "oneOf", "not"])
def test_alternatives_say_nothing_of_structure(
    part: JsonObject, key: str, text: str, junctor: str
) -> None:
    said: Any = part if junctor == "not" else [part]
    where = "not" if junctor == "not" else f"{junctor}[0]"
    assert found(obj(a={**STRING, junctor: said})) == [
        f"schema.properties[a].{where}.{key}: Forbidden: {text}"
    ]


def test_alternatives_say_nothing_of_metadata() -> None:
    schema = {**obj(metadata={"type": "object"}), "anyOf": [{"properties": {"metadata": {}}}]}
    assert found(schema) == [
        "schema.anyOf[0].properties[metadata]: Forbidden: must not be specified in a nested context"
    ]


def test_int_or_string_may_be_written_out_in_two_ways_only() -> None:
    schema = {"x-kubernetes-int-or-string": True, "anyOf": INT_OR_STRING[::-1]}
    assert found(obj(a=schema)) == [
        f"schema.properties[a].anyOf[{index}].type: Forbidden: must be empty to be structural"
        for index in range(2)
    ]


def test_errors_are_in_the_order_of_their_texts() -> None:
    errors = found(obj(b={}, a={}, c=listed({})))
    assert errors == sorted(errors)
    assert len(errors) == 3


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"$ref": "#/x"}, "OpenAPIV3Schema '$ref' is not supported"),
        ({"$schema": "x"}, "OpenAPIV3Schema 'schema' is not supported"),
        (obj(a={"additionalItems": False}), "OpenAPIV3Schema 'additionalItems' is not supported"),
        ({"not": {"definitions": {"a": {}}}}, "OpenAPIV3Schema 'definitions' is not supported"),
        ({"items": [STRING]}, "OpenAPIV3Schema 'items' must be a schema, but is an array"),
        (
            mapped({"x-kubernetes-preserve-unknown-fields": False}),
            "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined",
        ),
        (obj(a=listed(mapped(STRING))), None),
    ],
)
def test_what_cannot_be_structural_at_all_is_told_first(
    schema: JsonObject, fault: str | None
) -> None:
    assert conversion_fault(schema) == fault

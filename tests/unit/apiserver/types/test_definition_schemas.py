"""CustomResourceDefinitions: what their schemas may say, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from definition_objects import TOP, definition, field_faults, schema_faults, texts, version

from apiserver.types.apiextensions import definitions
from apiserver.types.apiextensions.options import Options
from apiserver.types.apiextensions.spec_rules import RuleChecks, spec_errors
from kube.field import FieldError, forbidden
from kube.json_types import JsonObject

STRING = {"type": "string"}
PRESERVE = "x-kubernetes-preserve-unknown-fields"
LIST_TYPE, LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"


def items(**fields: Any) -> JsonObject:
    return {"type": "object", "properties": fields}


def keyed(*keys: str, **more: Any) -> JsonObject:
    schema = {**items(k=STRING), "required": ["k"], **more}
    return {"type": "array", "items": schema, LIST_TYPE: "map", LIST_KEYS: list(keys)}


@pytest.mark.parametrize(
    ("schema", "messages"),
    [
        (STRING, []),
        (
            {"type": "text", PRESERVE: True},
            [
                'type: Unsupported value: "text": supported values: "array", "boolean", "integer", '
                '"number", "object", "string"'
            ],
        ),
        (
            {"type": "null"},
            [
                'type: Unsupported value: "null": supported values: "array", "boolean", "integer", '
                '"number", "object", "string"',
                "type: Forbidden: type cannot be set to null, use nullable as an alternative",
            ],
        ),
        ({**STRING, "id": "x"}, ["id: Forbidden: id is not supported"]),
        ({**STRING, "$ref": "#/x"}, ["$ref: Forbidden: $ref is not supported"]),
        (
            {**STRING, "definitions": {"a": STRING}},
            ["definitions: Forbidden: definitions is not supported"],
        ),
        (
            {**STRING, "patternProperties": {"a": STRING}},
            ["patternProperties: Forbidden: patternProperties is not supported"],
        ),
        (
            {**STRING, "dependencies": {"a": ["b"]}},
            ["dependencies: Forbidden: dependencies is not supported"],
        ),
        (
            {"type": "array", "items": [STRING]},
            ["items: Forbidden: items must be a schema object and not an array"],
        ),
        (
            {"type": "array", "items": STRING, "uniqueItems": True},
            [
                "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
                "complexity becomes quadratic"
            ],
        ),
        (
            {**items(a=STRING), "additionalProperties": STRING},
            [
                "additionalProperties: Forbidden: additionalProperties and properties are mutual "
                "exclusive"
            ],
        ),
        ({**items(a=STRING), "additionalProperties": True}, []),
        (
            {**STRING, PRESERVE: False},
            [f"{PRESERVE}: Invalid value: false: must be true or undefined"],
        ),
        (
            {**STRING, "default": 1},
            ['default: Invalid value: "integer":  in body must be of type string: "integer"'],
        ),
    ],
)
def test_parts_of_a_schema_are_checked(schema: JsonObject, messages: list[str]) -> None:
    assert field_faults(schema) == messages


@pytest.mark.parametrize(
    ("schema", "messages"),
    [
        (keyed("k"), []),
        ({"type": "object", MAP_TYPE: "granular"}, []),
        ({"type": "array", "items": STRING, LIST_TYPE: "set"}, []),
        (
            {**STRING, MAP_TYPE: "atomic"},
            [
                f'type: Invalid value: "string": must be object if {MAP_TYPE} is specified',
            ],
        ),
        (
            {"type": "object", MAP_TYPE: "x"},
            [f'{MAP_TYPE}: Unsupported value: "x": supported values: "atomic", "granular"'],
        ),
        (
            {PRESERVE: True, LIST_TYPE: "set"},
            [f"type: Required value: must be array if {LIST_TYPE} is specified"],
        ),
        (
            {"type": "array", "items": STRING, LIST_TYPE: "x"},
            [f'{LIST_TYPE}: Unsupported value: "x": supported values: "atomic", "set", "map"'],
        ),
        (
            {"type": "array", "items": items(), LIST_TYPE: "set"},
            [
                f"items.{MAP_TYPE}: Invalid value: null: must be atomic as item of a list with "
                f"{LIST_TYPE}=set"
            ],
        ),
        (
            {
                "type": "array",
                "items": {"type": "array", "items": STRING, LIST_TYPE: "set"},
                LIST_TYPE: "set",
            },
            [
                f'items.{LIST_TYPE}: Invalid value: "set": must be atomic as item of a list with '
                f"{LIST_TYPE}=set"
            ],
        ),
        (
            {"type": "array", "items": STRING, LIST_KEYS: ["a"]},
            [f"{LIST_TYPE}: Required value: must be map if {LIST_KEYS} is non-empty"],
        ),
        (
            {"type": "array", "items": STRING, LIST_TYPE: "set", LIST_KEYS: ["a"]},
            [f'{LIST_TYPE}: Invalid value: "set": must be map if {LIST_KEYS} is non-empty'],
        ),
        (
            {"type": "array", "items": items(), LIST_TYPE: "map"},
            [f"{LIST_KEYS}: Required value: must not be empty if {LIST_TYPE} is map"],
        ),
        (
            {"type": "array", "items": STRING, LIST_TYPE: "map", LIST_KEYS: ["a"]},
            [
                'items.type: Invalid value: "string": must be object if parent array\'s '
                f"{LIST_TYPE} is map"
            ],
        ),
        (
            keyed("k", "x"),
            [
                f'{LIST_KEYS}: Invalid value: ["k","x"]: entries must all be names of item '
                "properties"
            ],
        ),
        (
            keyed("k", "k"),
            [f'{LIST_KEYS}: Invalid value: ["k","k"]: must not contain duplicate entries'],
        ),
        (
            keyed("k", properties={"k": items()}),
            [
                'items.properties[k].type: Invalid value: "object": must be a scalar type if '
                "parent "
                f"array's {LIST_TYPE} is map"
            ],
        ),
        (
            keyed("k", required=[]),
            [
                "items.properties[k].default: Required value: this property is in "
                f"{LIST_KEYS}, so it must have a default or be a required property"
            ],
        ),
        (
            keyed("k", nullable=True, properties={"k": {**STRING, "nullable": True}}),
            [
                f"items.nullable: Forbidden: cannot be nullable when {LIST_TYPE} is map",
                f"items.properties[k].nullable: Forbidden: this property is in {LIST_KEYS}, so it "
                "cannot be nullable",
            ],
        ),
    ],
)
def test_lists_and_maps_are_checked(schema: JsonObject, messages: list[str]) -> None:
    assert field_faults(schema) == messages


@pytest.mark.parametrize(
    ("rule", "messages"),
    [
        ({"rule": "self.a == 'x'", "fieldPath": ".a", "reason": "FieldValueForbidden"}, []),
        ({"rule": " "}, [".rule: Required value: rule is not specified"]),
        (
            {"rule": "true", "message": " "},
            ['.message: Invalid value: " ": must be non-empty if specified'],
        ),
        (
            {"rule": "true", "message": "a\nb"},
            ['.message: Invalid value: "a\\nb": must not contain line breaks'],
        ),
        (
            {"rule": "true\n&& true"},
            [
                ".message: Required value: message must be specified if rule contains line breaks",
            ],
        ),
        (
            {"rule": "true", "messageExpression": " "},
            [
                ".messageExpression: Required value: messageExpression must be non-empty if "
                "specified"
            ],
        ),
        (
            {"rule": "true", "reason": "X"},
            [
                '.reason: Unsupported value: "X": supported values: "FieldValueDuplicate", '
                '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"'
            ],
        ),
        (
            {"rule": "true", "fieldPath": ".b"},
            ['.fieldPath: Invalid value: ".b": must be a valid path'],
        ),
    ],
)
def test_what_stands_beside_cel_rules_is_checked(rule: JsonObject, messages: list[str]) -> None:
    schema = {**items(a=STRING), RULES: [rule]}
    assert field_faults(schema) == [f"{RULES}[0]{message}" for message in messages]


def test_defaults_may_not_be_set_in_metadata_of_the_root() -> None:
    metadata = {"type": "object", "properties": {"name": {**STRING, "default": "x"}}}
    assert schema_faults(items(metadata=metadata)) == [
        "properties[metadata].properties[name].default: Forbidden: must not be set in top-level "
        "metadata"
    ]


def test_defaults_may_not_be_set_in_maps_of_embedded_metadata() -> None:
    labels = {"type": "object", "additionalProperties": {**STRING, "default": "x"}}
    pod = {
        **items(metadata={"type": "object", "properties": {"labels": labels}}),
        "x-kubernetes-embedded-resource": True,
    }
    assert field_faults(pod) == [
        "properties[metadata].properties[labels].additionalProperties.default: Forbidden: must not "
        "be set inside additionalProperties applying to object metadata"
    ]


def test_resources_are_not_embedded_in_metadata() -> None:
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True}
    pod = {
        **items(metadata={"type": "object", "properties": {"x": inner}}),
        "x-kubernetes-embedded-resource": True,
    }
    assert field_faults(pod) == [
        "properties[metadata].properties[x].x-kubernetes-embedded-resource: Forbidden: must not be "
        "used inside of resource meta"
    ]


def test_a_root_is_not_nullable() -> None:
    assert schema_faults({"type": "object", "nullable": True}) == [
        "nullable: Forbidden: nullable cannot be true at the root"
    ]


def test_a_root_with_a_status_says_only_what_a_status_write_does_not_get_around() -> None:
    with_status = {"subresources": {"status": {}}}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": items()}}
    assert texts(definition(version(schema=schema, **with_status))) == []
    schema = {"type": "object", "anyOf": [{"required": ["spec"]}]}
    errors = texts(definition(version(schema=schema, **with_status)))
    assert len(errors) == 1
    assert errors[0].startswith(f"{TOP}: Invalid value: {{")
    assert "only [Description Type Format Title Maximum" in errors[0]
    assert errors[0].endswith(
        "fields are allowed at the root of the schema if the status subresource is enabled"
    )


def test_embedded_defaults_need_valid_metadata() -> None:
    pod = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        PRESERVE: True,
        "default": {"apiVersion": "v1", "kind": "a_b", "metadata": {"labels": {"/": "x"}}},
    }
    errors = field_faults(pod)
    assert errors[0].startswith('default.kind: Invalid value: "a_b": may have mixed case')
    assert errors[1].startswith('default.metadata.labels: Invalid value: "/"')


def test_cel_rules_are_asked_of_valid_schemas_only() -> None:
    asked: list[str] = []

    def check(_schema: JsonObject, path: str) -> list[FieldError]:
        asked.append(path)
        return [forbidden(path, "too expensive")]

    checks = RuleChecks(of_schema=check)
    good = definition()["spec"]
    assert [error.kind for error in spec_errors(good, Options(), checks)][-1] == (
        "FieldValueForbidden"
    )
    assert asked == [TOP]
    bad = definition(version(schema={"type": "array", "items": STRING}))["spec"]
    spec_errors(bad, Options(), checks)
    assert asked == [TOP]


def test_schemas_nested_without_end_are_refused() -> None:
    schema: JsonObject = {"type": "string"}
    for _ in range(3000):
        schema = {"type": "array", "items": schema}
    obj = definition()
    obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    definitions.default(obj)
    definitions.prepare_create(obj)
    assert [str(error) for error in definitions.validate(obj)] == [
        'spec.versions: Invalid value: "": schemas are nested too deeply'
    ]

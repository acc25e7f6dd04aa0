"""Values against schemas: each rule, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import (
    INTEGER,
    PRESERVE,
    STRING,
    faults,
    listed,
    mapped,
    obj,
    schema_of,
    texts,
)

from kube.field import FieldError
from kube.json_types import JsonObject
from kube.structural.custom import CustomSchema

INT_OR_STRING: JsonObject = {"x-kubernetes-int-or-string": True}


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (STRING, 1, 'Invalid value: "integer": spec.a in body must be of type string: "integer"'),
        (INTEGER, "1", 'Invalid value: "string": spec.a in body must be of type integer: "string"'),
        (
            {"type": "boolean"},
            [],
            'Invalid value: "array": spec.a in body must be of type boolean: "array"',
        ),
        (
            {"type": "number"},
            True,
            'Invalid value: "boolean": spec.a in body must be of type number: "boolean"',
        ),
        (obj(), [], 'Invalid value: "array": spec.a in body must be of type object: "array"'),
        (
            listed(STRING),
            {},
            'Invalid value: "object": spec.a in body must be of type array: "object"',
        ),
        (STRING, None, 'Invalid value: "null": spec.a in body must be of type string: "null"'),
        (
            INT_OR_STRING,
            True,
            'Invalid value: "boolean": spec.a in body must be of type integer,string: "boolean"',
        ),
        (
            {"type": "integer", "format": "int32"},
            {},
            'Invalid value: "": spec.a in body must be of type int32: ""',
        ),
    ],
)
def test_wrong_types_are_named(schema: JsonObject, value: Any, message: str) -> None:
    assert faults(schema, value) == [f"spec.a: {message}"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number"}, 1),
        (INTEGER, 1.0),
        (INT_OR_STRING, 80),
        (INT_OR_STRING, "50%"),
        ({**STRING, "nullable": True}, None),
        (PRESERVE, None),
        (PRESERVE, [1, {"a": None}]),
        # A format vouches for the type, as upstream lets lists through.
        ({"type": "string", "format": "date"}, []),
        ({"type": "string", "format": "no-such-format"}, "x"),
    ],
)
def test_right_types_pass(schema: JsonObject, value: Any) -> None:
    assert faults(schema, value) == []


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({**STRING, "maxLength": 2}, "äöü", "Too long: may not be more than 2 bytes"),
        (
            {**STRING, "minLength": 2},
            "ä",
            'Invalid value: "ä": spec.a in body should be at least 2 chars long',
        ),
        (
            {**STRING, "pattern": "^a+$"},
            "ab",
            "Invalid value: \"ab\": spec.a in body should match '^a+$'",
        ),
        (
            {**STRING, "pattern": "(?=a)"},
            "a",
            'Invalid value: "a": spec.a in body should match \'(?=a), but pattern is invalid: '
            "error parsing regexp: invalid or unsupported Perl syntax: `(?=`'",
        ),
        (
            {**STRING, "format": "date"},
            "2024-02-30",
            'Invalid value: "2024-02-30": spec.a in body must be of type date: "2024-02-30"',
        ),
        (
            {**STRING, "enum": ["a", "b"]},
            "c",
            'Unsupported value: "c": supported values: "a", "b"',
        ),
        ({**INTEGER, "enum": [1, 2]}, 3, 'Unsupported value: 3: supported values: "1", "2"'),
        (
            listed(STRING, maxItems=1),
            ["a", "b"],
            "Too many: 2: must have at most 1 item",
        ),
        (
            listed(STRING, minItems=2),
            ["a"],
            "Invalid value: 1: spec.a in body should have at least 2 items",
        ),
        (mapped(STRING, maxProperties=0), {"a": "b"}, "Too many: 1: must have at most 0 items"),
        (
            mapped(STRING, minProperties=1),
            {},
            "Invalid value: 0: spec.a in body should have at least 1 properties",
        ),
    ],
)
def test_broken_rules_are_told_as_upstream_does(
    schema: JsonObject, value: Any, message: str
) -> None:
    assert faults(schema, value) == [f"spec.a: {message}"]


def test_length_counts_characters_while_its_message_says_bytes() -> None:
    assert faults({**STRING, "maxLength": 3}, "äöü") == []


def test_null_is_no_member_of_an_enum() -> None:
    schema = {**STRING, "nullable": True, "enum": ["a", None]}
    assert faults(schema, None) == [
        'spec.a: Unsupported value: null: supported values: "a", "null"'
    ]


def test_enum_values_are_compared_after_conversion_to_their_kind() -> None:
    assert faults({"type": "number", "enum": [1]}, 1.5) == []
    assert faults({"type": "number", "enum": [1.0]}, 1) == []
    assert faults({"enum": [{"a": 1}], **PRESERVE}, {"a": 1}) == []
    assert faults({"enum": [True], **PRESERVE}, 1) != []


def test_absent_required_fields_are_told_without_a_value() -> None:
    schema = {**obj(b=STRING, c=STRING), "required": ["b", "c"]}
    assert faults(schema, {"b": "x"}) == ["spec.a.c: Required value"]


def test_a_required_root_field_is_told_without_a_dot() -> None:
    schema = CustomSchema({**obj(spec=obj()), "required": ["spec"]})
    assert texts(schema.validate({"metadata": {}})) == ["spec: Required value"]


def test_fields_that_are_ruled_out_are_told() -> None:
    assert faults({"type": "object", "additionalProperties": False}, {"b": 1}) == [
        'spec.a: Invalid value: "b": spec.a.b in body is a forbidden property'
    ]


def test_values_of_maps_are_checked_with_their_keys_as_names() -> None:
    assert faults(mapped(INTEGER), {"k": 1, "l": "x"}) == [
        'spec.a.l: Invalid value: "string": spec.a.l in body must be of type integer: "string"'
    ]


def test_items_are_checked_with_their_index() -> None:
    assert faults(listed(listed(INTEGER)), [[1], [2, "x"]]) == [
        'spec.a[1][1]: Invalid value: "string": spec.a[1][1] in body must be of type integer: '
        '"string"'
    ]


def test_metadata_is_checked_for_what_the_schema_says_of_names() -> None:
    schema = CustomSchema(obj(metadata=obj(name={**STRING, "maxLength": 3})))
    assert schema.validate({"metadata": {"name": "abc"}}) == []
    assert texts(schema.validate({"metadata": {"name": "abcd"}})) == [
        "metadata.name: Too long: may not be more than 3 bytes"
    ]


def test_values_in_errors_have_their_keys_in_order() -> None:
    schema = {"enum": [1], **PRESERVE}
    assert faults(schema, {"b": 1, "a": 2}) == [
        'spec.a: Unsupported value: {"a":2,"b":1}: supported values: "1"'
    ]


def test_scale_paths_are_checked_after_the_schema() -> None:
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    schema = CustomSchema(None, scale=scale)
    assert schema.validate({"spec": {"replicas": 0}, "status": {"selector": "a=b"}}) == []
    assert texts(schema.validate({"spec": {"replicas": -1}, "status": {"replicas": 2**31}})) == [
        ".spec.replicas: Invalid value: -1: should be a non-negative integer",
        ".status.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647",
    ]
    assert texts(schema.validate({"spec": 1, "status": {"selector": 1, "replicas": "2"}})) == [
        ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 1 is of the type int64, "
        "expected map[string]interface{}",
        ".status.replicas: Invalid value: 0: .status.replicas accessor error: 2 is of the type "
        "string, expected int64",
        '.status.selector: Invalid value: "": .status.selector accessor error: 1 is of the type '
        "int64, expected string",
    ]


class Refusing:
    """Rules that nothing meets."""

    def __init__(self) -> None:
        self.asked: list[JsonObject | None] = []

    def validate(self, new: JsonObject, old: JsonObject | None = None) -> list[FieldError]:
        self.asked.append(old)
        return [FieldError("FieldValueForbidden", "spec", "failed rule")]


def test_cel_rules_come_last() -> None:
    rules = Refusing()
    schema = CustomSchema(obj(spec=obj(a={**STRING, "minLength": 2})), rules=rules)
    assert [error.kind for error in schema.validate({"spec": {"a": "x"}})] == [
        "FieldValueInvalid",
        "FieldValueForbidden",
    ]
    old = {"spec": {"a": "old"}}
    schema.validate_update({"spec": {"a": "xx"}}, old)
    assert rules.asked == [None, old]


def test_cel_rules_are_not_asked_of_what_they_could_not_read() -> None:
    rules = Refusing()
    schema = CustomSchema(obj(spec=obj(a=STRING)), rules=rules)
    assert texts(schema.validate({"spec": {"a": 1}}))[1:] == [
        "<nil>: Invalid value: null: some validation rules were not checked because the object was "
        "invalid; correct the existing errors to complete validation"
    ]
    assert rules.asked == []


def test_patterns_take_time_linear_in_the_text() -> None:
    schema = {**STRING, "pattern": "^(a+)+$"}
    assert len(faults(schema, "a" * 20_000 + "b")) == 1


def test_a_status_write_is_checked_for_its_status_alone() -> None:
    schema = CustomSchema(obj(spec=obj(a=STRING), status=obj(b=INTEGER)))
    whole = {"spec": {"a": 1}, "status": {"b": "x"}}
    assert texts(schema.validate_status(whole, {"spec": {"a": 1}})) == [
        'status.b: Invalid value: "string": b in body must be of type integer: "string"'
    ]
    assert schema.validate_status({"spec": {"a": 1}}, whole) == []


def test_every_field_of_a_long_object_is_checked() -> None:
    schema = schema_of(**{f"f{index}": INTEGER for index in range(200)})
    spec: JsonObject = {f"f{index}": index for index in range(200)}
    assert schema.validate({"spec": spec}) == []
    spec["f199"] = "x"
    assert [error.path for error in schema.validate({"spec": spec})] == ["spec.f199"]

"""Alternatives: anyOf, oneOf, allOf, not, and what is told of those that do not fit."""

from __future__ import annotations

from structural_schemas import INTEGER, STRING, faults, obj, schema_of, texts

NOWHERE = '<nil>: Invalid value: "": '
A = {"required": ["x"]}
B = {"required": ["y"]}
BOTH = obj(x=STRING, y=STRING)


def test_any_of_is_met_by_one() -> None:
    assert faults({**BOTH, "anyOf": [A, B]}, {"y": ""}) == []
    assert faults({**BOTH, "anyOf": [A, B]}, {"x": "", "y": ""}) == []


def test_any_of_tells_the_faults_of_the_first_of_equal_alternatives() -> None:
    assert faults({**BOTH, "anyOf": [A, B]}, {}) == [
        f'{NOWHERE}"spec.a" must validate at least one schema (anyOf)',
        "spec.a.x: Required value",
    ]


def test_any_of_tells_the_faults_of_the_alternative_that_fits_most() -> None:
    best = {"required": ["y"], "properties": {"x": {"enum": ["a"]}}}
    assert faults({**BOTH, "anyOf": [A, best]}, {"x": "a"}) == []
    assert faults({**BOTH, "anyOf": [B, best]}, {"x": "b"}) == [
        f'{NOWHERE}"spec.a" must validate at least one schema (anyOf)',
        'spec.a.x: Unsupported value: "b": supported values: "a"',
        "spec.a.y: Required value",
    ]


def test_one_of_is_met_by_exactly_one() -> None:
    schema = {**BOTH, "oneOf": [A, B]}
    assert faults(schema, {"x": ""}) == []
    assert faults(schema, {"x": "", "y": ""}) == [
        f'{NOWHERE}"spec.a" must validate one and only one schema (oneOf). Found 2 valid '
        "alternatives"
    ]
    assert faults(schema, {}) == [
        f'{NOWHERE}"spec.a" must validate one and only one schema (oneOf). Found none valid',
        "spec.a.x: Required value",
    ]


def test_all_of_tells_the_faults_of_each_and_whether_none_fits() -> None:
    schema = {**BOTH, "allOf": [A, B]}
    assert faults(schema, {"x": "", "y": ""}) == []
    assert faults(schema, {"x": ""}) == [
        "spec.a.y: Required value",
        f'{NOWHERE}"spec.a" must validate all the schemas (allOf)',
    ]
    assert faults(schema, {}) == [
        "spec.a.x: Required value",
        "spec.a.y: Required value",
        f'{NOWHERE}"spec.a" must validate all the schemas (allOf). None validated',
    ]


def test_not_is_met_by_what_does_not_fit() -> None:
    schema = {**BOTH, "not": A}
    assert faults(schema, {}) == []
    assert faults(schema, {"x": ""}) == [f'{NOWHERE}"spec.a" must not validate the schema (not)']


def test_alternatives_are_not_asked_of_null() -> None:
    assert faults({**BOTH, "nullable": True, "not": {}}, None) == []


def test_alternatives_judge_whole_floats_as_integers() -> None:
    schema = {"x-kubernetes-int-or-string": True, "oneOf": [INTEGER, STRING]}
    assert faults(schema, 1.0) == []


def test_what_is_forgiven_elsewhere_is_not_forgiven_in_alternatives() -> None:
    schema = schema_of(a={**BOTH, "anyOf": [A, B]}, b=INTEGER)
    old = {"spec": {"a": {}, "b": 1}}
    new = {"spec": {"a": {"z": ""}, "b": 2}}
    assert len(schema.validate_update(new, old)) == 2
    # Unchanged as a whole, it is.
    assert texts(schema.validate_update({"spec": {"a": {}, "b": 2}}, old)) == []

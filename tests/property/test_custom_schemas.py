"""The quick check of custom objects and the careful one agree; the steps of a write are stable."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kube.json_types import JsonObject
from kube.structural.checking import check_of
from kube.structural.custom import CustomSchema
from kube.structural.explaining import explain

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 1.0, 1.5, 2**31, 2**63, "", "a", "ab", "2024-01-01", "x y"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
RULES: dict[str, st.SearchStrategy[Any]] = {
    "maxLength": st.integers(0, 2),
    "minLength": st.integers(0, 2),
    "pattern": st.sampled_from(["^a", "b$", "(?=x)"]),
    "format": st.sampled_from(["date", "int32", "float", "nonsense", "byte"]),
    "enum": st.lists(SCALARS, min_size=1, max_size=3),
    "minimum": st.sampled_from([0, 1, 1.5]),
    "maximum": st.sampled_from([0, 1, 1.5]),
    "exclusiveMinimum": st.booleans(),
    "exclusiveMaximum": st.booleans(),
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "minProperties": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
    "required": st.lists(NAMES, max_size=2, unique=True),
    "nullable": st.booleans(),
}
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", ""])


@st.composite
def plain(draw: st.DrawFn, inner: st.SearchStrategy[JsonObject] | None = None) -> JsonObject:
    schema: JsonObject = {}
    if named := draw(TYPES):
        schema["type"] = named
    for key in draw(st.lists(st.sampled_from(sorted(RULES)), max_size=3, unique=True)):
        schema[key] = draw(RULES[key])
    if inner is None:
        return schema
    if draw(st.booleans()):
        schema["properties"] = draw(st.dictionaries(NAMES, inner, max_size=3))
    if draw(st.booleans()):
        schema["items"] = draw(inner)
    rest = draw(st.sampled_from(["", "any", "none", "schema"]))
    if rest:
        schema["additionalProperties"] = draw(inner) if rest == "schema" else rest == "any"
    for key in draw(st.lists(st.sampled_from(["allOf", "anyOf", "oneOf"]), max_size=1)):
        schema[key] = draw(st.lists(inner, min_size=1, max_size=2))
    if draw(st.integers(0, 4)) == 0:
        schema["not"] = draw(inner)
    if draw(st.integers(0, 6)) == 0:
        schema["x-kubernetes-int-or-string"] = True
    return schema


SCHEMAS = st.recursive(plain(), plain, max_leaves=6)


@settings(max_examples=600, deadline=None)
@given(schema=SCHEMAS, value=VALUES)
def test_the_quick_check_says_what_the_careful_one_says(schema: JsonObject, value: Any) -> None:
    assert check_of(schema)(value) == (not explain(schema, value).faults)


@st.composite
def structured(draw: st.DrawFn, depth: int = 3) -> JsonObject:
    named = draw(st.sampled_from(["string", "integer", "object", "array"] if depth else ["string"]))
    schema: JsonObject = {"type": named}
    if named == "array":
        schema["items"] = draw(structured(depth=depth - 1))
    elif named == "object":
        below = structured(depth=depth - 1)
        if draw(st.booleans()):
            schema["properties"] = draw(st.dictionaries(NAMES, below, min_size=1, max_size=3))
        else:
            schema["additionalProperties"] = draw(below)
        if draw(st.integers(0, 3)) == 0:
            schema["x-kubernetes-preserve-unknown-fields"] = True
    elif draw(st.booleans()):
        schema["default"] = "x" if named == "string" else 1
    if draw(st.integers(0, 3)) == 0:
        schema["nullable"] = True
    return schema


@settings(max_examples=300, deadline=None)
@given(spec=structured(), value=VALUES)
def test_pruning_and_defaulting_again_change_nothing(spec: JsonObject, value: Any) -> None:
    schema = CustomSchema({"type": "object", "properties": {"spec": spec}})
    obj = {"spec": value, "other": 1}
    assert "other" in schema.prune(obj)
    schema.default(obj)
    once = copy.deepcopy(obj)
    assert schema.prune(obj) == []
    schema.default(obj)
    assert obj == once


@settings(max_examples=300, deadline=None)
@given(spec=structured(), old=VALUES, new=VALUES)
def test_an_update_has_no_fault_that_a_create_has_not(spec: JsonObject, old: Any, new: Any) -> None:
    schema = CustomSchema({"type": "object", "properties": {"spec": spec}})
    before, after = {"spec": old}, {"spec": new}
    of_create = set(map(str, schema.validate(after)))
    assert set(map(str, schema.validate_update(after, before))) <= of_create
    # Of an object with fields that no schema knows it cannot be told whether it changed.
    if "preserve" not in repr(spec):
        schema.prune(after)
        assert schema.validate_update(after, copy.deepcopy(after)) == []

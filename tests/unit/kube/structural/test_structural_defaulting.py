"""Defaults and nulls of custom objects."""

from __future__ import annotations

from typing import Any

from structural_schemas import INTEGER, STRING, listed, mapped, obj, schema_of

from kube.structural.custom import CustomSchema

X = {"type": "string", "default": "x"}


def completed(schema: CustomSchema, spec: Any) -> Any:
    whole = {"spec": spec}
    schema.default(whole)
    return whole["spec"]


def test_absent_fields_get_their_default_and_others_stay() -> None:
    schema = schema_of(a=X, b={**INTEGER, "default": 0}, c=STRING)
    assert completed(schema, {"a": ""}) == {"a": "", "b": 0}


def test_defaults_are_completed_by_the_defaults_within() -> None:
    schema = schema_of(a={**obj(b=X, c={**obj(d=X), "default": {}}), "default": {}})
    assert completed(schema, {}) == {"a": {"b": "x", "c": {"d": "x"}}}


def test_no_default_is_filled_in_below_an_absent_object() -> None:
    assert completed(schema_of(a=obj(b=X)), {}) == {}


def test_each_object_gets_a_default_of_its_own() -> None:
    schema = schema_of(a={**listed(obj(b=X)), "default": [{"b": "1"}, {}]})
    one, two = completed(schema, {}), completed(schema, {})
    one["a"][1]["b"] = "changed"
    assert two == {"a": [{"b": "1"}, {"b": "x"}]}


def test_items_and_values_are_completed() -> None:
    schema = schema_of(list=listed(obj(b=X)), map=mapped(obj(b=X)))
    spec = {"list": [{}, {"b": "1"}], "map": {"k": {}}}
    assert completed(schema, spec) == {
        "list": [{"b": "x"}, {"b": "1"}],
        "map": {"k": {"b": "x"}},
    }


def test_null_goes_where_it_may_not_be_and_has_no_default() -> None:
    schema = schema_of(a=STRING, m=mapped(STRING))
    assert completed(schema, {"a": None, "m": {"k": None}}) == {"m": {}}


def test_null_becomes_the_default_where_it_may_not_be() -> None:
    schema = schema_of(a=X, m=mapped(X), l=listed(X))
    spec = {"a": None, "m": {"k": None}, "l": [None]}
    assert completed(schema, spec) == {"a": "x", "m": {"k": "x"}, "l": ["x"]}


def test_null_stays_where_it_may_be() -> None:
    nullable = {**X, "nullable": True}
    spec = {"a": None, "m": {"k": None}, "l": [None]}
    schema = schema_of(a=nullable, m=mapped(nullable), l=listed(nullable))
    assert completed(schema, dict(spec)) == spec


def test_null_in_a_list_without_default_stays_to_be_refused() -> None:
    schema = schema_of(l=listed(STRING))
    whole = {"spec": {"l": [None]}}
    schema.default(whole)
    assert whole == {"spec": {"l": [None]}}
    assert [error.path for error in schema.validate(whole)] == ["spec.l[0]"]


def test_null_that_no_schema_knows_stays() -> None:
    preserved = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert completed(schema_of(a=preserved), {"a": {"b": None}}) == {"a": {"b": None}}

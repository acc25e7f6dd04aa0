"""Updates: faults in what did not change are forgiven (KEP-4008)."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import INTEGER, STRING, listed, mapped, obj, schema_of, texts

from kube.json_types import JsonObject
from kube.structural.correlation import Correlated
from kube.structural.custom import CustomSchema

SHORT: JsonObject = {"type": "string", "maxLength": 1}
KEYED: JsonObject = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}


def changed(schema: JsonObject, old: Any, new: Any) -> list[str]:
    custom = schema_of(a=schema, other=INTEGER)
    before, after = {"spec": {"a": old, "other": 1}}, {"spec": {"a": new, "other": 2}}
    return [error.path for error in custom.validate_update(after, before)]


@pytest.mark.parametrize(
    ("schema", "old", "new"),
    [
        (SHORT, "long", "long"),
        (obj(b=SHORT, c=STRING), {"b": "long", "c": "1"}, {"b": "long", "c": "2"}),
        (mapped(SHORT), {"k": "long"}, {"k": "long", "l": "1"}),
        (listed(SHORT), ["long"], ["long"]),
        (
            listed(obj(k=STRING, v=SHORT), **KEYED),
            [{"k": "1", "v": "long"}, {"k": "2", "v": "x"}],
            [{"k": "3", "v": "y"}, {"k": "1", "v": "long"}],
        ),
        ({**obj(b=STRING), "required": ["c"]}, {"b": "1"}, {"b": "1"}),
        (
            {**listed(obj(k=STRING, v=SHORT), **KEYED), "minItems": 3},
            [{"k": "1"}, {"k": "2"}],
            [{"k": "2"}, {"k": "1"}],
        ),
    ],
)
def test_what_was_wrong_before_and_did_not_change_is_forgiven(
    schema: JsonObject, old: Any, new: Any
) -> None:
    assert changed(schema, old, new) == []


@pytest.mark.parametrize(
    ("schema", "old", "new", "path"),
    [
        (SHORT, "long", "longer", "spec.a"),
        (obj(b=SHORT, c=SHORT), {"b": "long"}, {"b": "long", "c": "new"}, "spec.a.c"),
        ({**obj(b=STRING), "required": ["c"]}, {"b": "1"}, {"b": "2"}, "spec.a.c"),
        # Lists without keys are compared as a whole.
        (listed(SHORT), ["long"], ["long", "x"], "spec.a[0]"),
        (
            listed(SHORT, **{"x-kubernetes-list-type": "set"}),
            ["long"],
            ["long", "x"],
            "spec.a[0]",
        ),
        (
            listed(obj(k=STRING, v=SHORT), **KEYED),
            [{"k": "1", "v": "long"}],
            [{"k": "2", "v": "long"}],
            "spec.a[0].v",
        ),
    ],
)
def test_what_is_newly_wrong_is_told(schema: JsonObject, old: Any, new: Any, path: str) -> None:
    assert changed(schema, old, new) == [path]


def test_an_object_with_fields_that_no_schema_knows_counts_as_changed() -> None:
    part = {**obj(b=STRING), "x-kubernetes-preserve-unknown-fields": True, "required": ["c"]}
    assert changed(part, {"b": "1", "x": 1}, {"b": "1", "x": 1}) == ["spec.a.c"]


def test_kind_and_version_are_never_forgiven() -> None:
    schema = obj(kind={**STRING, "enum": ["A"]}, spec=obj())
    whole = {"kind": "B", "spec": {}}
    assert texts(CustomSchema(schema).validate_update(whole | {"spec": {"x": 1}}, whole)) == [
        'kind: Unsupported value: "B": supported values: "A"'
    ]


def test_a_whole_object_that_did_not_change_is_forgiven_all() -> None:
    schema = schema_of(a=SHORT)
    whole = {"spec": {"a": "long"}}
    assert schema.validate_update(whole, {"spec": {"a": "long"}}) == []


def test_a_status_is_forgiven_what_it_said_before() -> None:
    schema = CustomSchema(obj(status=obj(a=SHORT, b=SHORT)))
    old = {"status": {"a": "long"}}
    assert schema.validate_status({"status": {"a": "long", "b": "x"}}, old) == []
    paths = [e.path for e in schema.validate_status({"status": {"a": "longer"}}, old)]
    assert paths == ["status.a"]


def test_numbers_of_another_kind_have_changed() -> None:
    assert not Correlated(1, 1.0, INTEGER).is_unchanged()
    assert not Correlated(value=True, old=1, schema=INTEGER).is_unchanged()
    assert Correlated(None, None, INTEGER).is_unchanged()
    assert not Correlated({}, None, obj()).is_unchanged()

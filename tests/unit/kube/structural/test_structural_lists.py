"""Sets and maps among lists: nothing stands twice."""

from __future__ import annotations

from typing import Any

from structural_schemas import INTEGER, STRING, listed, mapped, obj, schema_of, texts

SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ANY = {"x-kubernetes-preserve-unknown-fields": True}


def keyed(*keys: str) -> dict[str, Any]:
    items = {**obj(a=STRING, b=INTEGER), **ANY}
    return listed(
        items, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    )


def repeated(schema: Any, value: Any) -> list[str]:
    return texts(schema_of(a=schema).validate({"spec": {"a": value}}))


def test_a_set_has_no_item_twice() -> None:
    assert repeated(listed(STRING, **SET), ["a", "b"]) == []
    assert repeated(listed(STRING, **SET), ["a", "b", "a", "a"]) == [
        'spec.a[2]: Duplicate value: "a"'
    ]


def test_items_of_a_set_are_compared_as_json_values() -> None:
    items = [1, 1.0, True, "1", {"a": 1, "b": 2}, [1], {"b": 2, "a": 1}]
    assert repeated(listed(ANY, **SET), items) == ['spec.a[6]: Duplicate value: {"a":1,"b":2}']


def test_a_map_has_no_key_twice() -> None:
    assert repeated(keyed("a"), [{"a": "x", "b": 1}, {"a": "y", "b": 1}]) == []
    assert repeated(keyed("a"), [{"a": "x", "b": 1}, {"a": "x", "b": 2}]) == [
        'spec.a[1]: Duplicate value: {"a":"x"}'
    ]


def test_keys_of_a_map_count_together() -> None:
    assert repeated(keyed("a", "b"), [{"a": "x", "b": 1}, {"a": "x", "b": 2}]) == []
    assert repeated(keyed("a", "b"), [{"a": "x", "b": 1}, {"b": 1, "a": "x"}]) == [
        'spec.a[1]: Duplicate value: {"a":"x","b":1}'
    ]


def test_items_without_a_key_are_the_same_item() -> None:
    assert repeated(keyed("a"), [{"b": 1}, {"b": 2}]) == ["spec.a[1]: Duplicate value: {}"]
    assert repeated(keyed("a", "b"), [{}, {}]) == ["spec.a[1]: Duplicate value: {}"]


def test_an_item_of_a_map_must_be_an_object() -> None:
    schema = {**keyed("a"), "items": ANY}
    assert repeated(schema, [{"a": "x"}, "y"]) == [
        'spec.a[1]: Invalid value: "y": must be an object for an array of list-type map'
    ]


def test_lists_within_maps_and_lists_are_found() -> None:
    within = mapped(listed(obj(s=listed(STRING, **SET))))
    assert repeated(within, {"k.l": [{}, {"s": ["a", "a"]}]}) == [
        'spec.a[k.l][1].s[1]: Duplicate value: "a"'
    ]


def test_repetition_is_forgiven_once_something_was_repeated_before() -> None:
    schema = schema_of(a=listed(STRING, **SET), b=INTEGER)
    old = {"spec": {"a": ["x", "x"]}}
    assert schema.validate_update({"spec": {"a": ["x", "x", "y", "y"]}}, old) == []
    good = {"spec": {"a": ["x"]}}
    assert texts(schema.validate_update({"spec": {"a": ["x", "x"]}}, good)) == [
        'spec.a[1]: Duplicate value: "x"'
    ]

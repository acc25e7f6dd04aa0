"""Objects with a schema: field sets, faults of configurations, removal."""

from __future__ import annotations

from typing import Any

import pytest

from kube.managed import sets
from kube.managed.atoms import TypedError
from kube.managed.reconcile import reconcile
from kube.managed.typed import check, field_set, with_named_fields, without
from kube.schema.model import ATOMIC, MAP, Kind
from tests.unit.kube.managed.managed_types import (
    OBJECT,
    list_of,
    map_of,
    of,
    paths,
    port_type,
    scalar,
    struct_of,
)

HEAD = {".apiVersion", ".kind", ".metadata.name"}


@pytest.mark.parametrize(
    ("fields", "owned"),
    [
        ({"text": "x"}, {".text"}),
        ({"inner": {"a": "x"}}, {".inner.a"}),
        ({"inner": {}}, {".inner"}),
        ({"inner": None}, {".inner"}),
        ({"whole": {"a": "x"}}, {".whole"}),
        ({"tags": {"k": "v"}}, {".tags.k"}),
        ({"tags": {}}, {".tags"}),
        ({"wholeMap": {"k": "v"}}, {".wholeMap"}),
        ({"list": ["a", "b"]}, {".list"}),
        ({"set": ["a", "b"]}, {'.set[="a"]', '.set[="b"]'}),
        ({"set": []}, set()),
        (
            {"named": [{"name": "x", "value": "y"}]},
            {'.named[name="x"]', '.named[name="x"].name', '.named[name="x"].value'},
        ),
        (
            {"ports": [{"port": 80}]},
            {
                '.ports[port=80,protocol="TCP"]',
                '.ports[port=80,protocol="TCP"].port',
            },
        ),
        ({"free": {"a": {"b": [1]}}}, {".free.a", ".free.a.b"}),
        ({"free": [1, 2]}, {".free"}),
        ({"open": {"known": "x", "more": {"y": 1}}}, {".open.known", ".open.more", ".open.more.y"}),
    ],
)
def test_a_configuration_owns_what_it_mentions(fields: dict[str, Any], owned: set[str]) -> None:
    assert paths(field_set(OBJECT, of(**fields))) == HEAD | owned


def test_items_that_are_there_twice_are_owned_as_a_whole() -> None:
    item = {"name": "x", "value": "y"}
    found = field_set(OBJECT, of(named=[item, item]))
    assert paths(found) == HEAD | {'.named[name="x"]'}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"texts": "x"}, ".texts: field not declared in schema"),
        ({"number": "x"}, ".number: expected numeric (int or float), got string"),
        ({"flag": 1}, ".flag: expected boolean, got &{1}"),
        ({"text": True}, ".text: expected string, got &value.valueUnstructured{Value:true}"),
        ({"inner": "x"}, ".inner: expected map, got &{x}"),
        ({"list": {"a": 1}}, ".list: expected list, got &{map[a:1]}"),
        ({"list": [1]}, ".list[0]: expected string, got &value.valueUnstructured{Value:1}"),
        ({"set": ["a", "a"]}, '.set: duplicate entries for key [="a"]'),
        (
            {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]},
            '.ports: duplicate entries for key [port=1,protocol="TCP"]',
        ),
        (
            {"named": [{"value": "x"}]},
            ".named: element 0: associative list with keys has an element that omits all key "
            'fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
        (
            {"named": ["x"]},
            ".named: element 0: associative list with keys may not have non-map elements",
        ),
        (
            {"set": [{}]},
            ".set: element 0: associative list without keys has an element that's a map type",
        ),
    ],
)
def test_faults_are_named_as_upstream_names_them(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(TypedError) as refused:
        check(OBJECT, of(**fields))
    assert str(refused.value) == fault


def test_several_faults_are_listed() -> None:
    with pytest.raises(TypedError) as refused:
        check(OBJECT, of(number="x", flag=1))
    assert str(refused.value) == (
        "errors:\n  .number: expected numeric (int or float), got string\n"
        "  .flag: expected boolean, got &{1}"
    )


@pytest.mark.parametrize("value", [None, {"x": None}, [None]])
def test_null_is_taken_everywhere(value: Any) -> None:
    check(OBJECT, of(free=value, text=None, inner=None, list=None))


def test_what_the_schema_leaves_open_is_taken() -> None:
    check(OBJECT, of(open={"more": [{"x": 1}]}, free="x"))


def test_items_and_fields_are_removed() -> None:
    obj = of(set=["a", "b"], named=[{"name": "x", "value": "y"}], text="t", inner={"a": "1"})
    gone = sets.of_paths(
        [
            ("f:set", 'v:"a"'),
            ("f:named", 'k:{"name":"x"}', "f:value"),
            ("f:text",),
            ("f:inner", "f:a"),
        ]
    )
    assert without(OBJECT, obj, gone) == of(set=["b"], named=[{"name": "x"}], inner=None)


def test_nothing_is_removed_from_inside_what_is_atomic() -> None:
    obj = of(whole={"a": "x"}, list=["a"])
    gone = sets.of_paths([("f:whole", "f:a"), ("f:list", "i:0")])
    assert without(OBJECT, obj, gone) == of(whole=None, list=None)


def test_struct_fields_that_lead_to_members_become_members_but_map_keys_do_not() -> None:
    fields = sets.of_paths([("f:inner", "f:a"), ("f:tags", "f:k"), ("f:free", "f:x", "f:y")])
    named = with_named_fields(OBJECT, fields)
    assert paths(named) == {".inner", ".inner.a", ".tags", ".tags.k", ".free", ".free.x.y"}


def test_what_became_atomic_is_owned_as_a_whole() -> None:
    now = struct_of(
        inner=struct_of(ATOMIC, a=scalar()), items=list_of(scalar()), tags=map_of(scalar())
    )
    before = sets.of_paths(
        [("f:inner", "f:a"), ("f:items", 'v:"x"'), ("f:tags", "f:k"), ("f:gone", "f:x")]
    )
    assert paths(reconcile(now, before)) == {".inner", ".items", ".tags.k", ".gone.x"}


def test_what_fits_its_schema_is_the_very_same_set() -> None:
    fields = field_set(OBJECT, of(inner={"a": "x"}, whole={"a": "x"}, list=["x"], free={"a": 1}))
    assert reconcile(OBJECT, fields) is fields


def test_a_key_without_default_is_left_out_of_the_element() -> None:
    item = struct_of(a=scalar(Kind.INT32), b=scalar())
    type_ = struct_of(items=list_of(item, MAP, ("a", "b")))
    assert paths(field_set(type_, {"items": [{"a": 1}]})) == {".items[a=1]", ".items[a=1].a"}


def test_keys_are_written_sorted_however_the_schema_lists_them() -> None:
    type_ = struct_of(items=list_of(port_type(), MAP, ("protocol", "port")))
    found = field_set(type_, {"items": [{"port": 1, "protocol": "UDP"}]})
    assert list(found["f:items"]) == ['k:{"port":1,"protocol":"UDP"}']

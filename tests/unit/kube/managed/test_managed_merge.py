"""Structured merge: values, nested maps, and the order of merged lists."""

from __future__ import annotations

from typing import Any

import pytest

from kube.managed.atoms import TypedError
from kube.managed.merge import merge
from tests.unit.kube.managed.managed_types import OBJECT, of


def merged(live: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a merge."""
    whole = merge(OBJECT, of(**live), of(**config))
    head = of()
    return {key: value for key, value in whole.items() if key not in head}


@pytest.mark.parametrize(
    ("live", "config", "result"),
    [
        ({"text": "a"}, {"text": "b"}, {"text": "b"}),
        ({"text": "a"}, {"number": 1}, {"text": "a", "number": 1}),
        ({"inner": {"a": "1"}}, {"inner": {"b": "2"}}, {"inner": {"a": "1", "b": "2"}}),
        ({"inner": {"a": "1"}}, {"inner": {}}, {"inner": {"a": "1"}}),
        ({"inner": {"a": "1"}}, {"inner": None}, {"inner": {"a": "1"}}),
        ({}, {"inner": {}}, {"inner": {}}),
        ({"text": "a"}, {"text": None}, {"text": None}),
        ({"whole": {"a": "1"}}, {"whole": {"b": "2"}}, {"whole": {"b": "2"}}),
        ({"wholeMap": {"a": "1"}}, {"wholeMap": {}}, {"wholeMap": {}}),
        ({"list": ["a"]}, {"list": ["b"]}, {"list": ["b"]}),
        ({"tags": {"a": "1"}}, {"tags": {"a": "2", "b": "3"}}, {"tags": {"a": "2", "b": "3"}}),
        ({"free": {"a": {"b": 1}}}, {"free": {"a": {"c": 2}}}, {"free": {"a": {"b": 1, "c": 2}}}),
        ({"free": {"a": 1}}, {"free": {"a": {"c": 2}}}, {"free": {"a": {"c": 2}}}),
        ({"free": [1, 2]}, {"free": [3]}, {"free": [3]}),
        (
            {"open": {"known": "x", "more": 1}},
            {"open": {"more": 2}},
            {"open": {"known": "x", "more": 2}},
        ),
    ],
)
def test_values_are_merged_by_type(
    live: dict[str, Any], config: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(live, config) == result


@pytest.mark.parametrize(
    ("live", "config", "result"),
    [
        ("ab", "ab", "ab"),
        ("ab", "c", "abc"),
        ("ab", "ca", "cab"),
        ("abc", "cb", "acb"),
        ("abcde", "db", "acdeb"),
        ("abc", "xby", "axbcy"),
        ("", "ab", "ab"),
        ("ab", "ba", "ba"),
    ],
)
def test_what_is_applied_keeps_its_order_among_what_is_there(
    live: str, config: str, result: str
) -> None:
    assert "".join(merged({"set": list(live)}, {"set": list(config)})["set"]) == result


def test_items_merge_by_their_keys() -> None:
    live = {"ports": [{"port": 1, "protocol": "TCP", "name": "x"}, {"port": 1, "protocol": "UDP"}]}
    config = {"ports": [{"port": 1, "name": "y"}]}
    assert merged(live, config)["ports"] == [
        {"port": 1, "protocol": "TCP", "name": "y"},
        {"port": 1, "protocol": "UDP"},
    ]


def test_live_items_that_are_there_twice_stay_unless_applied() -> None:
    twice = [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]
    other = {"name": "y"}
    assert merged({"named": twice}, {"named": [other]})["named"] == [*twice, other]


def test_live_items_that_are_there_twice_are_replaced_when_applied() -> None:
    twice = [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]
    assert merged({"named": twice}, {"named": [{"name": "x"}]})["named"] == [{"name": "x"}]


def test_an_item_applied_twice_is_refused() -> None:
    with pytest.raises(TypedError, match="duplicate entries for key"):
        merged({}, {"set": ["a", "a"]})


def test_neither_side_is_changed() -> None:
    live, config = of(inner={"a": "1"}, set=["a"]), of(inner={"b": "2"}, set=["b"])
    merge(OBJECT, live, config)
    assert live == of(inner={"a": "1"}, set=["a"])
    assert config == of(inner={"b": "2"}, set=["b"])

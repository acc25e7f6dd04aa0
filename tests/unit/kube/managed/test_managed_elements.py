"""Path elements: their text, their order, how they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from kube.managed import elements


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", 'v:"a"'),
        ('a"b', 'v:"a\\"b"'),
        ("<&>", 'v:"\\u003c\\u0026\\u003e"'),
        (1, "v:1"),
        (1.0, "v:1"),
        (1.5, "v:1.5"),
        (True, "v:true"),
    ],
)
def test_values_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert elements.value_element(value) == text


def test_keys_are_written_in_the_order_given() -> None:
    element = elements.key_element([("port", 80), ("protocol", "TCP")])
    assert element == 'k:{"port":80,"protocol":"TCP"}'


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('k:{"b": 1, "a": "x"}', 'k:{"a":"x","b":1}'),
        ("v: 1.0", "v:1"),
        ("i:07", "i:7"),
        ("f:a b", "f:a b"),
    ],
)
def test_elements_of_clients_become_canonical(written: str, canonical: str) -> None:
    assert elements.canonical(written) == canonical


@pytest.mark.parametrize("text", ["", "f", "fa", "k:{", "k:[]", "v:", "i:x", 'v:"a" 1'])
def test_malformed_elements_are_refused(text: str) -> None:
    with pytest.raises(elements.ElementError):
        elements.canonical(text)


def test_kinds_of_later_versions_are_told_apart_from_malformed_ones() -> None:
    with pytest.raises(elements.UnknownKind):
        elements.canonical("x:1")


def test_fields_come_before_keys_before_values_before_indices() -> None:
    mixed = ["i:1", "v:2", 'k:{"a":1}', "f:z", "f:a"]
    assert elements.in_order(mixed) == ["f:a", "f:z", 'k:{"a":1}', "v:2", "i:1"]


def test_numbers_are_ordered_as_numbers_and_before_texts() -> None:
    assert elements.in_order(['v:"1"', "v:10", "v:9"]) == ["v:9", "v:10", 'v:"1"']


def test_keys_are_ordered_by_name_then_value_then_length() -> None:
    keys = ['k:{"a":1,"b":1}', 'k:{"b":0}', 'k:{"a":1}', 'k:{"a":0}']
    assert elements.in_order(keys) == [
        'k:{"a":0}',
        'k:{"a":1}',
        'k:{"a":1,"b":1}',
        'k:{"b":0}',
    ]


@pytest.mark.parametrize(
    ("element", "shown"),
    [
        ("f:spec", ".spec"),
        ('k:{"port":80,"protocol":"TCP"}', '[port=80,protocol="TCP"]'),
        ('v:"x"', '[="x"]'),
        ("v:true", "[=true]"),
        ("i:3", "[3]"),
    ],
)
def test_elements_are_shown_as_conflicts_name_them(element: str, shown: str) -> None:
    assert elements.shown(element) == shown

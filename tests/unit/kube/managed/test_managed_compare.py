"""Comparing two states of an object."""

from __future__ import annotations

from typing import Any

import pytest

from kube.managed.compare import SAME, Comparison, compare
from tests.unit.kube.managed.managed_types import OBJECT, of, paths


def compared(old: dict[str, Any], new: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Return what was removed, modified and added, as texts."""
    removed, modified, added = compare(OBJECT, of(**old), of(**new))
    return paths(removed), paths(modified), paths(added)


def test_equal_objects_do_not_differ() -> None:
    assert compare(OBJECT, of(text="x"), of(text="x")) is SAME


@pytest.mark.parametrize(
    ("old", "new", "removed", "modified", "added"),
    [
        ({"text": "a"}, {"text": "b"}, set(), {".text"}, set()),
        ({}, {"text": "b"}, set(), set(), {".text"}),
        ({"text": "a"}, {}, {".text"}, set(), set()),
        ({}, {"inner": {"a": "x"}}, set(), set(), {".inner", ".inner.a"}),
        ({"inner": {"a": "x"}}, {"inner": {"b": "x"}}, {".inner.a"}, set(), {".inner.b"}),
        ({"inner": {"a": "x"}}, {"inner": {}}, {".inner.a"}, set(), set()),
        ({"whole": {"a": "x"}}, {"whole": {"b": "x"}}, set(), {".whole"}, set()),
        ({"list": ["a"]}, {"list": ["b"]}, set(), {".list"}, set()),
        ({"set": ["a", "b"]}, {"set": ["b", "c"]}, {'.set[="a"]'}, set(), {'.set[="c"]'}),
        ({"set": ["a", "b"]}, {"set": ["b", "a"]}, set(), set(), set()),
        (
            {"named": [{"name": "x", "value": "1"}]},
            {"named": [{"name": "x", "value": "2"}]},
            set(),
            {'.named[name="x"].value'},
            set(),
        ),
        (
            {"named": [{"name": "x"}]},
            {"named": [{"name": "y"}]},
            {'.named[name="x"]', '.named[name="x"].name'},
            set(),
            {'.named[name="y"]', '.named[name="y"].name'},
        ),
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "TCP"}]}, set(), set(),
         {'.ports[port=1,protocol="TCP"].protocol'}),
        ({"inner": {}}, {"inner": None}, set(), {".inner"}, set()),
        ({"free": {"a": 1}}, {"free": {"a": {"b": 2}}}, set(), {".free.a"}, {".free.a.b"}),
        ({"free": {"a": [1]}}, {"free": {"a": [2]}}, set(), {".free.a"}, set()),
    ],
)  # fmt: skip
def test_what_differs_is_told_by_field(
    old: dict[str, Any],
    new: dict[str, Any],
    removed: set[str],
    modified: set[str],
    added: set[str],
) -> None:
    assert compared(old, new) == (removed, modified, added)


X1, X2 = {"name": "x", "value": "1"}, {"name": "x", "value": "2"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([X1, X1], [X1, X1], (set(), set(), set())),
        ([X1, X1], [X1, X2], (set(), {'.named[name="x"]'}, set())),
        (
            [X1, X1],
            [X1],
            (
                {'.named[name="x"]'},
                set(),
                {'.named[name="x"]', '.named[name="x"].name', '.named[name="x"].value'},
            ),
        ),
        ([X1, X1], [], ({'.named[name="x"]'}, set(), set())),
        ([], [X1, X1], (set(), set(), {'.named[name="x"]'})),
    ],
)
def test_items_that_are_there_twice_are_compared_as_a_whole(
    old: list[Any], new: list[Any], expected: tuple[set[str], set[str], set[str]]
) -> None:
    padding = {"name": "other"}
    assert compared({"named": [padding, *old]}, {"named": [padding, *new]}) == expected


def test_what_was_taken_is_what_changed_or_is_new() -> None:
    found = compare(OBJECT, of(text="a", number=1), of(text="b", flag=True))
    assert paths(found.taken) == {".text", ".flag"}
    assert not found.is_same
    assert Comparison().is_same

"""Field sets: membership, union, intersection and the two differences."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.managed import sets
from tests.unit.kube.managed.managed_types import paths

A = sets.of_paths([("f:a",), ("f:a", "f:b"), ("f:c", "f:d")])


def test_a_node_is_a_member_if_it_is_empty_or_says_so() -> None:
    assert A == {"f:a": {".": {}, "f:b": {}}, "f:c": {"f:d": {}}}
    assert sets.has(A, ("f:a",))
    assert sets.has(A, ("f:a", "f:b"))
    assert not sets.has(A, ("f:c",))
    assert not sets.has(A, ())


def test_members_are_told_level_by_level() -> None:
    fields = sets.of_paths([("f:a", "f:x"), ("f:a",), ("f:b",)])
    assert list(sets.paths_of(fields)) == [("f:a",), ("f:b",), ("f:a", "f:x")]


def test_parsing_puts_elements_in_order_and_drops_what_it_does_not_know() -> None:
    written = {"f:b": {}, "x:new": {"f:y": {}}, "f:a": {"f:d": {}, "f:c": {}, ".": {}}}
    assert orjson.dumps(sets.parse(written)) == b'{"f:a":{".":{},"f:c":{},"f:d":{}},"f:b":{}}'


def test_an_element_with_nothing_known_below_is_a_member() -> None:
    assert sets.parse({"f:a": {"x:new": {}}}) == {"f:a": {}}
    assert sets.parse({"f:a": {".": {}}}) == {"f:a": {}}


def test_elements_that_are_the_same_when_canonical_are_joined() -> None:
    written = {'k:{"a":1}': {"f:x": {}}, 'k:{"a": 1}': {"f:y": {}}}
    assert sets.parse(written) == {'k:{"a":1}': {"f:x": {}, "f:y": {}}}


def test_the_root_is_no_member() -> None:
    assert sets.parse({".": {}, "f:a": {}}) == {"f:a": {}}


@pytest.mark.parametrize("written", [[], "x", {"f:a": 1}, {"q": {}}, {"f:a": None}])
def test_what_is_no_set_is_refused(written: Any) -> None:
    with pytest.raises(sets.SetError):
        sets.parse(written)


def test_a_set_nested_too_deep_is_refused() -> None:
    node: Any = {}
    for _ in range(sets.DEPTH_MAX + 2):
        node = {"f:a": node}
    with pytest.raises(sets.SetError, match="depth"):
        sets.parse(node)


def test_union_keeps_order_and_membership() -> None:
    other = sets.of_paths([("f:c",), ("f:b",)])
    joined = sets.union(A, other)
    assert list(joined) == ["f:a", "f:b", "f:c"]
    assert joined["f:c"] == {".": {}, "f:d": {}}


def test_intersection_holds_what_both_hold() -> None:
    other = sets.of_paths([("f:a",), ("f:c",), ("f:c", "f:d"), ("f:e",)])
    assert paths(sets.intersection(A, other)) == {".a", ".c.d"}
    assert paths(sets.intersection(other, A)) == {".a", ".c.d"}


def test_difference_leaves_what_is_below() -> None:
    assert paths(sets.difference(A, sets.of_paths([("f:a",)]))) == {".a.b", ".c.d"}


def test_difference_of_a_child_leaves_its_parent() -> None:
    assert paths(sets.difference(A, sets.of_paths([("f:a", "f:b")]))) == {".a", ".c.d"}


def test_recursive_difference_takes_what_is_below() -> None:
    assert paths(sets.recursive_difference(A, sets.of_paths([("f:a",)]))) == {".c.d"}


def test_nodes_without_members_vanish() -> None:
    assert sets.difference(A, A) == {}
    assert sets.difference(A, sets.of_paths([("f:c", "f:d")])) == {"f:a": {".": {}, "f:b": {}}}


def test_sets_are_never_changed() -> None:
    before = orjson.dumps(A)
    other = sets.of_paths([("f:a", "f:z"), ("f:c",)])
    sets.union(A, other)
    sets.difference(A, other)
    sets.intersection(A, other)
    sets.recursive_difference(A, other)
    assert orjson.dumps(A) == before

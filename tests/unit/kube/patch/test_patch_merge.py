"""Merge patch: RFC 7386's examples and the library's corners."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.patch import merge_patch
from kube.status import StatusError


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": [{"b": None}, None]}, {"a": [{}, None]}),
        ({"a": {"x": 1}}, {"a": [{"b": None}]}, {"a": [{"b": None}]}),
        ({"a": "x"}, [{"b": None}, 1], [{}, 1]),
    ],
)
def test_merge_gives_the_documented_result(doc: Any, patch: Any, expected: Any) -> None:
    before = orjson.dumps([doc, patch])
    assert merge_patch(doc, patch) == expected
    assert orjson.dumps([doc, patch]) == before


@pytest.mark.parametrize("patch", [None, 1, "text", True])
def test_scalar_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(StatusError) as caught:
        merge_patch({}, patch)
    assert (caught.value.code, caught.value.message) == (400, "Invalid JSON Patch")


def test_result_shares_nothing_with_the_patch() -> None:
    patch = {"spec": {"nodes": [{"name": "a"}]}}
    result = merge_patch({}, patch)
    result["spec"]["nodes"][0]["name"] = "changed"
    assert patch == {"spec": {"nodes": [{"name": "a"}]}}

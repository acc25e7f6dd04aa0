"""JSON patch: the operations, their corners, and the refusals."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.patch import OPERATIONS_MAX, json_patch, unknown_operation_fields
from kube.patch.operations import COPIED_BYTES_MAX
from kube.status import StatusError


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/b", "value": {"c": 1}}, {"a": [1, 2], "b": {"c": 1}}),
        ({"op": "add", "path": "/b"}, {"a": [1, 2], "b": None}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2]}),
        ({"op": "add", "path": "/a/2", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "add", "path": "/a/-1", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "remove", "path": "/a"}, {}),
        ({"op": "remove", "path": "/a/-1"}, {"a": [1]}),
        ({"op": "replace", "path": "/a/1", "value": 9}, {"a": [1, 9]}),
        ({"op": "replace", "path": "/absent", "value": 9}, {"a": [1, 2], "absent": 9}),
        ({"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
        ({"op": "move", "from": "/a", "path": "/b"}, {"b": [1, 2]}),
        ({"op": "copy", "from": "/a", "path": "/b"}, {"a": [1, 2], "b": [1, 2]}),
        ({"op": "test", "path": "/a", "value": [1, 2]}, {"a": [1, 2]}),
        ({"op": "test", "path": "", "value": {"a": [1, 2]}}, {"a": [1, 2]}),
        ({"op": "test", "path": "/absent", "value": None}, {"a": [1, 2]}),
    ],
)
def test_operation_gives_the_documented_result(operation: Any, expected: Any) -> None:
    assert json_patch({"a": [1, 2]}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "test", "path": "/a/0", "value": 1.0},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "test", "path": "/absent", "value": 1},
        {"op": "remove", "path": "/absent"},
        {"op": "move", "from": "/absent", "path": "/b"},
        {"op": "add", "path": "/absent/b", "value": 1},
        {"op": "add", "path": "/a/0/x", "value": 1},
        {"op": "add", "path": "/a/4", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "nowhere", "value": 1},
        {"op": "replace", "path": "/a/2", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "add", "value": 1},
        {"op": "invent", "path": "/a"},
        {"path": "/a"},
        None,
    ],
)
def test_operation_that_does_not_apply_is_refused_without_its_reason(operation: Any) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({"a": [1, 2]}, [operation])
    assert caught.value.code == 422
    assert caught.value.status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }
    assert str(caught.value.__cause__)


def test_escaped_tokens_name_keys_with_slashes_and_tildes() -> None:
    doc = {"metadata": {"annotations": {"a/b": "1", "c~d": "2", "e~1f": "3"}}}
    operations = [
        {"op": "remove", "path": "/metadata/annotations/a~1b"},
        {"op": "replace", "path": "/metadata/annotations/c~0d", "value": "x"},
        {"op": "test", "path": "/metadata/annotations/e~01f", "value": "3"},
    ]
    assert json_patch(doc, operations) == {"metadata": {"annotations": {"c~d": "x", "e~1f": "3"}}}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            {"op": "add"},
            "error decoding patch: json: cannot unmarshal object into Go value of type "
            "[]handlers.jsonPatchOp",
        ),
        (
            ["x"],
            "error decoding patch: json: cannot unmarshal string into Go value of type "
            "handlers.jsonPatchOp",
        ),
    ],
)
def test_what_is_no_patch_is_a_bad_request(patch: Any, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({}, patch)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_more_operations_than_allowed_are_too_large() -> None:
    operation = {"op": "test", "path": "/a", "value": 1}
    assert json_patch({"a": 1}, [operation] * OPERATIONS_MAX) == {"a": 1}
    with pytest.raises(StatusError) as caught:
        json_patch({"a": 1}, [operation] * (OPERATIONS_MAX + 1))
    assert caught.value.code == 413
    assert caught.value.message == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, "
        "got 10001"
    )


def test_document_and_patch_stay_as_they_were() -> None:
    doc = {"a": {"b": [{"c": 1}]}, "d": {"e": 1}}
    patch = [
        {"op": "add", "path": "/new", "value": {"x": []}},
        {"op": "add", "path": "/new/x/-", "value": 1},
        {"op": "replace", "path": "/a/b/0/c", "value": 2},
        {"op": "copy", "from": "/a", "path": "/f"},
        {"op": "add", "path": "/f/b/0/g", "value": 3},
        {"op": "move", "from": "/d", "path": "/a/d"},
    ]
    before = orjson.dumps([doc, patch])
    result = json_patch(doc, patch)
    assert orjson.dumps([doc, patch]) == before
    assert result == {
        "a": {"b": [{"c": 2}], "d": {"e": 1}},
        "f": {"b": [{"c": 2, "g": 3}]},
        "new": {"x": [1]},
    }


def test_unknown_members_of_operations_are_named() -> None:
    patch = [{"op": "add", "path": "/a", "value": 1}, {"op": "add", "note": "x"}]
    assert unknown_operation_fields(patch) == ['json patch unknown field "[1].note"']


def test_copies_that_multiply_the_document_are_refused() -> None:
    doubling = {"op": "copy", "from": "/x", "path": "/x/-"}
    with pytest.raises(StatusError) as caught:
        json_patch({"x": ["y" * 1000]}, [doubling] * 64)
    assert caught.value.code == 422


def test_copies_within_the_limit_are_made() -> None:
    text = "y" * (COPIED_BYTES_MAX - 2)
    patched = json_patch({"x": text}, [{"op": "copy", "from": "/x", "path": "/z"}])
    assert patched["z"] == text


@pytest.mark.parametrize("name", ["op", "path", "from"])
def test_member_that_is_no_text_is_a_malformed_patch(name: str) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({}, [{"op": "add", "path": "/a", name: 1}])
    assert caught.value.code == 400
    assert caught.value.message == (
        "error decoding patch: json: cannot unmarshal number into "
        f"Go struct field jsonPatchOp.{name} of type string"
    )

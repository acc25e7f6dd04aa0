"""Lines of a watch are read without managedFields, and otherwise as they are."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.informers.lines import read_event

FIELDS: dict[str, Any] = {"f:spec": {"f:a": {}, 'k:{"name":"a"}': {".": {}}}}
ODD = '],"metadata":{"managedFields":[{}]}'


def _entry(**more: Any) -> dict[str, Any]:
    head = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": "t"}
    return {**head, "fieldsType": "FieldsV1", "fieldsV1": FIELDS, **more}


OWNERS = [{"kind": "A", "apiVersion": "v1", "name": "o", "uid": "1"}]
METADATA: dict[str, dict[str, Any]] = {
    "last": {"name": "p", "managedFields": [_entry()]},
    "several": {"name": "p", "managedFields": [_entry(), _entry(subresource="status")]},
    "after owners": {"ownerReferences": OWNERS, "finalizers": [], "managedFields": [_entry()]},
    "before owners": {"name": "p", "managedFields": [_entry()], "ownerReferences": OWNERS},
    "before an empty list": {"managedFields": [_entry()], "finalizers": []},
    "first": {"managedFields": [_entry()]},
    "empty": {"name": "p", "managedFields": []},
    "null": {"name": "p", "managedFields": None},
    "none": {"name": "p"},
    "a bracket in a key": {
        "name": "p",
        "managedFields": [_entry(fieldsV1={f'k:{{"mountPath":"}}{ODD}"}}': {".": {}}})],
    },
    "a brace and a bracket in a manager": {
        "name": "p",
        "managedFields": [_entry(manager='}]},"a":{},"b":[{'), _entry()],
    },
    "in an annotation": {
        "name": "p",
        "annotations": {"a": ODD, "managedFields": '["managedFields":[{'},
        "managedFields": [_entry()],
    },
    "in a label": {"name": "p", "labels": {"managedFields": "a"}, "managedFields": [_entry()]},
}
TEMPLATE = {"template": {"metadata": {"a": 1, "managedFields": [{"kept": []}]}, "managedFields": 1}}


def _without(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "managedFields"}


@pytest.mark.parametrize("case", METADATA)
@pytest.mark.parametrize("rest", [{}, {"spec": TEMPLATE, "data": {"managedFields": [{}]}}])
def test_only_the_objects_own_managed_fields_are_left_out(case: str, rest: Any) -> None:
    metadata = METADATA[case]
    for obj in (
        {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **rest},
        {"apiVersion": "v1", "data": {"metadata": TEMPLATE}, "metadata": metadata, **rest},
    ):
        line = orjson.dumps({"type": "ADDED", "object": obj})
        event, bare = read_event(line)
        wanted = {"type": "ADDED", "object": {**obj, "metadata": _without(metadata)}}
        assert event == wanted
        assert orjson.loads(bare) == wanted
        assert bare.startswith(b'{"type":"ADDED","object":{')


def test_what_has_no_managed_fields_stays_as_it_is() -> None:
    for told in ({"type": "ERROR", "object": {"code": 410}}, {"type": "ADDED"}, [], 7, None):
        line = orjson.dumps(told)
        assert read_event(line) == (told, line)


def test_what_is_no_json_is_refused() -> None:
    good = orjson.dumps({"type": "ADDED", "object": {"metadata": METADATA["last"]}})
    for end in range(len(good)):
        with pytest.raises(orjson.JSONDecodeError):
            read_event(good[:end])

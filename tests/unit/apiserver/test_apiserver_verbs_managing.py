"""managedFields of objects that are updated: hidden as bytes, and parsed for those who look."""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.resources import Catalog
from apiserver.tracking import Writing
from apiserver.verbs.managing import hidden, keep_times, show_entries, track
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject

_MAPS = Catalog(builtin_registry()).by_storage["configmaps"]
_PODS = Catalog(builtin_registry()).by_storage["pods"]
_T0, _T1 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def _stored(obj: JsonObject, resource: Any = _MAPS) -> bytes:
    entries = resource.tracker.entry_of_new(resource.fields_of_new(obj), "m", _T0)
    body: bytes = resource.encode(obj, entries)[0]
    return body


def _map(**data: str) -> JsonObject:
    return {"metadata": {"name": "a", "uid": "u"}, "data": data}


def _shown(obj: JsonObject) -> Any:
    return orjson.loads(orjson.dumps(obj["metadata"]["managedFields"]))


def test_what_is_hidden_is_encoded_as_it_was_and_parsed_when_it_is_shown() -> None:
    body = _stored(_map(x="1"))
    old = hidden(_MAPS, body)
    assert orjson.loads(orjson.dumps(old)) == orjson.loads(body)
    new = hidden(_MAPS, body)
    new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    show_entries(new, old)
    assert old == orjson.loads(body)
    assert new["metadata"]["managedFields"] is old["metadata"]["managedFields"]


def test_a_write_of_the_same_leaves_the_same_bytes() -> None:
    old = hidden(_MAPS, _stored(_map(x="1")))
    new = {**old, "metadata": dict(old["metadata"])}
    del new["metadata"]["managedFields"]
    track(_MAPS, new, old, Writing("m", _T1))
    assert new["metadata"]["managedFields"] is old["metadata"]["managedFields"]


def test_a_change_that_is_taken_back_leaves_no_later_time() -> None:
    old = hidden(_MAPS, _stored(_map(x="1")))
    new = {**old, "metadata": dict(old["metadata"]), "data": {"x": "2"}}
    track(_MAPS, new, old, Writing("m", _T1))
    assert [entry["time"] for entry in _shown(new)] == [_T1]
    new["data"] = {"x": "1"}
    keep_times(new, old)
    assert new == old


def test_the_first_status_of_a_pod_is_its_writers() -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    old = hidden(_PODS, _stored({"metadata": {"name": "a"}, "spec": spec}, _PODS))
    new = orjson.loads(orjson.dumps(old))
    new["status"] = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "podIPs": [{"ip": "10.0.0.1"}],
    }
    track(_PODS, new, old, Writing("kubelet", _T1, "status"))
    creation, first = _shown(new)
    assert creation == _shown(old)[0]
    assert first == {
        "manager": "kubelet",
        "operation": "Update",
        "apiVersion": "v1",
        "time": _T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:status": {
                ".": {},
                "f:conditions": {
                    ".": {},
                    'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}},
                },
                "f:phase": {},
                "f:podIPs": {".": {}, 'k:{"ip":"10.0.0.1"}': {".": {}, "f:ip": {}}},
            }
        },
        "subresource": "status",
    }

"""Patches of objects that share what is left alone with the old ones: nothing else comes of it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import pytest

from apiserver.verbs import patching
from kube.json_types import JsonObject
from tests.bench.in_process import InProcess, Refusal, in_process, request

_CORE: Final = "/api/v1/namespaces/default/configmaps"
_ROLES: Final = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
_JSON: Final = "application/json"
_STRATEGIC: Final = patching.STRATEGIC_PATCH
_STATUS_LINE_BYTES: Final = 30
_MAP: Final[JsonObject] = {
    "metadata": {"name": "one", "labels": {"a": "b"}, "finalizers": ["x/y", "x/z"]},
    "data": {"a": "1", "b": "2"},
    "binaryData": {"c": "AQ=="},
}
_ROLE: Final[JsonObject] = {
    "metadata": {"name": "one"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
}
_PATCHES: Final[list[tuple[str, JsonObject, str, Any]]] = [
    (path, obj, kind, patch)
    for kind in (patching.MERGE_PATCH, _STRATEGIC)
    for path, obj, patches in (
        (
            _CORE,
            _MAP,
            [
                {},
                {"data": {"a": "3"}},
                {"data": {"a": None, "d": "4"}},
                {"data": None},
                {"data": {"a": "1"}},
                {"data": {"a": 5}},
                {"data": "none"},
                {"none": {"a": "1"}},
                {"immutable": True},
                {"metadata": {"labels": {"a": None}, "annotations": {"e": "f"}}},
                {"metadata": {"finalizers": ["x/y"]}},
                {"metadata": None},
                {"metadata": {"resourceVersion": "1"}},
                {"metadata": {"managedFields": [{}]}},
                {"binaryData": {"c": "AQ"}},
            ],
        ),
        (
            _ROLES,
            _ROLE,
            [
                {"rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]},
                {"rules": None, "aggregationRule": None},
                {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"c": None}}]}},
            ],
        ),
    )
    for patch in patches
] + [
    (
        _CORE,
        _MAP,
        patching.JSON_PATCH,
        [{"op": "copy", "from": "/metadata/labels", "path": "/data"}],
    ),
    (_CORE, _MAP, patching.JSON_PATCH, [{"op": "remove", "path": "/data/a"}]),
    (_CORE, _MAP, _STRATEGIC, {"$retainKeys": ["metadata", "data"], "data": {"a": "9"}}),
    (_CORE, _MAP, _STRATEGIC, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/y"]}}),
    (_CORE, _MAP, _STRATEGIC, {"$patch": "replace", "metadata": {"name": "one"}}),
]


async def _outcomes(server: InProcess) -> list[object]:
    """Return what each patch makes of a new object, or how it is refused."""
    found: list[object] = []
    for number, (path, obj, kind, patch) in enumerate(_PATCHES):
        name = f"n{number}"
        made = orjson.loads(orjson.dumps(obj).replace(b'"one"', b'"%b"' % name.encode()))
        text = orjson.dumps(patch).replace(b'"one"', b'"%b"' % name.encode())
        await server.answers([request("POST", path, orjson.dumps(made), Content_Type=_JSON)])
        asked = [
            request("PATCH", f"{path}/{name}", text, Content_Type=kind, User_Agent=agent)
            for agent in ("a/1", "b/1", "a/1")
        ]
        for one in (*asked, request("GET", f"{path}/{name}")):
            try:
                (answer,) = await server.answers([one])
            except Refusal as refusal:
                found.append(str(refusal)[:_STATUS_LINE_BYTES])
            else:
                found.append(_timeless(orjson.loads(answer)))
    return found


def _timeless(obj: JsonObject) -> JsonObject:
    metadata = obj["metadata"]
    for name in ("uid", "creationTimestamp", "resourceVersion"):
        metadata.pop(name, None)
    entries = metadata.get("managedFields") or []
    for entry in entries:
        entry.pop("time", None)
    entries.sort(key=orjson.dumps)  # their order is that of their times
    return obj


def test_what_is_shared_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[object]:
        async with in_process() as server:
            return await _outcomes(server)

    shared = asyncio.run(run())
    monkeypatch.setattr(patching, "_is_plain", lambda _resource: False)
    for found, wanted in zip(shared, asyncio.run(run()), strict=True):
        assert found == wanted

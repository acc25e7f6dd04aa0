"""Patches of a status: what comes of the parts alone is what comes of the whole object."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import pytest

from apiserver.documents import decode_object
from apiserver.resources import Catalog, Resource
from apiserver.verbs.status_patch import is_of_status, with_status
from apiserver.verbs.update import prepare_status
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject
from kube.patch import merge_patch, strategic_merge
from kube.schema.compile import builtin_schemas
from kube.status import StatusError
from tests.bench import objects
from tests.bench.in_process import InProcess, Refusal, in_process, request

_NOW: Final = "2026-01-01T00:00:00Z"
_POD: Final[JsonObject] = {
    **orjson.loads(objects.pod("one")),
    "status": {
        "phase": "Pending",
        "qosClass": "Burstable",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready"}],
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
    },
}
_NODE: Final[JsonObject] = {
    "kind": "Node",
    "apiVersion": "v1",
    "metadata": {"name": "one", "labels": {"a": "b"}},
    "spec": {"podCIDR": "10.1.0.0/24"},
}
_BUDGET: Final[JsonObject] = {
    "kind": "PodDisruptionBudget",
    "apiVersion": "policy/v1",
    "metadata": {"name": "one", "namespace": "bench"},
    "spec": {"minAvailable": 1},
    "status": {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 2},
}
_PATCHES: Final[list[JsonObject]] = [
    {},
    {"status": None},
    {"status": {}},
    {"status": {"phase": "Running", "podIP": "10.0.0.2", "podIPs": None}},
    {"status": {"podIPs": [{"ip": "10.0.0.3"}], "startTime": "2026-01-01T01:00:00+01:00"}},
    {"status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}]}},
    {"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}},
    {"status": {"$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}]}},
    {"status": {"capacity": {"cpu": "1000m"}, "addresses": []}},
    {"metadata": {"labels": {"a": None, "c": "d"}, "uid": "u"}, "status": {"expectedPods": 3}},
    {"metadata": {"annotations": {"e": "f"}}},
    {"metadata": None},
]


def _resource(version: str, plural: str) -> Resource:
    group, _, name = version.rpartition("/")
    return Catalog(builtin_registry()).by_version[group, name][plural]


def _stored(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return an object as a create leaves it."""
    copied = orjson.loads(orjson.dumps(obj))
    found = decode_object(resource, copied)[0]
    resource.hooks.default(found)
    found["metadata"] |= {"uid": "u", "creationTimestamp": _NOW, "resourceVersion": "7"}
    found["metadata"]["managedFields"] = orjson.Fragment(b"[]")
    return found


def _plain(obj: JsonObject) -> Any:
    return orjson.loads(orjson.dumps(obj))


def _by_the_whole(
    resource: Resource, old: JsonObject, patch: JsonObject, *, strategic: bool
) -> Any:
    copied = _plain(old)
    del copied["metadata"]["managedFields"]
    merged = _merged(resource, copied, patch, strategic=strategic)
    made, decoded = decode_object(resource, merged)
    resource.hooks.default(made)
    return None if decoded.unknown else made


def _prepared(resource: Resource, made: JsonObject, old: JsonObject) -> object:
    """Return what would be stored, in its order, or why it is not."""
    made["metadata"].setdefault("resourceVersion", "7")
    try:
        return orjson.dumps(prepare_status(resource, made, old, _NOW))
    except StatusError as error:
        return error.message


def _merged(resource: Resource, obj: JsonObject, patch: JsonObject, *, strategic: bool) -> Any:
    if not strategic:
        return merge_patch(obj, patch)
    return strategic_merge(obj, patch, builtin_schemas().struct(resource.info.schema_name))


@pytest.mark.parametrize("strategic", [False, True])
@pytest.mark.parametrize("patch", _PATCHES, ids=lambda one: orjson.dumps(one).decode())
@pytest.mark.parametrize(
    ("version", "plural", "obj"),
    [
        ("v1", "pods", _POD),
        ("v1", "nodes", _NODE),
        ("policy/v1", "poddisruptionbudgets", _BUDGET),
    ],
)
def test_a_status_patched_alone_is_that_of_the_whole_object(
    version: str, plural: str, obj: JsonObject, patch: JsonObject, *, strategic: bool
) -> None:
    resource = _resource(version, plural)
    old = _stored(resource, obj)
    before = _plain(old)
    assert is_of_status(resource, patch)
    alone = with_status(
        resource, old, patch, lambda one: _merged(resource, one, patch, strategic=strategic)
    )
    whole = _by_the_whole(resource, old, patch, strategic=strategic)
    # What leaves nothing of a part is looked at as a whole, too.
    assert (alone is None) == (whole is None or None in patch.values())
    if alone is not None and whole is not None:
        assert _prepared(resource, alone, old) == _prepared(resource, whole, old)
    assert _plain(old) == before


@pytest.mark.parametrize(
    ("version", "plural", "patch"),
    [
        ("v1", "pods", {"status": {}, "spec": {}}),
        ("v1", "pods", {"kind": "Pod", "status": {}}),
        ("v1", "pods", {"$patch": "replace", "status": {}}),
        ("v1", "pods", []),
        ("apps/v1", "deployments", {"status": {}}),
        ("certificates.k8s.io/v1", "certificatesigningrequests", {"status": {}}),
    ],
)
def test_other_patches_are_applied_to_the_whole_object(
    version: str, plural: str, patch: JsonObject
) -> None:
    assert not is_of_status(_resource(version, plural), patch)


async def _ask(server: InProcess, method: str, path: str, body: Any, **headers: str) -> JsonObject:
    given = request(method, path, orjson.dumps(body), **headers)
    (answer,) = await server.answers([given])
    found: JsonObject = orjson.loads(answer)
    return found


def test_an_unknown_field_of_a_status_is_told_as_ever() -> None:
    async def run() -> None:
        async with in_process() as server:
            json = {"Content_Type": "application/json"}
            merge = {"Content_Type": "application/merge-patch+json"}
            await _ask(server, "POST", "/api/v1/nodes", _NODE, **json)
            path = "/api/v1/nodes/one/status"
            patch = {"status": {"nodeInfo": {"machineID": "m", "none": 1}}}
            with pytest.raises(Refusal, match=r"422 .* is invalid: patch: Invalid value"):
                await _ask(server, "PATCH", f"{path}?fieldValidation=Strict", patch, **merge)

    asyncio.run(run())


def test_a_patched_status_leaves_the_rest_as_it_was() -> None:
    async def run() -> None:
        async with in_process() as server:
            json = {"Content_Type": "application/json"}
            merge = {"Content_Type": "application/merge-patch+json"}
            made = await _ask(server, "POST", "/api/v1/nodes", _NODE, **json)
            patch = {"metadata": {"uid": made["metadata"]["uid"]}, "status": {"phase": "Running"}}
            found = await _ask(server, "PATCH", "/api/v1/nodes/one/status", patch, **merge)
            assert found["spec"] == made["spec"]
            assert found["status"]["phase"] == "Running"
            managers = found["metadata"]["managedFields"]
            assert [one.get("subresource", "") for one in managers] == ["", "status"]
            assert managers[1]["fieldsV1"] == {"f:status": {"f:phase": {}}}

    asyncio.run(run())

"""Types that upstream puts through the steps that all of them share."""

from __future__ import annotations

from typing import Any, Final

from conformance.crud import Crud, check_crud
from conformance.registry import case
from conformance.stage import Stage
from kube.json_types import JsonObject

_DRA: Final = "resource.k8s.io/v1"
_TEST: Final[JsonObject] = {
    "type": "TestCondition",
    "status": "True",
    "reason": "TestReason",
    "message": "TestMessage",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def _label(name: str) -> tuple[JsonObject, list[JsonObject]]:
    operation = {"op": "add", "path": f"/metadata/labels/{name}", "value": "test"}
    return {"metadata": {"labels": {name: "test"}}}, [operation]


def _conditions() -> tuple[JsonObject, list[JsonObject]]:
    operation = {"op": "add", "path": "/status/conditions", "value": [_TEST]}
    return {"status": {"conditions": [_TEST]}}, [operation]


@case(
    "[sig-api-machinery] StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 "
    "StorageVersionMigration [Conformance]"
)
async def migrations(stage: Stage) -> None:
    """A migration is of the whole cluster; only its status changes."""
    spec, operations = _label("test.storagemigration.example.com")
    status, status_operations = _conditions()
    initial = {"spec": {"resource": {"group": "", "resource": "foo"}}}
    steps = Crud(initial, spec, operations, status, status_operations)
    resource = stage.cluster(
        "storagemigration.k8s.io/v1", "storageversionmigrations", "StorageVersionMigration"
    )
    await check_crud(stage, resource, steps)


@case("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]")
async def device_classes(stage: Stage) -> None:
    """A class selects devices by an expression."""
    selector: Any = [{"cel": {"expression": "true"}}]
    operation = {"op": "add", "path": "/spec/selectors", "value": selector}
    steps = Crud({"spec": {}}, {"spec": {"selectors": selector}}, [operation])
    await check_crud(stage, stage.cluster(_DRA, "deviceclasses", "DeviceClass"), steps)


@case("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceTaintRule [Conformance]")
async def taint_rules(stage: Stage) -> None:
    """A rule taints devices, and tells what it has done."""
    taint = {"key": "example.com/taint", "value": "tainted", "effect": "NoSchedule"}
    initial = {"spec": {"deviceSelector": {"driver": "dra.example.com"}, "taint": taint}}
    change = {"spec": {"taint": {"value": "changed"}}}
    operation = {"op": "replace", "path": "/spec/taint/value", "value": "changed"}
    status, status_operations = _conditions()
    whole = {"spec": {"deviceSelector": {"driver": "dra.example.com"}}}
    whole["spec"]["taint"] = {**taint, **change["spec"]["taint"]}
    steps = Crud(initial, whole, [operation], status, status_operations)
    await check_crud(stage, stage.cluster(_DRA, "devicetaintrules", "DeviceTaintRule"), steps)


def _claim() -> JsonObject:
    request = {"name": "req-0", "exactly": {"deviceClassName": "example-class"}}
    return {"devices": {"requests": [request]}}


@case("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]")
async def claims(stage: Stage) -> None:
    """A claim's spec is fixed; its status tells what was allocated."""
    spec, operations = _label("test.resourceclaim.example.com")
    result = {"request": "req-0", "driver": "dra.example.com", "pool": "pool-a", "device": "dev-0"}
    allocation: Any = {"devices": {"results": [result]}}
    status: Any = {"status": {"allocation": allocation}}
    operation = {"op": "add", "path": "/status", "value": {"allocation": allocation}}
    steps = Crud({"spec": _claim()}, spec, operations, status, [operation])
    await check_crud(stage, stage.of(_DRA, "resourceclaims", "ResourceClaim"), steps)


@case("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]")
async def claim_templates(stage: Stage) -> None:
    """A template's spec is fixed."""
    spec, operations = _label("test.resourceclaimtemplate.example.com")
    steps = Crud({"spec": {"spec": _claim()}}, spec, operations)
    resource = stage.of(_DRA, "resourceclaimtemplates", "ResourceClaimTemplate")
    await check_crud(stage, resource, steps)


@case("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]")
async def slices(stage: Stage) -> None:
    """A slice tells of a driver's devices."""
    pool = {"name": "cluster", "resourceSliceCount": 1}
    devices = [{"name": "device"}]
    initial = {
        "spec": {"driver": "dra.example.com", "pool": pool, "allNodes": True, "devices": devices}
    }
    whole: Any = {**initial["spec"], "pool": {**pool, "generation": 1}}
    operation = {"op": "add", "path": "/spec/pool/generation", "value": 1}
    steps = Crud(initial, {"spec": whole}, [operation])
    await check_crud(stage, stage.cluster(_DRA, "resourceslices", "ResourceSlice"), steps)

"""resource.k8s.io/v1beta1's shapes of claims and slices; v1beta2 and v1 are alike.

v1beta1                                  v1
requests[i].{deviceClassName, ...}       requests[i].exactly.{deviceClassName, ...}
devices[i].basic.{attributes, ...}       devices[i].{attributes, ...}
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

_OWN: Final = frozenset({"name", "firstAvailable", "exactly"})


def _request_to_v1(request: JsonObject) -> JsonObject:
    exact = {key: value for key, value in request.items() if key not in _OWN}
    shaped = {key: value for key, value in request.items() if key in _OWN}
    if exact and not request.get("firstAvailable"):
        shaped["exactly"] = exact
    return shaped


def _request_from_v1(request: JsonObject) -> JsonObject:
    shaped = {key: value for key, value in request.items() if key != "exactly"}
    return {**shaped, **(request.get("exactly") or {})}


def _device_to_v1(device: JsonObject) -> JsonObject:
    shaped = {key: value for key, value in device.items() if key != "basic"}
    return {**shaped, **(device.get("basic") or {})}


def _device_from_v1(device: JsonObject) -> JsonObject:
    basic = {key: value for key, value in device.items() if key != "name"}
    return {"name": device.get("name", ""), "basic": basic}


def _with_requests(spec: JsonObject, *, to_v1: bool) -> JsonObject:
    devices = spec.get("devices") or {}
    if not devices.get("requests"):
        return spec
    convert = _request_to_v1 if to_v1 else _request_from_v1
    requests = [convert(request) for request in devices["requests"]]
    return {**spec, "devices": {**devices, "requests": requests}}


def claim_to_v1(obj: JsonObject) -> JsonObject:
    """Return v1's shape of a v1beta1 ResourceClaim."""
    return {**obj, "spec": _with_requests(obj.get("spec", {}), to_v1=True)}


def claim_from_v1(obj: JsonObject) -> JsonObject:
    """Return v1beta1's shape of a ResourceClaim."""
    return {**obj, "spec": _with_requests(obj.get("spec", {}), to_v1=False)}


def template_to_v1(obj: JsonObject) -> JsonObject:
    """Return v1's shape of a v1beta1 ResourceClaimTemplate."""
    spec = obj.get("spec", {})
    return {**obj, "spec": {**spec, "spec": _with_requests(spec.get("spec", {}), to_v1=True)}}


def template_from_v1(obj: JsonObject) -> JsonObject:
    """Return v1beta1's shape of a ResourceClaimTemplate."""
    spec = obj.get("spec", {})
    return {**obj, "spec": {**spec, "spec": _with_requests(spec.get("spec", {}), to_v1=False)}}


def slice_to_v1(obj: JsonObject) -> JsonObject:
    """Return v1's shape of a v1beta1 ResourceSlice."""
    spec = obj.get("spec", {})
    if not spec.get("devices"):
        return obj
    devices = [_device_to_v1(device) for device in spec["devices"]]
    return {**obj, "spec": {**spec, "devices": devices}}


def slice_from_v1(obj: JsonObject) -> JsonObject:
    """Return v1beta1's shape of a ResourceSlice."""
    spec = obj.get("spec", {})
    if not spec.get("devices"):
        return obj
    devices = [_device_from_v1(device) for device in spec["devices"]]
    return {**obj, "spec": {**spec, "devices": devices}}

"""Dynamic resource allocation (resource.k8s.io): basic rules; claims' specs never change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.types.formats import is_dns1123_label, is_dns1123_subdomain
from apiserver.types.hooks import TypeHooks, keep_metadata
from apiserver.types.meta import check_string, validate_immutable
from kube import times
from kube.field import FieldError, duplicate, invalid, required, too_many
from kube.json_types import JsonObject
from runtime.clock import SystemClock

GROUP: Final = "resource.k8s.io"
REQUESTS_MAX: Final = 32
_CLOCK: Final = SystemClock()
_ONE_OF: Final = "exactly one of `exactly` or `firstAvailable` must be specified"


def _exact_requests(spec: JsonObject) -> Iterator[JsonObject]:
    for request in (spec.get("devices") or {}).get("requests") or ():
        if request.get("exactly") is not None:
            yield request["exactly"]
        yield from request.get("firstAvailable") or ()


def _default_spec(spec: JsonObject) -> None:
    for request in _exact_requests(spec):
        if not request.get("allocationMode"):
            request["allocationMode"] = "ExactCount"
        if request["allocationMode"] == "ExactCount" and not request.get("count"):
            request["count"] = 1
        for toleration in request.get("tolerations") or ():
            if not toleration.get("operator"):
                toleration["operator"] = "Equal"


def default_claim(obj: JsonObject) -> None:
    """Default a claim's requests to one device."""
    _default_spec(obj.setdefault("spec", {}))


def default_template(obj: JsonObject) -> None:
    """Default the requests of the claims a template makes."""
    _default_spec(obj.setdefault("spec", {}).setdefault("spec", {}))


def _default_taint(taint: JsonObject) -> None:
    if not taint.get("timeAdded"):
        taint["timeAdded"] = times.format_seconds(int(_CLOCK.now_s()))


def default_rule(obj: JsonObject) -> None:
    """Note since when a rule's taint is there (SetDefaults_DeviceTaint)."""
    if (taint := obj.setdefault("spec", {}).get("taint")) is not None:
        _default_taint(taint)


def default_slice(obj: JsonObject) -> None:
    """Note since when devices' taints are there."""
    for device in obj.setdefault("spec", {}).get("devices") or ():
        for taint in device.get("taints") or ():
            _default_taint(taint)


def _request_errors(request: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := request.get("name"):
        errors += check_string(name, f"{path}.name", is_dns1123_label)
    else:
        errors.append(required(f"{path}.name"))
    exact, first = request.get("exactly"), request.get("firstAvailable")
    if exact is not None and first:
        errors.append(invalid(path, None, _ONE_OF))
    elif exact is None and not first:
        errors.append(required(path, _ONE_OF))
    options = [(exact, f"{path}.exactly")] if exact is not None else []
    options += [(one, f"{path}.firstAvailable[{i}]") for i, one in enumerate(first or ())]
    for option, where in options:
        if device_class := option.get("deviceClassName"):
            errors += check_string(device_class, f"{where}.deviceClassName", is_dns1123_subdomain)
        else:
            errors.append(required(f"{where}.deviceClassName"))
    return errors


def _spec_errors(spec: JsonObject, path: str) -> list[FieldError]:
    requests = (spec.get("devices") or {}).get("requests") or []
    where = f"{path}.devices.requests"
    errors: list[FieldError] = []
    if len(requests) > REQUESTS_MAX:
        errors.append(too_many(where, len(requests), REQUESTS_MAX))
    names: set[str] = set()
    for index, request in enumerate(requests):
        errors += _request_errors(request, f"{where}[{index}]")
        name = request.get("name", "")
        if name in names:
            errors.append(duplicate(f"{where}[{index}].name", name))
        names.add(name)
    return errors


def validate_claim(obj: JsonObject) -> list[FieldError]:
    """Check a ResourceClaim."""
    return _spec_errors(obj.get("spec", {}), "spec")


def validate_template(obj: JsonObject) -> list[FieldError]:
    """Check a ResourceClaimTemplate."""
    return _spec_errors(obj.get("spec", {}).get("spec", {}), "spec.spec")


def _same_spec(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return validate_immutable(new.get("spec"), old.get("spec"), "spec")


def _clear_status(obj: JsonObject) -> None:
    obj.pop("status", None)


def validate_slice(obj: JsonObject) -> list[FieldError]:
    """Check a ResourceSlice: a driver, a pool, and devices named once."""
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    if driver := spec.get("driver"):
        errors += check_string(driver, "spec.driver", is_dns1123_subdomain)
    else:
        errors.append(required("spec.driver"))
    pool = spec.get("pool", {})
    if not pool.get("name"):
        errors.append(required("spec.pool.name"))
    if pool.get("resourceSliceCount", 0) <= 0:
        path = "spec.pool.resourceSliceCount"
        errors.append(invalid(path, pool.get("resourceSliceCount", 0), "must be greater than zero"))
    names: set[str] = set()
    for index, device in enumerate(spec.get("devices") or ()):
        path, name = f"spec.devices[{index}].name", device.get("name", "")
        errors += check_string(name, path, is_dns1123_label) if name else [required(path)]
        if name in names:
            errors.append(duplicate(path, name))
        names.add(name)
    return errors


def validate_slice_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a ResourceSlice that is to replace `old`: where it is from stays."""
    after, before = new.get("spec", {}), old.get("spec", {})
    errors = validate_slice(new)
    errors += validate_immutable(after.get("driver"), before.get("driver"), "spec.driver")
    key = "nodeName"
    if key in before or key in after:
        errors += validate_immutable(after.get(key), before.get(key), f"spec.{key}")
    return errors


def _spec_text(key: str, obj: JsonObject) -> str:
    return str(obj.get("spec", {}).get(key, ""))


HOOKS: Final = {
    f"{GROUP}/resourceclaims": TypeHooks(
        default=default_claim,
        prepare_create=_clear_status,
        validate_create=validate_claim,
        validate_update=lambda new, old: _same_spec(new, old) + validate_claim(new),
        has_status=True,
        prepare_status=keep_metadata,
    ),
    f"{GROUP}/resourceclaimtemplates": TypeHooks(
        default=default_template,
        validate_create=validate_template,
        validate_update=lambda new, old: _same_spec(new, old) + validate_template(new),
    ),
    f"{GROUP}/resourceslices": TypeHooks(
        default=default_slice,
        validate_create=validate_slice,
        validate_update=validate_slice_update,
        fields={
            "spec.driver": lambda obj: _spec_text("driver", obj),
            "spec.nodeName": lambda obj: _spec_text("nodeName", obj),
        },
        generation=True,
    ),
    f"{GROUP}/deviceclasses": TypeHooks(generation=True),
    f"{GROUP}/devicetaintrules": TypeHooks(default=default_rule, generation=True, has_status=True),
}

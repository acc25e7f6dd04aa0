"""LimitRange: defaults that follow from its own bounds, and their consistency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.types.core.resources import validate_resource_name
from apiserver.types.formats import is_qualified_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string
from apiserver.types.pods.quantities import nanos
from apiserver.types.pods.resource_names import (
    allows_overcommit,
    is_extended,
    is_native,
    is_standard_for_containers,
)
from kube.field import FieldError, duplicate, forbidden, invalid, required
from kube.json_types import JsonObject

_NANOS: Final = 1_000_000_000
_TYPES: Final = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
_LISTS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(obj: JsonObject) -> None:
    """Derive a container's default limit from max, and its default request from that or min."""
    for limit in obj.get("spec", {}).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        limits = (limit.get("max") or {}) | (limit.get("default") or {})
        requests = (limit.get("min") or {}) | limits | (limit.get("defaultRequest") or {})
        if limits:
            limit["default"] = limits
        if requests:
            limit["defaultRequest"] = requests


def _type_errors(kind: str, path: str) -> list[FieldError]:
    if errors := check_string(kind, path, is_qualified_name):
        return errors
    if "/" not in kind and kind not in _TYPES:
        return [invalid(path, kind, "must be a standard limit type or fully qualified")]
    return []


def _name_errors(kind: str, name: str, path: str) -> list[FieldError]:
    errors = validate_resource_name(name, path)
    if kind not in {"Pod", "Container"}:
        return errors
    if "/" not in name:
        if not is_standard_for_containers(name):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return errors


def _order_errors(limit: JsonObject, name: str, path: str) -> Iterator[FieldError]:
    """Yield what is out of order: min <= default request <= default limit <= max."""
    amounts = {key: (limit.get(key) or {}).get(name) for key in _LISTS}
    low, high = amounts["min"], amounts["max"]
    request, standard = amounts["defaultRequest"], amounts["default"]
    # (lower, upper, what the lower and upper are called, where, the value shown)
    orders = (
        (low, high, "min value", "max value", "min", low),
        (low, request, "min value", "default request value", "defaultRequest", request),
        (request, high, "default request value", "max value", "defaultRequest", request),
        (
            request,
            standard,
            "default request value",
            "default limit value",
            "defaultRequest",
            request,
        ),
        (low, standard, "min value", "default value", "default", low),
        (standard, high, "default value", "max value", "default", high),
    )
    for lower, upper, lower_name, upper_name, key, shown in orders:
        if lower is not None and upper is not None and nanos(lower) > nanos(upper):
            text = f"{lower_name} {lower} is greater than {upper_name} {upper}"
            yield invalid(f"{path}.{key}[{name}]", shown, text)
    yield from _ratio_errors(amounts["maxLimitRequestRatio"], low, high, f"{path}.", name)
    unequal = standard is not None and request is not None and nanos(standard) != nanos(request)
    if unequal and not allows_overcommit(name):
        text = f"default value {standard} must equal to defaultRequest value {request} in {name}"
        yield invalid(f"{path}.defaultRequest[{name}]", request, text)


def _ratio_errors(
    ratio: str | None, low: str | None, high: str | None, prefix: str, name: str
) -> Iterator[FieldError]:
    if ratio is None:
        return
    path = f"{prefix}maxLimitRequestRatio[{name}]"
    if nanos(ratio) < _NANOS:
        yield invalid(path, ratio, f"ratio {ratio} is less than 1")
    if low is not None and high is not None and nanos(low) > 0:
        bound = nanos(high) / nanos(low)
        if nanos(ratio) / _NANOS > bound:
            text = f"ratio {ratio} is greater than max/min = {bound:f}"
            yield invalid(path, ratio, text)


def _limit_errors(limit: JsonObject, path: str) -> list[FieldError]:
    kind = limit.get("type", "")
    errors = _type_errors(kind, f"{path}.type")
    lists: tuple[str, ...] = _LISTS
    if kind == "Pod":
        lists = ("max", "min", "maxLimitRequestRatio")
        errors.extend(
            forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
            for key in ("default", "defaultRequest")
            if limit.get(key)
        )
    names: dict[str, None] = {}
    for key in lists:
        for name in limit.get(key) or {}:
            names[name] = None
            errors += _name_errors(kind, name, f"{path}.{key}[{name}]")
    bounds = (limit.get("min") or {}) | (limit.get("max") or {})
    if kind == "PersistentVolumeClaim" and "storage" not in bounds:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", text))
    for name in names:
        errors += _order_errors(limit, name, path)
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a LimitRange."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, limit in enumerate(obj.get("spec", {}).get("limits") or ()):
        path = f"spec.limits[{index}]"
        errors += _limit_errors(limit, path)
        kind = limit.get("type", "")
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
    return errors


def validate_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check a LimitRange that replaces another."""
    return validate(new)


HOOKS: Final = {
    "limitranges": TypeHooks(
        default=default, validate_create=validate, validate_update=validate_update
    )
}

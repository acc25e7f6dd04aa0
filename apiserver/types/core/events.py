"""Event: kept for an hour; stored in the core shape, whichever group it came through.

The core group checks little, for old clients' sake; `events.k8s.io` is strict: its writes must pass
`validate_create_strict` and `validate_update_strict` (see `conversion.version_checks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apiserver.types.formats import (
    byte_length,
    is_dns1123_subdomain,
    is_qualified_name,
    name_is_dns_subdomain,
    name_is_path_segment,
)
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_immutable, validate_object_meta
from kube.field import FieldError, invalid, required
from kube.json_types import JsonObject

TTL_S: Final = 3600
_MISMATCH: Final = "does not match event.namespace"
_TEXT_BYTES_MAX: Final = {"reportingInstance": 128, "action": 128, "reason": 128}
_NOTE_BYTES_MAX: Final = 1024
_IMMUTABLE: Final = (
    ("involvedObject", None),
    ("reason", ""),
    ("message", ""),
    ("source", None),
    ("firstTimestamp", None),
    ("lastTimestamp", None),
    ("count", 0),
    ("type", ""),
    ("eventTime", None),
    ("action", ""),
    ("related", None),
    ("reportingComponent", ""),
    ("reportingInstance", ""),
)
# Where upstream's errors name a field by its newer name.
_RENAMED: Final = {"reportingComponent": "reportingController"}


def _required_text(obj: JsonObject, field: str) -> list[FieldError]:
    limit = _TEXT_BYTES_MAX[field]
    value = obj.get(field, "")
    if not value:
        return [required(field)]
    if byte_length(value) > limit:
        return [invalid(field, "", f"can have at most {limit} characters")]
    return []


def _dated_errors(obj: JsonObject, namespace: str, involved: str) -> list[FieldError]:
    """Return the faults of an event that has an eventTime, as all new ones have."""
    errors: list[FieldError] = []
    if not involved and namespace not in {"default", "kube-system"}:
        errors.append(invalid("involvedObject.namespace", involved, _MISMATCH))
    controller = obj.get("reportingComponent", "")
    if not controller:
        errors.append(required("reportingController"))
    errors += check_string(controller, "reportingController", is_qualified_name)
    for field in _TEXT_BYTES_MAX:
        errors += _required_text(obj, field)
    if byte_length(obj.get("message", "")) > _NOTE_BYTES_MAX:
        errors.append(invalid("message", "", f"can have at most {_NOTE_BYTES_MAX} characters"))
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check what every event must keep to."""
    namespace = obj.get("metadata", {}).get("namespace", "")
    involved = obj.get("involvedObject", {}).get("namespace", "")
    errors: list[FieldError] = []
    if obj.get("eventTime"):
        errors += _dated_errors(obj, namespace, involved)
    elif (involved and namespace != involved) or (
        not involved and namespace not in {"", "default"}
    ):
        errors.append(invalid("involvedObject.namespace", involved, _MISMATCH))
    return errors + check_string(namespace, "namespace", is_dns1123_subdomain)


def validate_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check an event that replaces another, through the core group."""
    return validate(new)


def _series_errors(obj: JsonObject) -> list[FieldError]:
    series = obj.get("series")
    if series is None:
        return []
    errors: list[FieldError] = []
    if series.get("count", 0) < 2:
        errors.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(required("series.lastObservedTime"))
    return errors


def validate_create_strict(obj: JsonObject) -> list[FieldError]:
    """Check a new event that comes through events.k8s.io."""
    errors = validate_object_meta(
        obj.get("metadata", {}), namespaced=True, name_check=name_is_dns_subdomain
    )
    errors += _series_errors(obj)
    if not obj.get("eventTime"):
        errors.append(required("eventTime"))
    kind = obj.get("type", "")
    if kind not in {"Normal", "Warning"}:
        errors.append(invalid("type", "", f"has invalid value: {kind}"))
    source = obj.get("source") or {}
    unwanted = {
        "firstTimestamp": obj.get("firstTimestamp"),
        "lastTimestamp": obj.get("lastTimestamp"),
        "count": obj.get("count"),
        "source": source.get("component") or source.get("host"),
    }
    errors.extend(
        invalid(field, "", "needs to be unset") for field, value in unwanted.items() if value
    )
    return errors


def validate_update_strict(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an event that replaces another, through events.k8s.io: only the series may change."""
    errors: list[FieldError] = []
    if new.get("series") != old.get("series"):
        errors += _series_errors(new)
    for field, zero in _IMMUTABLE:
        path = _RENAMED.get(field, field)
        errors += validate_immutable(new.get(field) or zero, old.get(field) or zero, path)
    return errors


def _involved(field: str) -> Callable[[JsonObject], str]:
    return lambda obj: str(obj.get("involvedObject", {}).get(field, ""))


def _top(field: str) -> Callable[[JsonObject], str]:
    return lambda obj: str(obj.get(field, ""))


def _source(obj: JsonObject) -> str:
    component = (obj.get("source") or {}).get("component", "")
    return str(component or obj.get("reportingComponent", ""))


_INVOLVED: Final = (
    "kind",
    "namespace",
    "name",
    "uid",
    "apiVersion",
    "resourceVersion",
    "fieldPath",
)

HOOKS: Final = {
    "events": TypeHooks(
        validate_create=validate,
        validate_update=validate_update,
        # Old clients put timestamps and all sorts into events' names; only the URL must stand.
        name_check=name_is_path_segment,
        fields={
            **{f"involvedObject.{field}": _involved(field) for field in _INVOLVED},
            "reason": _top("reason"),
            "reportingComponent": _top("reportingComponent"),
            "source": _source,
            "type": _top("type"),
        },
        allow_create_on_update=True,
        ttl_s=TTL_S,
    )
}

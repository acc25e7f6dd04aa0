"""APIService: which server answers for a group's version."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import (
    is_dns1035_label,
    is_dns1123_subdomain,
    is_valid_port_num,
    name_is_path_segment,
)
from apiserver.types.hooks import TypeHooks, keep_metadata
from apiserver.types.meta import check_string
from kube.field import FieldError, invalid, quote, required
from kube.json_types import JsonObject

GROUP_PRIORITY_MAX: Final = 20_000
VERSION_PRIORITY_MAX: Final = 1000
_LOCAL: Final = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


def default(obj: JsonObject) -> None:
    """Default the service's port."""
    service = obj.get("spec", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def prepare_create(obj: JsonObject) -> None:
    """Start without a status; what this server serves itself is available at once."""
    local = obj.get("spec", {}).get("service") is None
    since = obj["metadata"].get("creationTimestamp")
    obj["status"] = {"conditions": [{**_LOCAL, "lastTransitionTime": since}]} if local else {}


def _priority_errors(spec: JsonObject, key: str, highest: int) -> list[FieldError]:
    value = spec.get(key, 0)
    if 0 < value <= highest:
        return []
    return [invalid(f"spec.{key}", value, f"must be positive and less than {highest}")]


def _name_errors(obj: JsonObject, spec: JsonObject) -> list[FieldError]:
    name = obj.get("metadata", {}).get("name", "")
    version, group = spec.get("version", ""), spec.get("group", "")
    wanted = f"{version}.{group}"
    errors: list[FieldError] = []
    if name != wanted:
        text = f'must be `spec.version+"."+spec.group`: {quote(wanted)}'
        errors.append(invalid("metadata.name", name, text))
    if group:
        errors += check_string(group, "spec.group", is_dns1123_subdomain)
    elif version != "v1":
        errors.append(
            required("spec.group", "only v1 may have an empty group and it better be legacy kube")
        )
    return errors + check_string(version, "spec.version", is_dns1035_label)


def validate(obj: JsonObject) -> list[FieldError]:
    """Check an APIService."""
    spec = obj.get("spec", {})
    errors = _name_errors(obj, spec)
    errors += _priority_errors(spec, "groupPriorityMinimum", GROUP_PRIORITY_MAX)
    errors += _priority_errors(spec, "versionPriority", VERSION_PRIORITY_MAX)
    service, bundle = spec.get("service"), spec.get("caBundle")
    insecure = spec.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            text = "local APIServices may not have a caBundle"
            errors.append(invalid("spec.caBundle", f"{len(bundle) * 3 // 4} bytes", text))
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid("spec.insecureSkipTLSVerify", insecure, text))
        return errors
    errors.extend(
        required(f"spec.service.{key}") for key in ("namespace", "name") if not service.get(key)
    )
    port = service.get("port", 443)
    if is_valid_port_num(port):
        text = "port is not valid: must be between 1 and 65535, inclusive"
        errors.append(invalid("spec.service.port", port, text))
    if insecure and bundle:
        text = "may not be true if caBundle is present"
        errors.append(invalid("spec.insecureSkipTLSVerify", insecure, text))
    return errors


HOOKS: Final = {
    "apiregistration.k8s.io/apiservices": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        validate_update=lambda new, _old: validate(new),
        name_check=name_is_path_segment,
        has_status=True,
        prepare_status=keep_metadata,
        allow_unconditional_update=False,
    )
}

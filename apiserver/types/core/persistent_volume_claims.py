"""PersistentVolumeClaim: immutable but for its size, and what a resize may do."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_label, is_dns1123_subdomain, is_qualified_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_immutable
from apiserver.types.pods.claim_specs import check_claim_spec
from apiserver.types.pods.quantities import nanos
from apiserver.types.pods.resource_names import is_native
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

RESIZE_STATUSES: Final = (
    "ControllerResizeFailed",
    "ControllerResizeInProgress",
    "NodeResizeFailed",
    "NodeResizeInProgress",
    "NodeResizePending",
)
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_CLAIM: Final = "PersistentVolumeClaim"
_ATTRIBUTES: Final = "volumeAttributesClassName"


def default(obj: JsonObject) -> None:
    """Fill in a claim's defaults."""
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"


def _align_sources(spec: JsonObject) -> None:
    """Make dataSource and dataSourceRef say the same, where only one is given."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif source is None and reference is not None and not reference.get("namespace"):
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}


def prepare_create(obj: JsonObject) -> None:
    """Start pending, both names of the data source agreeing."""
    obj["status"] = {"phase": "Pending"}
    _align_sources(obj.setdefault("spec", {}))


def prepare_update(new: JsonObject, _old: JsonObject) -> None:
    """Make both names of the data source agree."""
    _align_sources(new.setdefault("spec", {}))


def _source_errors(source: JsonObject, path: str) -> list[FieldError]:
    errors = [required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    if not group and kind != _CLAIM:
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(path, kind, text))
    if group:
        errors += check_string(group, f"{path}.apiGroup", is_dns1123_subdomain)
    if namespace := source.get("namespace"):
        errors += check_string(namespace, f"{path}.namespace", is_dns1123_label)
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a claim."""
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    check_claim_spec(spec, "spec", errors)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        errors += _source_errors(source, "spec.dataSource")
    if reference is not None:
        errors += _source_errors(reference, "spec.dataSourceRef")
    if source is None or reference is None:
        return errors
    keys = ("apiGroup", "kind", "name")
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        errors.append(invalid("spec", "spec.dataSource", text))
    elif any(source.get(key) != reference.get(key) for key in keys):
        errors.append(invalid("spec", "spec.dataSource", "must match dataSourceRef"))
    return errors


def _storage(spec: JsonObject) -> str | None:
    amount: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return amount


def _class_may_be_named(new: JsonObject, old: JsonObject) -> bool:
    """Whether the storage class is being filled in where there was none, or but an annotation."""
    name, before = new.get("spec", {}).get("storageClassName"), old.get("spec", {})
    if name is None or before.get("storageClassName") is not None:
        return False
    annotation = (old.get("metadata", {}).get("annotations") or {}).get(_BETA_CLASS)
    return annotation is None or annotation == name


def _fixed_part(obj: JsonObject, *, bound: bool) -> JsonObject:
    """Return the spec without what an update may change."""
    spec = {key: value for key, value in obj.get("spec", {}).items() if key != _ATTRIBUTES}
    if bound and (resources := spec.get("resources")):
        requests = dict(resources.get("requests") or {})
        requests.pop("storage", None)
        spec["resources"] = {**resources, "requests": requests}
    return spec


def _change_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    bound = new.get("status", {}).get("phase") == "Bound"
    after, before = _fixed_part(new, bound=bound), _fixed_part(old, bound=bound)
    if not before.get("volumeName"):
        # A volume is bound to the claim once, by the binder.
        before.pop("volumeName", None)
        after.pop("volumeName", None)
    if _class_may_be_named(new, old):
        after.pop("storageClassName", None)
    if after == before:
        return []
    text = (
        "spec is immutable after creation except resources.requests and "
        "volumeAttributesClassName for bound claims"
    )
    return [forbidden("spec", text)]


def _resize_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    size, before = _storage(new.get("spec", {})), _storage(old.get("spec", {}))
    if size is None or before is None or nanos(size) >= nanos(before):
        return []
    # A failed expansion may be taken back, but never below what there is.
    capacity = (old.get("status", {}).get("capacity") or {}).get("storage", "0")
    if nanos(size) > nanos(capacity):
        return []
    text = "field can not be less than status.capacity"
    return [forbidden("spec.resources.requests.storage", text)]


def _attribute_errors(spec: JsonObject, before: JsonObject) -> list[FieldError]:
    if before.get(_ATTRIBUTES) is None:
        return []
    name = spec.get(_ATTRIBUTES)
    if name is None:
        text = "update from non-nil value to nil is forbidden"
    elif not name and before[_ATTRIBUTES]:
        text = "update from non-nil value to an empty string is forbidden"
    else:
        return []
    return [forbidden(f"spec.{_ATTRIBUTES}", text)]


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a claim that is to replace `old`."""
    spec, before = new.get("spec", {}), old.get("spec", {})
    errors = validate(new) + _change_errors(new, old) + _resize_errors(new, old)
    errors += validate_immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    return errors + _attribute_errors(spec, before)


def _status_name_errors(name: str, path: str) -> list[FieldError]:
    if errors := check_string(name, path, is_qualified_name):
        return errors
    if is_native(name) and name != "storage":
        return [not_supported(path, name, ("storage",))]
    return []


def _amount_errors(amounts: JsonObject | None, path: str) -> list[FieldError]:
    return [
        invalid(f"{path}[{name}]", nanos(quantity) // 10**9, "must be a valid resource quantity")
        for name, quantity in (amounts or {}).items()
        if nanos(quantity) < 0
    ]


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check a claim's status."""
    errors: list[FieldError] = []
    if not new.get("spec", {}).get("accessModes"):
        errors.append(required("Spec.accessModes"))
    status = new.get("status", {})
    errors += _amount_errors(status.get("capacity"), "status.capacity")
    path = "status.allocatedResourceStatus"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        errors += _status_name_errors(name, path)
        if state not in RESIZE_STATUSES:
            errors.append(not_supported(path, name, RESIZE_STATUSES))
    for name in status.get("allocatedResources") or {}:
        errors += _status_name_errors(name, "status.allocatedResources")
    return errors + _amount_errors(status.get("allocatedResources"), "status.allocatedResources")


HOOKS: Final = {
    "persistentvolumeclaims": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        prepare_update=prepare_update,
        validate_update=validate_update,
        validate_status=validate_status,
        has_status=True,
    )
}

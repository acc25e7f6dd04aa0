"""Checks of the PersistentVolumeClaims that ephemeral volumes of a pod are made from."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.meta import validate_annotations, validate_label_selector, validate_labels
from apiserver.types.pods.quantities import nanos
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES: Final = ("Block", "Filesystem")
# In upstream's order and spelling: the first letter of the Go name in lower case.
_NOT_IN_TEMPLATES: Final = {
    "name": "name",
    "generateName": "generateName",
    "namespace": "namespace",
    "selfLink": "selfLink",
    "uid": "uID",
    "resourceVersion": "resourceVersion",
    "generation": "generation",
    "creationTimestamp": "creationTimestamp",
    "deletionTimestamp": "deletionTimestamp",
    "deletionGracePeriodSeconds": "deletionGracePeriodSeconds",
    "ownerReferences": "ownerReferences",
    "finalizers": "finalizers",
    "managedFields": "managedFields",
}


def check_claim_template(template: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a claim template: labels and annotations are all the metadata it may have."""
    meta = template.get("metadata", {})
    where = f"{path}.metadata"
    errors += validate_annotations(meta.get("annotations"), f"{where}.annotations")
    errors += validate_labels(meta.get("labels"), f"{where}.labels")
    for name, shown in _NOT_IN_TEMPLATES.items():
        if meta.get(name) is not None:
            errors.append(forbidden(f"{where}.{shown}", "cannot be set"))
    check_claim_spec(template.get("spec", {}), f"{path}.spec", errors)


def check_claim_spec(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a PersistentVolumeClaimSpec."""
    modes = spec.get("accessModes", ())
    if not modes:
        text = "at least 1 access mode is required"
        errors.append(required(f"{path}.accessModes", text))
    errors += validate_label_selector(spec.get("selector"), f"{path}.selector")
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.append(not_supported(f"{path}.accessModes", mode, ACCESS_MODES))
    others = [mode for mode in modes if mode in ACCESS_MODES and mode != "ReadWriteOncePod"]
    if "ReadWriteOncePod" in modes and others:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(f"{path}.accessModes", text))
    _check_storage(spec, f"{path}.resources[storage]", errors)
    for key in ("storageClassName", "volumeAttributesClassName"):
        if name := spec.get(key):
            faults = is_dns1123_subdomain(name)
            errors.extend(invalid(f"{path}.{key}", name, fault) for fault in faults)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        errors.append(not_supported(f"{path}.volumeMode", mode, VOLUME_MODES))


def _check_storage(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    amount = spec.get("resources", {}).get("requests", {}).get("storage")
    if amount is None:
        errors.append(required(path))
    elif nanos(amount) <= 0:
        errors.append(invalid(path, amount, "must be greater than zero"))

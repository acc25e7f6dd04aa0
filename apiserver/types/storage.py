"""The storage.k8s.io group: classes, drivers, and where volumes are attached."""

from __future__ import annotations

from typing import Any, Final

from apiserver.types.core.persistent_volumes import driver_name_errors
from apiserver.types.formats import byte_length, is_dns1123_subdomain, is_qualified_name
from apiserver.types.hooks import TypeHooks, keep_metadata
from apiserver.types.meta import (
    check_string,
    validate_immutable,
    validate_label_selector,
    validate_nonnegative,
)
from apiserver.types.pods.quantities import nanos
from kube.field import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from kube.json_types import JsonObject

RECLAIM_POLICIES: Final = ("Delete", "Retain")
BINDING_MODES: Final = ("Immediate", "WaitForFirstConsumer")
FS_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES: Final = ("Ephemeral", "Persistent")
PARAMETERS_MAX: Final = 512
PARAMETERS_BYTES_MAX: Final = 256 * 1024
NODE_ID_BYTES_MAX: Final = 256
_ONE_SOURCE: Final = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_DRIVER_DEFAULTS: Final[dict[str, Any]] = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def default_class(obj: JsonObject) -> None:
    """Fill in a StorageClass's defaults."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _parameter_errors(parameters: JsonObject) -> list[FieldError]:
    if len(parameters) > PARAMETERS_MAX:
        return [too_long("parameters", PARAMETERS_MAX)]
    errors: list[FieldError] = []
    if "" in parameters:
        errors.append(invalid("parameters", "", "field can not be empty."))
    size = sum(byte_length(key) + byte_length(value) for key, value in parameters.items())
    if size > PARAMETERS_BYTES_MAX:
        errors.append(too_long("parameters", PARAMETERS_BYTES_MAX))
    return errors


def validate_class(obj: JsonObject) -> list[FieldError]:
    """Check a StorageClass."""
    provisioner = obj.get("provisioner", "")
    errors: list[FieldError] = []
    if not provisioner:
        errors.append(required("provisioner"))
    else:
        faults = is_qualified_name(provisioner.lower())
        errors.extend(invalid("provisioner", provisioner, fault) for fault in faults)
    errors += _parameter_errors(obj.get("parameters") or {})
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy and policy not in RECLAIM_POLICIES:
        errors.append(not_supported("reclaimPolicy", policy, RECLAIM_POLICIES))
    if mode is None:
        errors.append(required("volumeBindingMode"))
    elif mode not in BINDING_MODES:
        errors.append(not_supported("volumeBindingMode", mode, BINDING_MODES))
    return errors


def validate_class_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a StorageClass that is to replace `old`: next to nothing may change."""
    errors = [
        forbidden(key, f"updates to {key} are forbidden.")
        for key in ("parameters", "provisioner", "reclaimPolicy")
        if (new.get(key) or None) != (old.get(key) or None)
    ]
    key = "volumeBindingMode"
    return errors + validate_immutable(new.get(key), old.get(key), key)


def default_driver(obj: JsonObject) -> None:
    """Fill in a CSIDriver's defaults."""
    spec = obj.setdefault("spec", {})
    for key, value in _DRIVER_DEFAULTS.items():
        spec.setdefault(key, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _token_errors(requests: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience", "")
        if audience in audiences:
            errors.append(duplicate(f"{path}.audience", audience))
        audiences.add(audience)
        expiry_s = request.get("expirationSeconds")
        if expiry_s is not None and expiry_s < 600:
            text = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{path}.expirationSeconds", expiry_s, text))
        if expiry_s is not None and expiry_s > 1 << 32:
            text = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(f"{path}.expirationSeconds", expiry_s, text))
    return errors


def validate_driver(obj: JsonObject) -> list[FieldError]:
    """Check a CSIDriver."""
    spec = obj.get("spec", {})
    errors = driver_name_errors(obj.get("metadata", {}).get("name", ""), "metadata.name")
    errors.extend(
        required(f"spec.{key}")
        for key in ("attachRequired", "podInfoOnMount", "storageCapacity")
        if spec.get(key) is None
    )
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in FS_GROUP_POLICIES:
        errors.append(not_supported("spec.fsGroupPolicy", policy, FS_GROUP_POLICIES))
    errors += _token_errors(spec.get("tokenRequests") or [])
    errors.extend(
        not_supported("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
        for mode in spec.get("volumeLifecycleModes") or ()
        if mode not in LIFECYCLE_MODES
    )
    return errors


def validate_driver_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a CSIDriver that is to replace `old`."""
    after, before = new.get("spec", {}), old.get("spec", {})
    errors = validate_driver(new)
    # Upstream's paths have Go's names here.
    for key, path in (
        ("attachRequired", "spec.attachedRequired"),
        ("volumeLifecycleModes", "spec.volumeLifecycleModes"),
    ):
        errors += validate_immutable(after.get(key), before.get(key), path)
    return errors


def validate_csi_node(obj: JsonObject) -> list[FieldError]:
    """Check a CSINode: each driver once, with the node's id in its words."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, driver in enumerate(obj.get("spec", {}).get("drivers") or ()):
        path, name = f"spec.drivers[{index}]", driver.get("name", "")
        errors += driver_name_errors(name, f"{path}.name")
        node_id = driver.get("nodeID", "")
        if not node_id:
            errors.append(required(f"{path}.nodeID", node_id))
        elif byte_length(node_id) > NODE_ID_BYTES_MAX:
            text = f"must be {NODE_ID_BYTES_MAX} characters or less"
            errors.append(invalid(f"{path}.nodeID", node_id, text))
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None:
            errors += validate_nonnegative(count, f"{path}.allocatable.count")
        for key in driver.get("topologyKeys") or ():
            errors += check_string(key, f"{path}.topologyKeys", is_qualified_name)
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
    return errors


def prepare_attachment(obj: JsonObject) -> None:
    """Start detached."""
    obj["status"] = {"attached": False}


def validate_attachment(obj: JsonObject) -> list[FieldError]:
    """Check a VolumeAttachment."""
    spec = obj.get("spec", {})
    errors = driver_name_errors(spec.get("attacher", ""), "spec.attacher")
    source = spec.get("source", {})
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        errors.append(required("spec.source", _ONE_SOURCE))
    elif inline is not None and name is not None:
        errors.append(forbidden("spec.source", _ONE_SOURCE))
    elif name is not None and not name:
        text = "must specify non empty persistentVolumeName"
        errors.append(required("spec.source.persistentVolumeName", text))
    if not spec.get("nodeName"):
        errors.append(required("spec.nodeName"))
    else:
        errors += check_string(spec["nodeName"], "spec.nodeName", is_dns1123_subdomain)
    return errors


def validate_attachment_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a VolumeAttachment that is to replace `old`: its spec stays."""
    after, before = new.get("spec", {}), old.get("spec", {})
    return validate_attachment(new) + validate_immutable(after, before, "spec")


def validate_capacity(obj: JsonObject) -> list[FieldError]:
    """Check a CSIStorageCapacity."""
    name = obj.get("storageClassName", "")
    errors = check_string(name, "storageClassName", is_dns1123_subdomain)
    for key in ("capacity", "maximumVolumeSize"):
        amount = obj.get(key)
        if amount is not None and nanos(amount) < 0:
            errors.append(invalid(key, amount, "must be greater than or equal to 0"))
    return errors + validate_label_selector(obj.get("nodeTopology"), "nodeTopology")


def validate_capacity_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a CSIStorageCapacity that is to replace `old`."""
    errors = validate_capacity(new)
    for key in ("nodeTopology", "storageClassName"):
        errors += validate_immutable(new.get(key), old.get(key), key)
    return errors


def validate_attributes_class(obj: JsonObject) -> list[FieldError]:
    """Check a VolumeAttributesClass."""
    errors = driver_name_errors(obj.get("driverName", ""), "driverName")
    parameters = obj.get("parameters") or {}
    if not parameters:
        errors.append(required("parameters", "must contain at least one key/value pair"))
    return errors + _parameter_errors(parameters)


def validate_attributes_class_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a VolumeAttributesClass that is to replace `old`: nothing may change."""
    errors: list[FieldError] = []
    for key in ("driverName", "parameters"):
        errors += validate_immutable(new.get(key), old.get(key), key)
    return errors


HOOKS: Final = {
    "storage.k8s.io/storageclasses": TypeHooks(
        default=default_class,
        validate_create=validate_class,
        validate_update=validate_class_update,
    ),
    "storage.k8s.io/csidrivers": TypeHooks(
        default=default_driver,
        validate_create=validate_driver,
        validate_update=validate_driver_update,
        allow_unconditional_update=False,
    ),
    "storage.k8s.io/csinodes": TypeHooks(
        validate_create=validate_csi_node,
        validate_update=lambda new, _old: validate_csi_node(new),
        has_status=True,
        allow_unconditional_update=False,
    ),
    "storage.k8s.io/volumeattachments": TypeHooks(
        prepare_create=prepare_attachment,
        validate_create=validate_attachment,
        validate_update=validate_attachment_update,
        has_status=True,
        prepare_status=keep_metadata,
        allow_unconditional_update=False,
    ),
    "storage.k8s.io/csistoragecapacities": TypeHooks(
        validate_create=validate_capacity,
        validate_update=validate_capacity_update,
        allow_unconditional_update=False,
    ),
    "storage.k8s.io/volumeattributesclasses": TypeHooks(
        validate_create=validate_attributes_class,
        validate_update=validate_attributes_class_update,
    ),
}

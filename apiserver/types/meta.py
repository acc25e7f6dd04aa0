"""Checks that all types share: object metadata, labels, selectors, owner references, conditions.

Rules and wording follow k8s.io/apimachinery `api/validation` and `apis/meta/v1/validation`. Checks
of single texts are in `formats` and `addresses`. Every function takes decoded dicts, changes
nothing, and returns the faults found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from apiserver.types.formats import (
    NameCheck,
    byte_length,
    is_condition_reason,
    is_dns1123_label,
    is_dns1123_subdomain,
    is_http_path,
    is_qualified_name,
    is_valid_label_value,
    name_is_dns_subdomain,
)
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from kube.json_types import JsonObject
from kube.text_cache import text_cache

FIELD_IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"
ANNOTATIONS_BYTES_MAX: Final = 256 * 1024
REASON_BYTES_MAX: Final = 1024
MESSAGE_BYTES_MAX: Final = 32 * 1024
MANAGER_BYTES_MAX: Final = 128
SUBRESOURCE_BYTES_MAX: Final = 256
_FIELDS_TYPE: Final = "FieldsV1"
_OPERATIONS: Final = frozenset({"Apply", "Update"})

# Beyond spec and status these metadata fields may never change by an update.
_IMMUTABLE_TEXTS: Final = ("name", "namespace", "uid")
_NO_METADATA: Final[JsonObject] = {}
_IMMUTABLE_OPTIONALS: Final = (
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def check_string(value: str, path: str, check: Callable[[str], list[str]]) -> list[FieldError]:
    """Return what a string check finds, as errors of the field at `path`."""
    return [invalid(path, value, message) for message in check(value)]


def domain_prefixed_path_errors(text: str, path: str) -> list[FieldError]:
    """Check a name such as `acme.io/foo`."""
    if not text:
        return [required(path)]
    host, _, rest = text.partition("/")
    if not host or not rest:
        example = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [invalid(path, text, example)]
    return check_string(host, path, is_dns1123_subdomain) + check_string(rest, path, is_http_path)


def validate_immutable(new: Any, old: Any, path: str) -> list[FieldError]:
    """Refuse a change of a field that is set once."""
    return [] if new == old else [invalid(path, new, FIELD_IMMUTABLE)]


def validate_nonnegative(value: int, path: str) -> list[FieldError]:
    """Refuse a negative number."""
    return [invalid(path, value, NOT_NEGATIVE)] if value < 0 else []


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Check the keys and values of labels; all errors are at `path` itself, as upstream's are."""
    errors: list[FieldError] = []
    if labels:
        for key, value in labels.items():
            if faults := is_qualified_name(key):
                errors.extend(invalid(path, key, fault) for fault in faults)
            if value and (faults := is_valid_label_value(value)):
                errors.extend(invalid(path, value, fault) for fault in faults)
    return errors


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Check annotations' keys (case does not matter) and their total size."""
    errors: list[FieldError] = []
    if annotations:
        size = 0
        for key, value in annotations.items():
            size += byte_length(key) + byte_length(value)
            if faults := is_qualified_name(key.lower()):
                errors.extend(invalid(path, key, fault) for fault in faults)
        if size > ANNOTATIONS_BYTES_MAX:
            errors.append(too_long(path, ANNOTATIONS_BYTES_MAX))
    return errors


def validate_label_selector(
    selector: JsonObject | None,
    path: str,
    *,
    allow_invalid_values: bool = False,
    allow_unknown_operators: bool = False,
) -> list[FieldError]:
    """Check a LabelSelector.

    Args:
        selector: the selector, None when absent.
        path: the selector's own path.
        allow_invalid_values: leave values of expressions unchecked (updates of old objects).
        allow_unknown_operators: leave operators unchecked (access reviews).
    """
    if not selector:
        return []
    errors = validate_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        values = expression.get("values") or ()
        operator = expression.get("operator", "")
        if operator in {"In", "NotIn"}:
            if not values:
                text = "must be specified when `operator` is 'In' or 'NotIn'"
                errors.append(required(f"{where}.values", text))
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden(f"{where}.values", text))
        elif not allow_unknown_operators:
            errors.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
        errors += check_string(expression.get("key", ""), f"{where}.key", is_qualified_name)
        if not allow_invalid_values:
            for at, value in enumerate(values):
                errors += check_string(value, f"{where}.values[{at}]", is_valid_label_value)
    return errors


def _is_group_version(text: str) -> bool:
    return text.count("/") <= 1 and not text.endswith("/")


def validate_owner_references(owners: Sequence[JsonObject], path: str) -> list[FieldError]:
    """Check owner references one by one, and that at most one is the controller."""
    errors: list[FieldError] = []
    first = ""
    for index, owner in enumerate(owners):
        where = f"{path}[{index}]"
        version = owner.get("apiVersion", "")
        if version and not _is_group_version(version):
            text = "must be <group>/<version> or <version>"
            errors.append(invalid(f"{where}.apiVersion", version, text))
        errors.extend(
            required(f"{where}.{name}", "must not be empty")
            for name in ("apiVersion", "kind", "name", "uid")
            if not owner.get(name)
        )
        if version == "v1" and owner.get("kind") == "Event":
            text = "/v1, Kind=Event is disallowed from being an owner"
            errors.append(invalid(where, owner, text))
        if owner.get("controller"):
            current = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if first:
                text = (
                    "Only one reference can have Controller set to true. Found "
                    f'"true" in references for {first} and {current}'
                )
                errors.append(invalid(path, owners, text))
            else:
                first = current
    return errors


def validate_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    """Check finalizers' names, and that orphaning and cascading are not both asked for."""
    errors: list[FieldError] = []
    for finalizer in finalizers:
        errors += check_string(finalizer, path, is_qualified_name)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid(path, list(finalizers), text))
    return errors


def _validate_managed_fields(entries: Sequence[JsonObject], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        get = entry.get
        operation = get("operation", "")
        if (
            operation in _OPERATIONS
            and get("fieldsType", _FIELDS_TYPE) == _FIELDS_TYPE
            and _is_manager(get("manager", ""))
            and len(get("subresource", "")) <= SUBRESOURCE_BYTES_MAX // 4
        ):
            continue  # as all are that the server itself has made
        where = f"{path}[{index}]"
        if not operation:
            errors.append(required(f"{where}.operation", "must not be empty"))
        elif operation not in _OPERATIONS:
            errors.append(not_supported(f"{where}.operation", operation, ("Apply", "Update")))
        if get("fieldsType", _FIELDS_TYPE) != _FIELDS_TYPE:
            text = "must be `FieldsV1`"
            errors.append(invalid(f"{where}.fieldsType", entry["fieldsType"], text))
        if manager := get("manager", ""):
            errors += validate_field_manager(manager, f"{where}.manager")
        if byte_length(get("subresource", "")) > SUBRESOURCE_BYTES_MAX:
            errors.append(too_long(f"{where}.subresource", SUBRESOURCE_BYTES_MAX))
    return errors


@text_cache(maxsize=1024)
def _is_manager(manager: str) -> bool:
    return not validate_field_manager(manager)


def validate_field_manager(manager: str, path: str = "fieldManager") -> list[FieldError]:
    """Check a field manager's name: not too long, printable."""
    errors: list[FieldError] = []
    if byte_length(manager) > MANAGER_BYTES_MAX:
        errors.append(too_long(path, MANAGER_BYTES_MAX))
    if not manager.isprintable():
        position = 0
        for char in manager:
            if not char.isprintable():
                text = f"invalid character U+{ord(char):04X} (at position {position})"
                errors.append(invalid(path, manager, text))
            position += len(char.encode())
    return errors


def _common_faults(meta: JsonObject, path: str, old: JsonObject = _NO_METADATA) -> list[FieldError]:
    """Return the faults looked for at a create, and at an update in what is not as in `old`."""
    errors: list[FieldError] = []
    if (labels := meta.get("labels")) and labels != old.get("labels"):
        errors += validate_labels(labels, f"{path}.labels")
    if (annotations := meta.get("annotations")) and annotations != old.get("annotations"):
        errors += validate_annotations(annotations, f"{path}.annotations")
    if (owners := meta.get("ownerReferences")) and owners != old.get("ownerReferences"):
        errors += validate_owner_references(owners, f"{path}.ownerReferences")
    entries = meta.get("managedFields")
    # What the server has made itself comes as bytes.
    is_given = entries.__class__ is not orjson.Fragment
    if entries and is_given and entries is not old.get("managedFields"):
        errors += _validate_managed_fields(entries, f"{path}.managedFields")
    return errors


def validate_name(
    name: str, name_check: NameCheck | None = None, path: str = "metadata"
) -> list[FieldError]:
    """Check the name of an object to be created; see `validate_object_meta`."""
    if not name:
        return [required(f"{path}.name", "name or generateName is required")]
    faults = (name_check or name_is_dns_subdomain)(name, False)  # noqa: FBT003
    return [invalid(f"{path}.name", name, fault) for fault in faults]


def validate_object_meta(
    meta: JsonObject,
    *,
    namespaced: bool,
    name_check: NameCheck | None = None,
    path: str = "metadata",
) -> list[FieldError]:
    """Check the metadata of an object to be created, its name already generated.

    Args:
        meta: the metadata.
        namespaced: whether the type lives in namespaces.
        name_check: reasons why a name is bad; None: names are DNS-1123 subdomains.
        path: the metadata's own path.
    """
    errors: list[FieldError] = []
    check = name_check or name_is_dns_subdomain
    if prefix := meta.get("generateName"):
        faults = check(prefix, True)  # noqa: FBT003 (the contract of NameCheck)
        errors.extend(invalid(f"{path}.generateName", prefix, fault) for fault in faults)
    name = meta.get("name")
    if not name or check(name, False):  # noqa: FBT003
        errors += validate_name(name or "", check, path)
    namespace = meta.get("namespace")
    if not namespaced:
        if namespace:
            errors.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    elif not namespace:
        errors.append(required(f"{path}.namespace"))
    elif faults := is_dns1123_label(namespace):
        errors.extend(invalid(f"{path}.namespace", namespace, fault) for fault in faults)
    if (generation := meta.get("generation", 0)) < 0:
        errors.append(invalid(f"{path}.generation", generation, NOT_NEGATIVE))
    errors += _common_faults(meta, path)
    if finalizers := meta.get("finalizers"):
        errors += validate_finalizers(finalizers, f"{path}.finalizers")
    return errors


def validate_object_meta_update(
    new: JsonObject, old: JsonObject, path: str = "metadata"
) -> list[FieldError]:
    """Check the metadata that is to replace `old`: what may not change, and what must be given.

    What is as it was stored was checked when it was stored.
    """
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        more = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if more:
            shown = ", ".join(f'"{name}"' for name in more)
            text = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{shown}}}"
            )
            errors.append(forbidden(f"{path}.finalizers", text))
    if not new.get("resourceVersion"):
        text = "must be specified for an update"
        errors.append(invalid(f"{path}.resourceVersion", "", text))
    generation = new.get("generation", 0)
    if generation < 0:
        errors += validate_nonnegative(generation, f"{path}.generation")
    if generation < old.get("generation", 0):
        errors.append(invalid(f"{path}.generation", generation, "must not be decremented"))
    if _immutables(new) != _immutables(old):
        errors += _changes_of_immutables(new, old, path)
    return errors + _common_faults(new, path, old)


def _changes_of_immutables(new: JsonObject, old: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in _IMMUTABLE_TEXTS:
        if new.get(name, "") != old.get(name, ""):
            errors.append(invalid(f"{path}.{name}", new.get(name, ""), FIELD_IMMUTABLE))
    for name in _IMMUTABLE_OPTIONALS:
        if new.get(name) != old.get(name):
            errors.append(invalid(f"{path}.{name}", new.get(name), FIELD_IMMUTABLE))
    return errors


def _immutables(meta: JsonObject) -> list[Any]:
    # Written out for speed: all of _IMMUTABLE_TEXTS and _IMMUTABLE_OPTIONALS.
    get = meta.get
    return [
        *(get("name"), get("namespace"), get("uid")),
        *(get("creationTimestamp"), get("deletionTimestamp"), get("deletionGracePeriodSeconds")),
    ]


def _validate_condition(condition: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if kind := condition.get("type"):
        errors += check_string(kind, f"{path}.type", is_qualified_name)
    else:
        errors.append(required(f"{path}.type", "is required"))
    status = condition.get("status", "")
    if not status:
        errors.append(required(f"{path}.status"))
    elif status not in {"True", "False", "Unknown"}:
        errors.append(not_supported(f"{path}.status", status, ("False", "True", "Unknown")))
    if (observed := condition.get("observedGeneration", 0)) < 0:
        text = "must be greater than or equal to zero"
        errors.append(invalid(f"{path}.observedGeneration", observed, text))
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime"))
    if reason := condition.get("reason"):
        errors += check_string(reason, f"{path}.reason", is_condition_reason)
        if byte_length(reason) > REASON_BYTES_MAX:
            errors.append(too_long(f"{path}.reason", REASON_BYTES_MAX))
    else:
        errors.append(required(f"{path}.reason"))
    if byte_length(condition.get("message", "")) > MESSAGE_BYTES_MAX:
        errors.append(too_long(f"{path}.message", MESSAGE_BYTES_MAX))
    return errors


def validate_conditions(conditions: Sequence[JsonObject], path: str) -> list[FieldError]:
    """Check metav1 conditions: each complete, no type twice."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        kind = condition.get("type", "")
        if kind in seen:
            errors.append(duplicate(f"{path}[{index}]", kind))
        seen.add(kind)
        errors += _validate_condition(condition, f"{path}[{index}]")
    return errors

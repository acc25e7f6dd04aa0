"""What a version says besides its schema: deprecation, subresources, columns, selectable fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.types.apiextensions.options import SELECTABLE_FIELDS_MAX
from kube.field import FieldError, duplicate, invalid, required, too_many
from kube.json_types import JsonObject
from kube.structural.field_paths import BadPath, resolve

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
)
_WARNING_BYTES_MAX: Final = 256
_SELECTABLE: Final = frozenset({"string", "boolean", "integer"})
_NOT_SELECTABLE: Final = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with "
    "formats are allowed."
)


def deprecation_errors(version: JsonObject, path: str) -> Iterator[FieldError]:
    """Find faults in a version's deprecation warning."""
    warning = version.get("deprecationWarning")
    if warning is not None:
        for fault in _warning_faults(warning, deprecated=bool(version.get("deprecated"))):
            yield invalid(f"{path}.deprecationWarning", warning, fault)


def _warning_faults(warning: str, *, deprecated: bool) -> Iterator[str]:
    if not deprecated:
        yield "can only be set for deprecated versions"
        return
    if len(warning.encode()) > _WARNING_BYTES_MAX:
        yield "must be <= 256 characters long"
    if not warning:
        yield "must not be an empty string"
    for index, char in enumerate(warning):
        if not char.isprintable():
            at = len(warning[:index].encode())
            text = f"non-printable character found at index {at}"
            yield f"must only contain printable UTF-8 characters; {text}"
            return


def subresource_errors(subresources: JsonObject | None, path: str) -> Iterator[FieldError]:
    """Find faults in the paths of a scale subresource."""
    scale = (subresources or {}).get("scale")
    if scale is None:
        return
    for key, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        where, value = f"{path}.scale.{key}", scale.get(key) or ""
        if not value:
            yield required(where)
        elif fault := _path_fault(value):
            yield invalid(where, value, fault)
        elif not value.startswith(f"{root}."):
            yield invalid(where, value, f"should be a json path under {root}")
    if selector := scale.get("labelSelectorPath"):
        where = f"{path}.scale.labelSelectorPath"
        if fault := _path_fault(selector):
            yield invalid(where, selector, fault)
        elif not selector.startswith((".spec.", ".status.")):
            yield invalid(where, selector, "should be a json path under either .spec or .status")


def _path_fault(text: str) -> str:
    return "" if text.startswith(".") else "must be a simple json path starting with ."


def column_errors(column: JsonObject, path: str) -> Iterator[FieldError]:
    """Find faults in a printer column."""
    if not column.get("name"):
        yield required(f"{path}.name")
    named, known = column.get("type") or "", f"must be one of {','.join(_COLUMN_TYPES)}"
    if not named:
        yield required(f"{path}.type", known)
    elif named not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", named, known)
    if (shown := column.get("format")) and shown not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", shown, f"must be one of {','.join(_COLUMN_FORMATS)}")
    json_path = column.get("jsonPath") or ""
    if not json_path:
        yield required(f"{path}.JSONPath")
    elif fault := _path_fault(json_path):
        yield invalid(f"{path}.JSONPath", json_path, fault)


def selectable_errors(
    fields: list[JsonObject], schema: JsonObject, path: str, *, unlimited: bool
) -> Iterator[FieldError]:
    """Find faults in what field selectors may name.

    Args:
        fields: the selectable fields.
        schema: of the objects.
        path: where the fields stand.
        unlimited: there may be more than are allowed.
    """
    seen: set[str] = set()
    for index, selectable in enumerate(fields):
        where, json_path = f"{path}[{index}].jsonPath", selectable.get("jsonPath") or ""
        if not json_path:
            yield required(where)
            continue
        try:
            target = resolve(json_path, schema, allow_brackets=False)
        except BadPath as error:
            yield invalid(where, json_path, f"is an invalid path: {error}")
            continue
        if target.root == "metadata":
            yield invalid(where, json_path, "must not point to fields in metadata")
        if target.schema.get("type") not in _SELECTABLE:
            yield invalid(where, json_path, _NOT_SELECTABLE)
        if target.path in seen:
            yield duplicate(where, json_path)
        seen.add(target.path)
    if len(seen) > SELECTABLE_FIELDS_MAX and not unlimited:
        yield too_many(path, len(seen), SELECTABLE_FIELDS_MAX)

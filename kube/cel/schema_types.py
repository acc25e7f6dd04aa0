"""Types of what structural schemas describe, with the sizes that their limits allow.

What a schema does not describe has no type and cannot be named: neither what
`x-kubernetes-preserve-unknown-fields` lets through, nor a list or map of such.
"""

from __future__ import annotations

from typing import Final

from kube.cel.names import RESERVED, escape
from kube.cel.types import BOOL, CelType, TypeField
from kube.json_types import JsonObject

REQUEST_BYTES_MAX: Final = 3 * 1024 * 1024
_ROOT_STRING: Final[JsonObject] = {"type": "string"}
_META: Final[JsonObject] = {
    "type": "object",
    "properties": {"name": _ROOT_STRING, "generateName": _ROOT_STRING},
}
_STRING_MAX: Final = REQUEST_BYTES_MAX - 2
_TIMES: Final = {
    "duration": ("duration", 32, 3),
    "date": ("timestamp", 12, 12),
    "date-time": ("timestamp", 32, 21),
}
_KEY: Final = CelType("string", size_max=0, encoded_min=2)


def schema_type(
    schema: JsonObject, *, root: bool = False, name: str = "selfType"
) -> CelType | None:
    """Return the type of what a schema describes; None: expressions cannot see it.

    Args:
        root: it is an object of its own: the whole resource, or one embedded in it.
        name: what an object type is called in messages.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return CelType("dyn", size_max=_text_max(schema, _STRING_MAX))
    if root:
        schema = with_object_meta(schema)
    match schema.get("type"):
        case "array":
            return _list(schema, name)
        case "object":
            values = schema.get("additionalProperties")
            return _map(schema, values, name) if isinstance(values, dict) else _object(schema, name)
        case "string":
            return _string(schema)
        case "boolean":
            return CelType("bool", size_max=0, encoded_min=BOOL.encoded_min)
        case "number":
            return CelType("double", size_max=0)
        case "integer":
            return CelType("int", size_max=0)
        case _:
            return None


def with_object_meta(schema: JsonObject) -> JsonObject:
    """Return the schema of a whole object, whose kind and name can always be named."""
    properties = schema.get("properties") or {}
    meta = properties.get("metadata") or {}
    named = (meta.get("properties") or {}) if meta.get("type") == "object" else {}
    strings = (
        properties.get("kind"),
        properties.get("apiVersion"),
        named.get("name"),
        named.get("generateName"),
    )
    if all(isinstance(each, dict) and each.get("type") == "string" for each in strings):
        return schema
    own = {"kind": _ROOT_STRING, "apiVersion": _ROOT_STRING, "metadata": _META}
    return {**schema, "properties": {**properties, **own}}


def _limit(schema: JsonObject, key: str) -> int | None:
    value = schema.get(key)
    return max(0, int(value)) if isinstance(value, int | float) else None


def _text_max(schema: JsonObject, default: int) -> int:
    length = _limit(schema, "maxLength")
    # A limit counts characters, of up to four bytes each.
    return default if length is None else length * 4


def _list(schema: JsonObject, name: str) -> CelType | None:
    items = schema.get("items")
    if not isinstance(items, dict):
        return None
    element = schema_type(items, root=embedded(items), name=f"{name}.@idx")
    if element is None:
        return None
    count = _limit(schema, "maxItems")
    if count is None:
        count = (REQUEST_BYTES_MAX - 2) // (element.encoded_min + 1)
    return CelType(
        "list",
        params=(element,),
        size_max=count,
        encoded_min=2,
        list_type=str(schema.get("x-kubernetes-list-type") or ""),
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
    )


def _map(schema: JsonObject, values: JsonObject, name: str) -> CelType | None:
    value = schema_type(values, root=embedded(values), name=f"{name}.@elem")
    if value is None:
        return None
    count = _limit(schema, "maxProperties")
    if count is None:
        count = (REQUEST_BYTES_MAX - 2) // (value.encoded_min + 6)
    return CelType("map", params=(_KEY, value), size_max=count, encoded_min=2)


def _object(schema: JsonObject, name: str) -> CelType:
    fields: dict[str, TypeField] = {}
    required = frozenset(schema.get("required") or ())
    encoded_min = 2
    for json_name, child in (schema.get("properties") or {}).items():
        if not isinstance(child, dict):
            continue
        cel_name = escape(json_name)
        type_ = schema_type(child, root=embedded(child), name=f"{name}.{cel_name or json_name}")
        if type_ is None:
            continue
        if cel_name is not None:
            fields[cel_name] = TypeField(json_name, type_)
            if json_name in RESERVED:
                fields.setdefault(json_name, fields[cel_name])
        if json_name in required and "default" not in child:
            encoded_min += len(json_name) + type_.encoded_min + 4
    return CelType("object", name, fields=fields, size_max=0, encoded_min=encoded_min)


def _string(schema: JsonObject) -> CelType:
    text_format = schema.get("format")
    if text_format == "byte":
        length = _limit(schema, "maxLength")
        return CelType("bytes", size_max=_STRING_MAX if length is None else length, encoded_min=2)
    if text_format in _TIMES:
        kind, size_max, encoded_min = _TIMES[text_format]
        return CelType(kind, size_max=size_max, encoded_min=encoded_min)
    enum = schema.get("enum")
    if _limit(schema, "maxLength") is None and enum:
        size_max = max((len(each.encode()) for each in enum if isinstance(each, str)), default=0)
        return CelType("string", size_max=size_max, encoded_min=2)
    return CelType("string", size_max=_text_max(schema, _STRING_MAX), encoded_min=2)


def embedded(schema: JsonObject) -> bool:
    """Tell whether a schema is that of a whole object within another."""
    return bool(schema.get("x-kubernetes-embedded-resource"))

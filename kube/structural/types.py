"""What a schema says of a value's type, and what type a JSON value has."""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject
from kube.structural import formats
from kube.structural.nodes import INT_OR_STRING
from kube.structural.numbers import is_whole

_KINDS: Final[dict[type, tuple[str, str]]] = {
    bool: ("boolean", ""),
    str: ("string", ""),
    int: ("integer", "int64"),
    float: ("number", "float64"),
    list: ("array", ""),
    dict: ("object", ""),
}
_INT_OR_STRING: Final = ["integer", "string"]


def types_of(schema: JsonObject) -> list[str]:
    """Return the types that a schema allows; none: it does not say."""
    if schema.get(INT_OR_STRING):
        return _INT_OR_STRING
    named = schema.get("type")
    return [named] if named else []


def format_of(schema: JsonObject, types: list[str]) -> str:
    """Return the format of a schema, "" if it has none or one that is not known."""
    text: str = schema.get("format") or ""
    if text and formats.is_known(text, types[0] if len(types) == 1 else ""):
        return text
    return ""


def type_fault(schema: JsonObject, value: Any, path: str) -> tuple[str, str] | None:
    """Return why a value has the wrong type: upstream's message, and the type that it has.

    Args:
        schema: its schema.
        value: any JSON value.
        path: the name that the message begins with.
    """
    types = types_of(schema)
    if value is None:
        if not types or schema.get("nullable"):
            return None
        return _fault(path, ",".join(types), "null")
    text = format_of(schema, types)
    if not types and not text:
        return None
    kind, kind_format = _KINDS[value.__class__]
    is_number = "number" in types or "integer" in types
    fits = kind in types or (kind == "integer" and "number" in types)
    fits = fits or (kind == "number" and "integer" in types and is_whole(value))
    is_text = kind in {"string", "array"}
    if not is_text and text and not (fits or kind_format == text):
        return _fault(path, text, kind_format)
    if text and is_text and not is_number:
        # A format vouches for the type: upstream lets lists through as well.
        return None
    return None if fits else _fault(path, ",".join(types), kind)


def _fault(path: str, wanted: str, found: str) -> tuple[str, str]:
    return f'{path} in body must be of type {wanted}: "{found}"', found

"""Numbers against a schema: ranges of types and formats, bounds, multiples.

Upstream compares natively: a whole number against a bound is compared with the bound's whole part.
A bound that its own type cannot hold is a fault of every value. Both are kept, as they are seen.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from kube.field import go_float
from kube.json_types import JsonObject

_SAFE_MAX: Final = float(2**53 - 1)
_EPSILON: Final = 1e-9
_SMALLEST: Final = 5e-324
_LARGEST: Final = 1.7976931348623157e308
_INT64: Final = (-(2**63), 2**63 - 1)
_INT32: Final = (-(2**31), 2**31 - 1)


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number."""
    return value.__class__ is int or value.__class__ is float


def is_whole(value: float) -> bool:
    """Tell whether a float counts as an integer: whole, or as good as, and not too large."""
    if not abs(value) <= _SAFE_MAX:
        return False
    if value == int(value):
        return True
    # As upstream, which compares with the part above zero of its whole part.
    whole = float(int(value)) if value > 0 else 0.0
    difference = abs(value - whole)
    if whole == 0:
        return difference < _EPSILON * _SMALLEST
    return difference / min(abs(value) + abs(whole), _LARGEST) < _EPSILON


def _fits_int(value: Any, limits: tuple[int, int]) -> bool:
    return (value.__class__ is int or float(value).is_integer()) and (
        limits[0] <= int(value) <= limits[1]
    )


def _fits_float32(value: Any) -> bool:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return False
    return True


def _is_in_range(value: Any, types: list[str], number_format: str) -> bool:
    if types == ["integer"]:
        return _fits_int(value, _INT32 if number_format == "int32" else _INT64)
    if types == ["number"] and number_format == "float":
        return _fits_float32(value)
    return True


def number_faults(
    schema: JsonObject, types: list[str], value: Any, path: str
) -> list[tuple[str, bool]]:
    """Return what is wrong with a number.

    Args:
        schema: its schema.
        types: the types that the schema names.
        value: the number.
        path: the name that messages begin with.

    Returns:
        For each fault its message, and whether it is one of the value (not of the schema).
    """
    number_format = _format_of(schema, types)
    faults: list[tuple[str, bool]] = []
    _check_range("Checked", value, types, number_format, path, faults)
    for key, check, name in (
        ("multipleOf", _multiple_fault, "MultipleOf"),
        ("minimum", _minimum_fault, "Minimum boundary"),
        ("maximum", _maximum_fault, "Maximum boundary"),
    ):
        limit = schema.get(key)
        if limit is None:
            continue
        fits = _check_range(name, float(limit), types, number_format, path, faults)
        native = value if fits else float(value)
        if text := check(schema, native, limit, path):
            faults.append((text, True))
    return faults


def _format_of(schema: JsonObject, types: list[str]) -> str:
    text: str = schema.get("format") or ""
    known = {"integer": ("int32", "int64"), "number": ("float", "double")}
    return text if len(types) == 1 and text in known.get(types[0], ()) else ""


def _check_range(
    what: str,
    value: Any,
    types: list[str],
    number_format: str,
    path: str,
    faults: list[tuple[str, bool]],
) -> bool:
    if _is_in_range(value, types, number_format):
        return True
    shown = f"with format {number_format}" if number_format else "(default format)"
    faults.append((f"{what} value must be of type {types[0]} {shown} in {path}", False))
    return False


def show_number(value: Any) -> str:
    """Return a number as messages print it."""
    return go_float(value) if value.__class__ is float else str(value)


def _multiple_fault(_schema: JsonObject, value: Any, factor: Any, path: str) -> str:
    if value.__class__ is int:
        whole = int(factor)
        if whole <= 0:
            return f"factor MultipleOf declared for {path} must be positive: {whole}"
        return "" if value % whole == 0 else _not_multiple(path, whole)
    factor = float(factor)
    if factor <= 0:
        return f"factor MultipleOf declared for {path} must be positive: {go_float(factor)}"
    times = 1 / factor * value if factor < 1 else value / factor
    return "" if is_whole(times) else _not_multiple(path, factor)


def _not_multiple(path: str, factor: Any) -> str:
    return f"{path} in body should be a multiple of {show_number(factor)}"


def _maximum_fault(schema: JsonObject, value: Any, limit: Any, path: str) -> str:
    limit = int(limit) if value.__class__ is int else float(limit)
    if schema.get("exclusiveMaximum"):
        return "" if value < limit else f"{path} in body should be less than {show_number(limit)}"
    if value <= limit:
        return ""
    return f"{path} in body should be less than or equal to {show_number(limit)}"


def _minimum_fault(schema: JsonObject, value: Any, limit: Any, path: str) -> str:
    limit = int(limit) if value.__class__ is int else float(limit)
    if schema.get("exclusiveMinimum"):
        return (
            "" if value > limit else f"{path} in body should be greater than {show_number(limit)}"
        )
    if value >= limit:
        return ""
    return f"{path} in body should be greater than or equal to {show_number(limit)}"

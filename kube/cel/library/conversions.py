"""Conversions between kinds of values: `int('3')`, `string(1.5)`, `type(x)`, `size(x)`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.library.moments import (
    format_duration,
    format_timestamp,
    parse_duration,
    parse_timestamp,
)
from kube.cel.overloads import Declarations
from kube.cel.types import SIMPLE, type_of
from kube.cel.values import (
    INT_MAX,
    INT_MIN,
    NANOS,
    TYPE_NAMES,
    UINT_MAX,
    Duration,
    Timestamp,
    Uint,
    traversal,
    type_value,
)

_DECIMAL: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT: Final = re.compile(
    r"[+-]?(?:inf|infinity|nan|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.ASCII | re.I
)
_DIGITS_MAX: Final = 400
# From this power of ten on, Go writes an exponent.
_EXPONENT_SHOWN: Final = 6
_TRUE: Final = frozenset({"1", "t", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "false", "FALSE", "False"})


def _length(value: Any) -> int:
    return traversal(len(value))


def declare(to: Declarations) -> None:
    """Declare the conversions, `size`, `type` and `dyn`."""
    to.function("dyn", "to_dyn", "A -> dyn", lambda value: value)
    to.function("type", "type", "A -> type(A)", type_value)
    for kind, name in (
        ("string", "string"),
        ("bytes", "bytes"),
        ("list(A)", "list"),
        ("map(A, B)", "map"),
    ):
        to.function("size", f"size_{name}", f"{kind} -> int", len)
        to.method("size", f"{name}_size", f"{kind} -> int", len)
    _declare_numbers(to)
    _declare_texts(to)
    for kind, declared in SIMPLE.items():
        if kind not in ("dyn", "null"):
            to.types[TYPE_NAMES.get(kind, kind)] = type_of(declared)
    to.types["null_type"] = type_of(SIMPLE["null"])
    to.types["list"] = type_of(SIMPLE["dyn"])
    to.types["map"] = type_of(SIMPLE["dyn"])


def _declare_numbers(to: Declarations) -> None:
    to.function("int", "int64_to_int64", "int -> int", lambda value: value)
    to.function("int", "uint64_to_int64", "uint -> int", _to_int)
    to.function("int", "double_to_int64", "double -> int", _to_int)
    to.function("int", "string_to_int64", "string -> int", _parse_int)
    to.function("int", "timestamp_to_int64", "timestamp -> int", lambda value: value.nanos // NANOS)
    to.function("uint", "uint64_to_uint64", "uint -> uint", lambda value: value)
    to.function("uint", "int64_to_uint64", "int -> uint", _to_uint)
    to.function("uint", "double_to_uint64", "double -> uint", _to_uint)
    to.function("uint", "string_to_uint64", "string -> uint", _parse_uint)
    for kind, name in (("int", "int64"), ("uint", "uint64"), ("double", "double")):
        to.function("double", f"{name}_to_double", f"{kind} -> double", float)
    to.function("double", "string_to_double", "string -> double", _parse_double)
    to.function("bool", "bool_to_bool", "bool -> bool", lambda value: value)
    to.function("bool", "string_to_bool", "string -> bool", _parse_bool)


def _declare_texts(to: Declarations) -> None:
    for kind, name in (
        ("bool", "bool"), ("int", "int64"), ("uint", "uint64"), ("double", "double"),
        ("string", "string"), ("timestamp", "timestamp"), ("duration", "duration"),
    ):  # fmt: skip
        to.function("string", f"{name}_to_string", f"{kind} -> string", to_text)
    to.function("string", "bytes_to_string", "bytes -> string", to_text, _length)
    to.function("bytes", "bytes_to_bytes", "bytes -> bytes", lambda value: value)
    to.function("bytes", "string_to_bytes", "string -> bytes", _encode, _length)
    to.function(
        "timestamp", "timestamp_to_timestamp", "timestamp -> timestamp", lambda value: value
    )
    to.function("timestamp", "string_to_timestamp", "string -> timestamp", parse_timestamp)
    to.function(
        "timestamp",
        "int64_to_timestamp",
        "int -> timestamp",
        lambda value: Timestamp(value * NANOS),
    )
    to.function("duration", "duration_to_duration", "duration -> duration", lambda value: value)
    to.function("duration", "string_to_duration", "string -> duration", parse_duration)
    to.function("duration", "int64_to_duration", "int -> duration", Duration)


def _to_int(value: float) -> int:
    if not INT_MIN < value < INT_MAX:
        raise CelError("integer overflow")
    return int(value)


def _to_uint(value: float) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise CelError("unsigned integer overflow")
    return Uint(value)


def _parse_int(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or len(text) > _DIGITS_MAX:
        raise CelError(f'strconv.ParseInt: parsing "{text[:_DIGITS_MAX]}": invalid syntax')
    value = int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise CelError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _parse_uint(text: str) -> Uint:
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
        raise CelError(f'strconv.ParseUint: parsing "{text[:_DIGITS_MAX]}": invalid syntax')
    if int(text) > UINT_MAX:
        raise CelError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return Uint(text)


def _parse_double(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise CelError(f'strconv.ParseFloat: parsing "{text[:_DIGITS_MAX]}": invalid syntax')
    return float(text)


def _parse_bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise CelError(f'strconv.ParseBool: parsing "{text[:_DIGITS_MAX]}": invalid syntax')


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def format_double(value: float) -> str:
    """Return a number as Go's shortest notation writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, places, power = Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, places))
    exponent = len(digits) + int(power) - 1
    minus = "-" if sign else ""
    if -5 < exponent < _EXPONENT_SHOWN:
        return f"{Decimal(repr(value)).normalize():f}"
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{minus}{digits[0]}{fraction}e{exponent:+03d}"


def to_text(value: Any) -> str:
    """Return what `string(value)` is."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return format_double(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
        case Timestamp():
            return format_timestamp(value)
        case Duration():
            return format_duration(value)
        case _:
            return str(int(value) if type(value) is Uint else value)

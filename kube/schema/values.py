"""Single values: checking them against a type and putting them in canonical form.

A converter takes a decoded JSON value and returns what upstream would write back, the very same
object where nothing changes; None means "as if absent". It raises `Mismatch` where upstream
refuses. The wording of refusals is found afterwards, by `kube.schema.report`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from kube import quantity, times
from kube.schema.model import Kind

Converter: TypeAlias = Callable[[Any], Any]

_INT32_MIN: Final = -(2**31)
_INT32_MAX: Final = 2**31 - 1
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
# From here on Go writes an exponent, as Python does.
_PLAIN_FLOAT_MAX: Final = 1e21
_CACHED_BASE64_LENGTH_MAX: Final = 256


class Mismatch(Exception):
    """A value does not fit its type."""


def convert_int32(value: Any) -> Any:
    """Check a number that upstream holds in 32 bits."""
    if value.__class__ is int and _INT32_MIN <= value <= _INT32_MAX:
        return value
    raise Mismatch


def convert_int64(value: Any) -> Any:
    """Check a number that upstream holds in 64 bits."""
    if value.__class__ is int and _INT64_MIN <= value <= _INT64_MAX:
        return value
    raise Mismatch


def convert_float(value: Any) -> Any:
    """Check a floating-point number; whole ones are written without a fraction."""
    if value.__class__ is int:
        return value
    if value.__class__ is float:
        return int(value) if value.is_integer() and abs(value) < _PLAIN_FLOAT_MAX else value
    raise Mismatch


def convert_int_or_string(value: Any) -> Any:
    """Check a value that is a text or a 32-bit number."""
    return value if value.__class__ is str else convert_int32(value)


def convert_quantity(value: Any) -> Any:
    """Return the canonical spelling of a quantity, given as text or number."""
    try:
        if value.__class__ is str:
            return quantity.canonical(value.strip())
        return str(quantity.parse_value(value))
    except quantity.QuantityError as error:
        raise Mismatch from error


def convert_time(value: Any) -> Any:
    """Return a time in UTC and whole seconds; the zero time is absent."""
    if value.__class__ is not str:
        raise Mismatch
    try:
        text = times.canonical_time(value)
    except times.TimeError as error:
        raise Mismatch from error
    return None if text == times.ZERO else text


def convert_micro_time(value: Any) -> Any:
    """Return a time in UTC with six decimals; the zero time is absent."""
    if value.__class__ is not str:
        raise Mismatch
    try:
        text = times.canonical_micro_time(value)
    except times.TimeError as error:
        raise Mismatch from error
    return None if text.startswith("0001-01-01T00:00:00.000000") else text


def convert_bytes(value: Any) -> Any:
    """Return base64 as Go writes it: padded, without line breaks."""
    if value.__class__ is not str:
        raise Mismatch
    if len(value) <= _CACHED_BASE64_LENGTH_MAX:
        return _canonical_base64(value)
    return _canonical_base64.__wrapped__(value)


@lru_cache(maxsize=1024)
def _canonical_base64(text: str) -> str:
    # Go skips line breaks inside base64 and nothing else.
    plain = text.replace("\r", "").replace("\n", "") if "\n" in text or "\r" in text else text
    try:
        raw = binascii.a2b_base64(plain, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise Mismatch from error
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def check_string(value: Any) -> Any:
    """Check a text."""
    if value.__class__ is str:
        return value
    raise Mismatch


def check_bool(value: Any) -> Any:
    """Check a truth value."""
    if value.__class__ is bool:
        return value
    raise Mismatch


CONVERTERS: Final[dict[Kind, Converter]] = {
    Kind.STRING: check_string,
    Kind.BOOL: check_bool,
    Kind.INT32: convert_int32,
    Kind.INT64: convert_int64,
    Kind.FLOAT: convert_float,
    Kind.INT_OR_STRING: convert_int_or_string,
    Kind.QUANTITY: convert_quantity,
    Kind.TIME: convert_time,
    Kind.MICRO_TIME: convert_micro_time,
    Kind.BYTES: convert_bytes,
}

ZEROS: Final[dict[Kind, Any]] = {
    Kind.STRING: "",
    Kind.BOOL: False,
    Kind.INT32: 0,
    Kind.INT64: 0,
    Kind.FLOAT: 0,
    Kind.INT_OR_STRING: 0,
    Kind.QUANTITY: "0",
    Kind.BYTES: "",
}
"""What upstream writes for a value that was never set; kinds that are missing write nothing."""

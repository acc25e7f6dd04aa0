"""Field-level validation errors, worded as upstream words them.

Rules and wording follow k8s.io/apimachinery `util/validation/field`. A path is a plain string
(`spec.containers[0].name`), built by the validator only where it reports or descends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

REQUIRED: Final = "FieldValueRequired"
NOT_FOUND: Final = "FieldValueNotFound"
DUPLICATE: Final = "FieldValueDuplicate"
INVALID: Final = "FieldValueInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
FORBIDDEN: Final = "FieldValueForbidden"
TOO_LONG: Final = "FieldValueTooLong"
TOO_SHORT: Final = "FieldValueTooShort"
TOO_MANY: Final = "FieldValueTooMany"
TYPE_INVALID: Final = "FieldValueTypeInvalid"
INTERNAL: Final = "InternalError"

_TITLES: Final = {
    REQUIRED: "Required value",
    NOT_FOUND: "Not found",
    DUPLICATE: "Duplicate value",
    INVALID: "Invalid value",
    NOT_SUPPORTED: "Unsupported value",
    FORBIDDEN: "Forbidden",
    TOO_LONG: "Too long",
    TOO_SHORT: "Too short",
    TOO_MANY: "Too many",
    TYPE_INVALID: "Invalid value",
    INTERNAL: "Internal error",
}
_WITHOUT_VALUE: Final = frozenset({REQUIRED, FORBIDDEN, TOO_LONG, TOO_SHORT, INTERNAL})
_GO_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}

# Go's JSON is safe within HTML; these characters stand nowhere but in its strings.
_JSON_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class _Omitted:
    """Marks an error that prints no value."""


OMITTED: Final = _Omitted()


def quote(text: str) -> str:
    """Return `text` as Go's %q prints it."""
    parts = ['"']
    for char in text:
        if char in _GO_ESCAPES:
            parts.append(_GO_ESCAPES[char])
        elif char.isprintable():
            parts.append(char)
        elif ord(char) < 0x80:
            parts.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            parts.append(f"\\u{ord(char):04x}")
        else:
            parts.append(f"\\U{ord(char):08x}")
    parts.append('"')
    return "".join(parts)


def go_float(value: float) -> str:
    """Return a float as Go's %v prints it: as few digits as tell it apart, or an exponent."""
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 (not a number)
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "only numbers come so far"
    minus = "-" if sign else ""
    text = "".join(map(str, digits))
    power = exponent + len(text) - 1
    if text == "0":
        return f"{minus}0"
    if -4 <= power < 6:
        return minus + (f"{Decimal(repr(abs(value))).normalize():f}")
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def render_value(value: object) -> str:
    """Return a rejected value as upstream prints it: bare numbers, quoted strings, else JSON."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return go_float(value)
        case str():
            return quote(value)
        case _:
            return orjson.dumps(value, default=str).decode().translate(_JSON_ESCAPES)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field: what kind of fault, where, the value and why."""

    kind: str
    path: str
    detail: str = ""
    value: Any = OMITTED

    @property
    def body(self) -> str:
        """The message without the field's name, as a Status cause carries it."""
        text = _TITLES[self.kind]
        if self.kind not in _WITHOUT_VALUE and self.value is not OMITTED:
            text = f"{text}: {render_value(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}"


def required(path: str, detail: str = "") -> FieldError:
    """A value that must be given is absent or empty."""
    return FieldError(REQUIRED, path, detail)


def invalid(path: str, value: object, detail: str) -> FieldError:
    """A value is malformed: failed pattern, out of bounds."""
    return FieldError(INVALID, path, detail, value)


def type_invalid(path: str, value: object, detail: str) -> FieldError:
    """A value has another type than its schema's."""
    return FieldError(TYPE_INVALID, path, detail, value)


def not_supported(path: str, value: object, supported: Iterable[str]) -> FieldError:
    """A value is none of the enumerated ones (listed in the order given)."""
    names = ", ".join(quote(str(item)) for item in supported)
    return FieldError(NOT_SUPPORTED, path, f"supported values: {names}" if names else "", value)


def not_found(path: str, value: object) -> FieldError:
    """A referenced value does not exist."""
    return FieldError(NOT_FOUND, path, "", value)


def duplicate(path: str, value: object) -> FieldError:
    """A value that must be unique stands twice."""
    return FieldError(DUPLICATE, path, "", value)


def forbidden(path: str, detail: str) -> FieldError:
    """A value is well formed, but not allowed here."""
    return FieldError(FORBIDDEN, path, detail)


def too_long(path: str, length_max: int, unit: str = "byte") -> FieldError:
    """A string is longer than `length_max` bytes (or `unit="character"`)."""
    plural = unit if length_max == 1 else f"{unit}s"
    return FieldError(TOO_LONG, path, f"may not be more than {length_max} {plural}")


def too_many(path: str, actual: int, count_max: int) -> FieldError:
    """A list has more than `count_max` items."""
    plural = "item" if count_max == 1 else "items"
    return FieldError(TOO_MANY, path, f"must have at most {count_max} {plural}", actual)

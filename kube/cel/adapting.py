"""Values of JSON as the values that their schema means: times, durations, bytes, doubles.

Only what a schema says to be of another kind than JSON's is converted, and only when an expression
takes it out of its object; so an object costs nothing that no expression looks at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from kube.cel.errors import CelError
from kube.cel.library.conversions import to_text
from kube.cel.library.moments import parse_date, parse_duration, parse_timestamp
from kube.cel.types import CelType
from kube.cel.values import Duration, Timestamp

Adapt = Callable[[Any], Any]
_DATE_LENGTH = len("2006-01-02")


def adapter(type_: CelType) -> Adapt | None:
    """Return what makes a value of JSON one of a type; None: it is one already."""
    match type_.kind:
        case "double":
            return _to_double
        case "timestamp":
            return _to_timestamp
        case "duration":
            return _to_duration
        case "bytes":
            return _to_bytes
        case "list":
            element = adapter(type_.params[0])
            return None if element is None else _each(element)
        case "map":
            value = adapter(type_.params[1])
            return None if value is None else _each_value(value)
        case _:
            return None


def _each(adapt: Adapt) -> Adapt:
    return lambda items: [adapt(item) for item in items] if type(items) is list else items


def _each_value(adapt: Adapt) -> Adapt:
    return lambda items: (
        {key: adapt(item) for key, item in items.items()} if type(items) is dict else items
    )


def _to_double(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _to_timestamp(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return parse_date(value) if len(value) == _DATE_LENGTH else parse_timestamp(value)
    except CelError as exc:
        raise CelError(f"Invalid date formatted string {value}, {exc}") from None


def _to_duration(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return parse_duration(value)
    except CelError as exc:
        raise CelError(f"Invalid duration formatted string {value}, {exc}") from None


def _to_bytes(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as exc:
        raise CelError(f"Invalid byte formatted string {value[:64]}, {exc}") from None


def to_json(value: Any) -> Any:
    """Return a value without what JSON lacks, as far as it has a form there."""
    match value:
        case list():
            return [to_json(item) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp() | Duration():
            return to_text(value)
        case _:
            return value

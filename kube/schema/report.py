"""The careful walk: names and places for what the fast walk found wrong.

It runs only for objects with unknown fields or values of a wrong type. It removes unknown fields
and words everything as upstream's decoder: sigs.k8s.io/json for structure, Go's parsers for
values. Invariant: it accepts exactly what `kube.schema.normalize` accepts. As upstream, the first
wrong structure is reported, unless a value that parses itself (quantity, time) fails later.
"""

from __future__ import annotations

from typing import Any, Final

from kube import quantity, times
from kube.field import quote
from kube.json_types import JsonObject
from kube.schema.model import Kind, Struct, Type
from kube.schema.values import CONVERTERS, Mismatch

STRICT_ERRORS_MAX: Final = 100
"""Upstream reports no more unknown and duplicate fields than this."""

_SELF_PARSING: Final = frozenset(
    {Kind.QUANTITY, Kind.TIME, Kind.MICRO_TIME, Kind.INT_OR_STRING, Kind.UNION}
)
_GO_NAMES: Final = {
    str: "string", bool: "bool", dict: "object", list: "array", int: "number", float: "number",
}  # fmt: skip
_NUMERIC: Final = frozenset({Kind.INT32, Kind.INT64, Kind.FLOAT})
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINE_BREAKS: Final = b"\r\n"
_PADDING: Final = ord("=")


class _SelfParsingFailed(Exception):
    """A value that parses itself failed: upstream stops decoding there."""


class Report:
    """One careful walk over one object.

    Attributes:
        unknown: paths of unknown fields, in document order, each once.
        error: why the object cannot be decoded, "" if it can.
    """

    __slots__ = ("_fields", "error", "unknown")

    def __init__(self, struct: Struct, obj: Any) -> None:
        """Walk `obj`, removing its unknown fields."""
        self.unknown: dict[str, None] = {}
        self.error = ""
        # Names of the fields walked into, without list indices and map keys: Go's error context.
        self._fields: list[str] = []
        try:
            if obj.__class__ is dict:
                self._walk_struct(struct, obj, "")
            else:
                where = f"{_package(struct.name)}.{struct.go_name}"
                self.error = (
                    f"json: cannot unmarshal {_describe(obj)} into Go value of type {where}"
                )
        except _SelfParsingFailed as failure:
            self.error = str(failure)

    def _walk_struct(self, struct: Struct, obj: JsonObject, path: str) -> None:
        unknown = []
        for key, value in obj.items():
            here = f"{path}.{key}" if path else key
            field = struct.fields.get(key)
            if field is None:
                self.unknown[here] = None
                unknown.append(key)
                continue
            self._fields.append(key)
            self._walk(field.type, value, here, struct.go_name)
            self._fields.pop()
        for key in unknown:
            del obj[key]

    def _walk(self, type_: Type, value: Any, path: str, owner: str) -> None:
        """Check one value; `owner` is the struct that upstream's message would name."""
        kind = type_.kind
        if value is None or kind is Kind.ANY:
            return
        if kind in _SELF_PARSING:
            self._walk_self_parsing(type_, value)
            return
        match type_.kind:
            case Kind.STRUCT if isinstance(value, dict):
                assert type_.struct is not None
                self._walk_struct(type_.struct, value, path)
            case Kind.LIST if isinstance(value, list):
                assert type_.items is not None
                for index, item in enumerate(value):
                    self._walk(type_.items, item, f"{path}[{index}]", owner)
            case Kind.MAP if isinstance(value, dict):
                assert type_.items is not None
                for key, item in value.items():
                    self._walk(type_.items, item, f"{path}.{key}", owner)
            case Kind.STRUCT | Kind.LIST | Kind.MAP:
                self._refuse(type_, _describe(value), owner)
            case _:
                self._check_scalar(type_, value, owner)

    def _check_scalar(self, type_: Type, value: Any, owner: str) -> None:
        try:
            CONVERTERS[type_.kind](value)
        except Mismatch:
            if type_.kind is Kind.BYTES and value.__class__ is str:
                self.error = self.error or _explain_base64(value)
                return
            text = _describe(value)
            if text == "number" and type_.kind in _NUMERIC:
                text = f"number {value!r}"
            self._refuse(type_, text, owner)

    def _refuse(self, type_: Type, value: str, owner: str) -> None:
        where = f"{owner}.{'.'.join(self._fields)}"
        self.error = self.error or (
            f"json: cannot unmarshal {value} into Go struct field {where} of type {type_.go_type}"
        )

    def _walk_self_parsing(self, type_: Type, value: Any) -> None:
        if type_.kind is Kind.UNION:
            self._walk_union(type_, value)
            return
        try:
            CONVERTERS[type_.kind](value)
        except Mismatch as mismatch:
            raise _SelfParsingFailed(explain_value(type_.kind, value)) from mismatch

    @staticmethod
    def _walk_union(type_: Type, value: Any) -> None:
        assert type_.struct is not None
        items = value if value.__class__ is list else [value]
        for item in items:
            if item.__class__ is dict:
                # Unknown fields in here vanish without a word, as upstream.
                inner = Report(type_.struct, item)
                if inner.error:
                    raise _SelfParsingFailed(inner.error)
        if value.__class__ not in {dict, list, bool}:
            raise _SelfParsingFailed("boolean or JSON schema expected")


def explain_value(kind: Kind, value: Any) -> str:
    """Return why a value that parses itself was refused, in the words of its upstream type."""
    if kind is Kind.QUANTITY:
        try:
            quantity.parse_value(value)
        except quantity.QuantityError as error:
            return str(error)
    if kind is Kind.INT_OR_STRING:
        described = _describe(value)
        number = f"number {value!r}" if described == "number" else described
        return f"json: cannot unmarshal {number} into Go value of type int32"
    if value.__class__ is not str:
        return f"json: cannot unmarshal {_describe(value)} into Go value of type string"
    try:
        if kind is Kind.TIME:
            times.parse_time(value)
        elif kind is Kind.MICRO_TIME:
            times.parse_micro_time(value)
    except times.TimeError as error:
        return str(error)
    raise AssertionError(f"{quote(repr(value))} is a valid {kind.name}")


def _describe(value: Any) -> str:
    return _GO_NAMES[value.__class__]


def _package(definition: str) -> str:
    return definition.split(".")[-2] if "." in definition else ""


def _explain_base64(text: str) -> str:
    """Return Go's message, which names the offset where its decoder gives up."""
    return f"illegal base64 data at input byte {_base64_fault(text.encode())}"


def _base64_fault(raw: bytes) -> int:
    filled = 0  # characters of the current group of four
    for at, byte in enumerate(raw):
        if byte in _LINE_BREAKS:
            continue
        if byte in _BASE64:
            filled = (filled + 1) % 4
            continue
        if byte != _PADDING or filled < 2:
            return at
        return _padding_fault(raw, at + 1, missing=filled == 2)
    return len(raw) - filled


def _padding_fault(raw: bytes, at: int, *, missing: bool) -> int:
    """Return what is wrong after the first padding character, which ended before `at`."""
    at = _skip_line_breaks(raw, at)
    if missing:
        if at == len(raw):
            return at
        if raw[at] != _PADDING:
            return at - 1
        at = _skip_line_breaks(raw, at + 1)
    return at


def _skip_line_breaks(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] in _LINE_BREAKS:
        at += 1
    return at

"""Writing messages: the reverse of `kube.protobuf.reader`, for objects that are normalized.

Fields follow each other as in the dict, which readers must accept; absent and null fields are not
written, which a Go reader takes for their zero.
"""

from __future__ import annotations

import struct as binary
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kube.json_types import JsonObject
from kube.protobuf import values, wire
from kube.protobuf.numbers import numbers_of
from kube.protobuf.reader import ALLOWS, LIST, SCHEMA, union_fields
from kube.protobuf.values import length_prefixed
from kube.schema.compile import builtin_schemas
from kube.schema.model import Field, Kind, Type

_Write = Callable[[list[bytes], Any], None]
"""Appends a field's bytes, tag included, to a list of parts."""
_Payload = Callable[[Any], bytes]
_PAYLOADS: Final[dict[Kind, _Payload]] = {
    Kind.STRING: values.write_string,
    Kind.BYTES: values.write_bytes,
    Kind.QUANTITY: values.write_quantity,
    Kind.TIME: values.write_time,
    Kind.MICRO_TIME: values.write_time,
    Kind.INT_OR_STRING: values.write_int_or_string,
    Kind.ANY: values.write_raw,
}
_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT32, Kind.INT64})
_DOUBLE: Final = binary.Struct("<d")


class _Plan:
    """How to write one message: writers by JSON name, inner messages shown in the same dict."""

    __slots__ = ("fields", "inline")

    def __init__(self) -> None:
        self.fields: dict[str, _Write] = {}
        self.inline: list[tuple[bytes, _Plan, frozenset[str]]] = []

    def write(self, obj: JsonObject) -> bytes:
        """Return the message's bytes."""
        parts: list[bytes] = []
        fields = self.fields
        for name, value in obj.items():
            write = fields.get(name)
            if write is not None and value is not None:
                write(parts, value)
        for tag, plan, names in self.inline:
            inner = {name: value for name, value in obj.items() if name in names}
            if inner:
                parts.append(length_prefixed(tag, plan.write(inner)))
        return b"".join(parts)


def write_message(definition: str, obj: JsonObject) -> bytes:
    """Return an object of a definition as a message, without envelope.

    Raises:
        ValueError: a value does not fit its field, or the object is nested too deeply.
    """
    try:
        return _plan_of(definition).write(obj)
    except (TypeError, AttributeError, binary.error) as error:
        raise ValueError(f"proto: a value does not fit its field: {error}") from error
    except RecursionError as error:
        raise ValueError("proto: exceeded max depth") from error


@cache
def _plan_of(definition: str) -> _Plan:
    return _build(builtin_schemas().struct(definition).fields, numbers_of(definition), 0)


def _build(fields: dict[str, Field], paths: dict[str, tuple[int, ...]], level: int) -> _Plan:
    plan = _Plan()
    inline: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, path in paths.items():
        if len(path) == level + 1:
            plan.fields[name] = _writer(path[level], fields[name].type)
        else:
            inline.setdefault(path[level], {})[name] = path
    for number, inner in inline.items():
        tag = wire.encode_tag(number, wire.BYTES)
        plan.inline.append((tag, _build(fields, inner, level + 1), frozenset(inner)))
    return plan


def _writer(number: int, type_: Type) -> _Write:
    """Return what writes a field of a type."""
    if type_.kind == Kind.LIST and type_.items is not None:
        one = _writer(number, type_.items)

        def write_list(parts: list[bytes], value: Any) -> None:
            for item in value:
                one(parts, item)

        return write_list
    if type_.kind == Kind.MAP and type_.items is not None:
        return _map_writer(number, type_.items)
    if type_.kind in _NUMBERS:
        varint_tag = wire.encode_tag(number, wire.VARINT)
        return lambda parts, value: parts.append(varint_tag + wire.encode_varint(value))
    if type_.kind == Kind.FLOAT:
        double_tag = wire.encode_tag(number, wire.FIXED64)
        return lambda parts, value: parts.append(double_tag + _DOUBLE.pack(value))
    tag, payload = wire.encode_tag(number, wire.BYTES), _payload_of(type_)
    return lambda parts, value: parts.append(length_prefixed(tag, payload(value)))


def _map_writer(number: int, type_: Type) -> _Write:
    tag = wire.encode_tag(number, wire.BYTES)
    write_key = _writer(1, Type(Kind.STRING))
    write_value = _wrapped(type_) if type_.kind == Kind.LIST else _writer(2, type_)

    def write(parts: list[bytes], value: Any) -> None:
        for key, item in value.items():
            entry: list[bytes] = []
            write_key(entry, key)
            if item is not None:
                write_value(entry, item)
            parts.append(length_prefixed(tag, b"".join(entry)))

    return write


def _wrapped(type_: Type) -> _Write:
    """Return what writes a list as a map's value: a message of one repeated field."""
    write_items, tag = _writer(1, type_), wire.encode_tag(2, wire.BYTES)

    def write(parts: list[bytes], value: Any) -> None:
        inner: list[bytes] = []
        write_items(inner, value)
        parts.append(length_prefixed(tag, b"".join(inner)))

    return write


def _payload_of(type_: Type) -> _Payload:
    """Return what gives the bytes of one delimited value."""
    if type_.kind == Kind.STRUCT and type_.struct is not None:
        definition = type_.struct.name
        return lambda value: _plan_of(definition).write(value)
    if type_.kind == Kind.UNION and type_.struct is not None:
        return _union_payload(Type(Kind.STRUCT, struct=type_.struct), type_.go_type)
    return _PAYLOADS[type_.kind]


def _union_payload(schema: Type, go_type: str) -> _Payload:
    writers = {
        name: _writer(number, type_)
        for number, (name, type_) in enumerate(union_fields(schema, go_type), start=1)
    }
    has_truth = ALLOWS in writers

    def payload(value: Any) -> bytes:
        parts: list[bytes] = []
        if isinstance(value, bool):
            writers[ALLOWS](parts, value)
        elif isinstance(value, list):
            writers[LIST](parts, value)
        else:
            if has_truth:
                writers[ALLOWS](parts, True)  # noqa: FBT003 - a JSON value, not an option
            writers[SCHEMA](parts, value)
        return b"".join(parts)

    return payload

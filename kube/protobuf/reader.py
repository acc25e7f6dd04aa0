"""Reading messages: from bytes to the dicts that the same object in JSON would give.

A `Message` is made per struct of the schema when first met, and holds for each tag what to do with
the value. Upstream's rules: the last value of a field counts, inner messages merge, repeated
scalars may be packed, unknown fields are skipped. Absent fields stay absent, zeros on the wire are
kept: `kube.schema.decode` drops them where upstream would. Nesting is bounded.
"""

from __future__ import annotations

import math
import struct as binary
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kube.json_types import JsonObject
from kube.protobuf import values, wire
from kube.protobuf.numbers import numbers_of
from kube.schema.compile import builtin_schemas
from kube.schema.model import Field, Kind, Type
from kube.schema.values import ZEROS

# Real objects nest ten or twenty levels, schemas in custom definitions some more.
DEPTH_MAX: Final = 100
TOO_DEEP: Final = "proto: exceeded max depth"
SCHEMA: Final = "schema"
LIST: Final = "list"
ALLOWS: Final = "allows"

_Element = Callable[[bytes, int, int, int], Any]
"""Takes (buf, start, stop, depth), returns a value."""
_Store = Callable[[JsonObject, bytes, int, int, int], None]
"""Takes (out, buf, start, stop, depth), stores a value in `out`."""
_SCALARS: Final[dict[Kind, Callable[[int], Any]]] = {
    Kind.BOOL: bool,
    Kind.INT32: wire.as_int32,
    Kind.INT64: wire.as_int64,
}
_PLAIN: Final[dict[Kind, Callable[[bytes, int, int], Any]]] = {
    Kind.STRING: values.read_string,
    Kind.BYTES: values.read_bytes,
    Kind.QUANTITY: values.read_quantity,
    Kind.TIME: values.read_time,
    Kind.MICRO_TIME: values.read_micro_time,
    Kind.INT_OR_STRING: values.read_int_or_string,
    Kind.ANY: values.read_raw,
}
_DOUBLE: Final = binary.Struct("<d")


class Message:
    """How to read one message, into a dict.

    Inside are by tag: the JSON name with what stores a delimited value (None: it is a text) or
    a number, and the names of doubles; by number, names for complaints.
    """

    __slots__ = ("_doubles", "_entries", "_names")

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Any, str]] = {}
        self._names: dict[int, str] = {}
        self._doubles: dict[int, str] = {}

    def add(self, number: int, name: str, type_: Type) -> None:
        """Have field `number` read as JSON field `name`."""
        self._names[number] = name
        is_list = type_.kind == Kind.LIST
        item = type_.items if is_list and type_.items is not None else type_
        delimited = number << 3 | wire.BYTES
        if item.kind == Kind.FLOAT:
            self._doubles[number << 3 | wire.FIXED64] = name
        elif (convert := _SCALARS.get(item.kind)) is not None:
            store = _appending_number if is_list else _setting_number
            self._entries[number << 3 | wire.VARINT] = (store(convert), name)
            if is_list:
                self._entries[delimited] = (_unpacking(name, convert), name)
        elif type_.kind == Kind.STRING:
            self._entries[delimited] = (None, name)
        else:
            self._entries[delimited] = (_store_of(name, type_, item), name)

    def add_inline(self, number: int, inner: Message) -> None:
        """Have the message in field `number` read into the same dict."""

        def store(out: JsonObject, buf: bytes, start: int, stop: int, depth: int) -> None:
            inner.read(buf, start, stop, depth, out)

        self._names[number] = ""
        self._entries[number << 3 | wire.BYTES] = (store, "")

    def read(self, buf: bytes, pos: int, end: int, depth: int, out: JsonObject) -> None:
        """Read `buf[pos:end]` into `out`.

        Raises:
            ValueError: it is malformed.
            IndexError: `buf` ends too early.
        """
        entries = self._entries
        while pos < end:
            tag = buf[pos]
            pos += 1
            if tag > 0x7F:
                tag, pos = wire.rest_of_varint(buf, pos)
            entry = entries.get(tag)
            if entry is None:
                pos = self._read_rare(buf, pos, end, tag, out)
                continue
            store, name = entry
            value = buf[pos]
            pos += 1
            if value > 0x7F:
                value, pos = wire.rest_of_varint(buf, pos)
            if not tag & 7:
                store(out, name, value)
                continue
            start, pos = pos, pos + value
            if pos > end:
                raise ValueError(wire.TRUNCATED)
            if store is None:
                out[name] = buf[start:pos].decode("utf-8", "replace")
            else:
                store(out, buf, start, pos, depth)
        if pos > end:
            raise ValueError(wire.TRUNCATED)

    def _read_rare(self, buf: bytes, pos: int, end: int, tag: int, out: JsonObject) -> int:
        """Read a double, skip an unknown field, refuse a known one of another wire type."""
        stop = wire.skip(buf, pos, end, tag)
        name = self._doubles.get(tag)
        if name is not None:
            (value,) = _DOUBLE.unpack_from(buf, pos)
            if not math.isfinite(value):
                raise ValueError(f"json: unsupported value: {value} in field {name}")
            out[name] = value
        elif (known := self._names.get(tag >> 3)) is not None:
            raise ValueError(f"proto: wrong wireType = {tag & 7} for field {known}")
        return stop


@cache
def message_of(definition: str) -> Message:
    """Return the reader of a definition's message."""
    return _build(builtin_schemas().struct(definition).fields, numbers_of(definition), 0)


def _build(fields: dict[str, Field], paths: dict[str, tuple[int, ...]], level: int) -> Message:
    message = Message()
    inline: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, path in paths.items():
        if len(path) == level + 1:
            message.add(path[level], name, fields[name].type)
        else:
            inline.setdefault(path[level], {})[name] = path
    for number, inner in inline.items():
        message.add_inline(number, _build(fields, inner, level + 1))
    return message


def _setting_number(convert: Callable[[int], Any]) -> Callable[[JsonObject, str, int], None]:
    def store(out: JsonObject, name: str, value: int) -> None:
        out[name] = convert(value)

    return store


def _store_of(name: str, type_: Type, item: Type) -> _Store:
    """Return what stores a delimited value of a field."""
    if type_.kind == Kind.LIST:
        return _appending(name, _element_of(item))
    if type_.kind == Kind.MAP and type_.items is not None:
        return _putting(name, type_.items)
    if type_.kind == Kind.STRUCT and type_.struct is not None:
        return _merging(name, type_.struct.name)
    return _setting(name, _element_of(type_))


def _setting(name: str, read: _Element) -> _Store:
    def store(out: JsonObject, buf: bytes, start: int, stop: int, depth: int) -> None:
        out[name] = read(buf, start, stop, depth)

    return store


def _appending(name: str, read: _Element) -> _Store:
    def store(out: JsonObject, buf: bytes, start: int, stop: int, depth: int) -> None:
        found = out.get(name)
        if found is None:
            found = out[name] = []
        found.append(read(buf, start, stop, depth))

    return store


def _appending_number(convert: Callable[[int], Any]) -> Callable[[JsonObject, str, int], None]:
    def store(out: JsonObject, name: str, value: int) -> None:
        out.setdefault(name, []).append(convert(value))

    return store


def _unpacking(name: str, convert: Callable[[int], Any]) -> _Store:
    def store(out: JsonObject, buf: bytes, start: int, stop: int, _: int) -> None:
        items = out.setdefault(name, [])
        while start < stop:
            value, start = wire.read_varint(buf, start)
            items.append(convert(value))
        if start > stop:
            raise ValueError(wire.TRUNCATED)

    return store


def _merging(name: str, definition: str) -> _Store:
    def store(out: JsonObject, buf: bytes, start: int, stop: int, depth: int) -> None:
        if depth >= DEPTH_MAX:
            raise ValueError(TOO_DEEP)
        inner = out.get(name)
        if inner is None:
            inner = out[name] = {}
        message_of(definition).read(buf, start, stop, depth + 1, inner)

    return store


def _putting(name: str, type_: Type) -> _Store:
    """Return what stores a map's entry: a message of key and value, zero where they are absent."""
    entry = Message()
    entry.add(1, "key", Type(Kind.STRING))
    if type_.kind == Kind.LIST:
        # In protobuf lists are no values of maps: a message of one repeated field stands between.
        wrapper = Message()
        wrapper.add(1, "value", type_)
        entry.add_inline(2, wrapper)
    else:
        entry.add(2, "value", type_)
    zero = ZEROS.get(type_.kind)
    is_struct = type_.kind == Kind.STRUCT

    def store(out: JsonObject, buf: bytes, start: int, stop: int, depth: int) -> None:
        found: JsonObject = {"key": ""}
        entry.read(buf, start, stop, depth, found)
        items = out.get(name)
        if items is None:
            items = out[name] = {}
        items[found["key"]] = found.get("value", {} if is_struct else zero)

    return store


def _element_of(type_: Type) -> _Element:
    """Return what reads one delimited value of a type."""
    if type_.kind == Kind.STRUCT and type_.struct is not None:
        return _struct_element(type_.struct.name)
    if type_.kind == Kind.UNION and type_.struct is not None:
        return _union_element(Type(Kind.STRUCT, struct=type_.struct), type_.go_type)
    plain = _PLAIN[type_.kind]
    return lambda buf, start, stop, _: plain(buf, start, stop)


def _struct_element(definition: str) -> _Element:
    def read(buf: bytes, start: int, stop: int, depth: int) -> JsonObject:
        if depth >= DEPTH_MAX:
            raise ValueError(TOO_DEEP)
        out: JsonObject = {}
        message_of(definition).read(buf, start, stop, depth + 1, out)
        return out

    return read


def _union_element(schema: Type, go_type: str) -> _Element:
    """Return what reads a schema, or a list or a truth value in its place."""
    union = Message()
    for number, (name, type_) in enumerate(union_fields(schema, go_type), start=1):
        union.add(number, name, type_)
    otherwise = False if go_type.endswith("OrBool") else None

    def read(buf: bytes, start: int, stop: int, depth: int) -> Any:
        found: JsonObject = {}
        union.read(buf, start, stop, depth, found)
        for name in (LIST, SCHEMA, ALLOWS):
            if name in found:
                return found[name]
        return otherwise

    return read


def union_fields(schema: Type, go_type: str) -> tuple[tuple[str, Type], tuple[str, Type]]:
    """Return name and type of the two fields of a union's message, in order of their numbers."""
    if go_type.endswith("OrBool"):
        return (ALLOWS, Type(Kind.BOOL)), (SCHEMA, schema)
    items = schema if go_type.endswith("OrArray") else Type(Kind.STRING)
    return (SCHEMA, schema), (LIST, Type(Kind.LIST, items=items))

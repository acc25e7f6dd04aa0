"""Binary fields: where in an object of a type base64 stands for bytes.

JSON has base64 there; CBOR has the bytes themselves, which only the type can tell from text.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any, Final

from kube.schema.model import Kind, Struct, Type

EACH: Final = "*"
"""In a path: every element of a list, every value of a map."""
Path = tuple[str, ...]


def blob_paths(struct: Struct) -> tuple[Path, ...]:
    """Return the places of a struct's binary fields; most types have none.

    Those of structs inside themselves are left out: they stay base64 text, which says the same.
    """
    return tuple(_in_struct(struct, (), frozenset()))


def _in_struct(struct: Struct, at: Path, inside: frozenset[str]) -> Iterator[Path]:
    if struct.name in inside:
        return
    for name, field in struct.fields.items():
        yield from _in_type(field.type, (*at, name), inside | {struct.name})


def _in_type(type_: Type, at: Path, inside: frozenset[str]) -> Iterator[Path]:
    if type_.kind is Kind.BYTES:
        yield at
    elif type_.kind is Kind.STRUCT and type_.struct is not None:
        yield from _in_struct(type_.struct, at, inside)
    elif type_.kind in (Kind.LIST, Kind.MAP) and type_.items is not None:
        yield from _in_type(type_.items, (*at, EACH), inside)


def unpack_blobs(value: Any, path: Path) -> Any:
    """Return `value`, changed in place, with bytes for the base64 at `path`."""
    if not path:
        return _unpacked(value)
    if value.__class__ is dict:
        names = value if path[0] == EACH else path[:1] if path[0] in value else ()
        for name in names:
            value[name] = unpack_blobs(value[name], path[1:])
    elif value.__class__ is list and path[0] == EACH:
        for at, item in enumerate(value):
            value[at] = unpack_blobs(item, path[1:])
    return value


def _unpacked(value: Any) -> Any:
    if value.__class__ is not str:
        return value
    try:
        raw = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return value
    # What is not written as it would be read back must stay text.
    return raw if binascii.b2a_base64(raw, newline=False) == value.encode() else value

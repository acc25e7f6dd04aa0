"""The types that expressions are checked by.

A type is what CEL says of it (`kind`, `name`, parameters) and what Kubernetes knows besides: the
fields of an object, how large a value may get, how lists compare. Only the former decides whether
two types are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SIZE_MAX: Final = (1 << 64) - 1
"""A size or cost that nobody knows."""


@dataclass(frozen=True, slots=True)
class TypeField:
    """A field of an object: its name in JSON, which may differ from that in CEL, and its type."""

    json_name: str
    type: CelType


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CelType:
    """A type.

    Attributes:
        kind: int, string, list, map, object, opaque, optional_type, type, param, dyn, error ...
        name: of objects, opaque types and parameters.
        params: of lists, maps, optionals and types of types.
        fields: of objects, by their names in CEL.
        size_max: how many elements or bytes a value may have.
        encoded_min: how many bytes a value has in JSON at least.
        list_type: set and map lists are compared and joined regardless of order.
        list_keys: the keys of the elements of a map list.
        open_ended: an object of which any field may be asked.
    """

    kind: str
    name: str = ""
    params: tuple[CelType, ...] = ()
    fields: dict[str, TypeField] = field(default_factory=dict)
    size_max: int = SIZE_MAX
    encoded_min: int = 1
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    open_ended: bool = False

    def __str__(self) -> str:
        if self.kind in ("object", "opaque", "param"):
            return self.name
        if self.params:
            return f"{self.kind}({', '.join(map(str, self.params))})"
        return self.kind


def _simple(kind: str, encoded_min: int = 1) -> CelType:
    return CelType(kind, encoded_min=encoded_min)


DYN: Final = _simple("dyn")
ERROR: Final = _simple("error")
NULL: Final = _simple("null")
BOOL: Final = _simple("bool", 4)
INT: Final = _simple("int")
UINT: Final = _simple("uint")
DOUBLE: Final = _simple("double")
STRING: Final = _simple("string", 2)
BYTES: Final = _simple("bytes", 2)
TIMESTAMP: Final = _simple("timestamp", 21)
DURATION: Final = _simple("duration", 3)
SIMPLE: Final = {
    str(each): each
    for each in (
        DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION,
    )
}  # fmt: skip
SCALARS: Final = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
NULLABLE: Final = frozenset({"object", "opaque", "optional_type", "timestamp", "duration", "null"})


def list_of(element: CelType) -> CelType:
    """Return the type of lists of something."""
    return CelType("list", params=(element,))


def map_of(key: CelType, value: CelType) -> CelType:
    """Return the type of maps of something."""
    return CelType("map", params=(key, value))


def optional_of(value: CelType) -> CelType:
    """Return the type of what may be absent."""
    return CelType("optional_type", params=(value,))


def opaque(name: str) -> CelType:
    """Return a type of which only its functions know more."""
    return CelType("opaque", name)


def type_of(value: CelType) -> CelType:
    """Return the type of a type."""
    return CelType("type", params=(value,))


def same(left: CelType, right: CelType) -> bool:
    """Tell whether two types are one to CEL."""
    return left is right or (
        left.kind == right.kind
        and left.name == right.name
        and len(left.params) == len(right.params)
        and all(map(same, left.params, right.params))
    )


def parse_type(text: str) -> CelType:
    """Return the type that a declaration writes: `list(A)`, `map(string, int)`, `net.IP`."""
    made, rest = _read(text.strip())
    assert not rest, text
    return made


def _read(text: str) -> tuple[CelType, str]:
    end = next((at for at, char in enumerate(text) if char in "(,)"), len(text))
    name, rest = text[:end].strip(), text[end:]
    params: list[CelType] = []
    while rest[:1] == "(" or (params and rest[:1] == ","):
        param, rest = _read(rest[1:].strip())
        params.append(param)
    if params:
        return CelType(name, params=tuple(params)), rest[1:].strip()
    if name in SIMPLE:
        return SIMPLE[name], rest
    return CelType("param" if len(name) == 1 else "opaque", name), rest

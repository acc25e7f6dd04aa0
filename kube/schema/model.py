"""What a schema is made of: structs with fields, and the types of values.

One structure serves built-in definitions and CustomResourceDefinitions, and all that walks
objects: decoding, strategic merge, server-side apply, pruning. Invariants: nothing changes after
loading except that a `SchemaSet` builds its structs on first use; structs may be recursive, so
walkers follow objects, never schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Final

from kube.json_types import JsonObject

ATOMIC: Final = "atomic"
SET: Final = "set"
MAP: Final = "map"

MERGE: Final = "merge"
REPLACE: Final = "replace"
RETAIN_KEYS: Final = "retainKeys"


class Kind(IntEnum):
    """What a value is; the numbers stand in the disk cache."""

    ANY = 0  # free-form JSON, passed through untouched
    STRING = 1
    BOOL = 2
    INT32 = 3
    INT64 = 4
    FLOAT = 5
    BYTES = 6  # base64 in JSON
    QUANTITY = 7
    TIME = 8
    MICRO_TIME = 9
    INT_OR_STRING = 10
    STRUCT = 11
    LIST = 12
    MAP = 13
    UNION = 14  # a struct, a list of it, or something else: items of a JSON schema and so on


KEY_DEFAULTS: Final[dict[tuple[str, str], Any]] = {
    ("ContainerPort", "protocol"): "TCP",
    ("ServicePort", "protocol"): "TCP",
    ("LocalObjectReference", "name"): "",
}
"""Defaults of fields that are keys of lists, which the definitions do not carry."""
_ZERO_KEYS: Final[dict[Kind, Any]] = {
    Kind.STRING: "",
    Kind.BOOL: False,
    Kind.INT32: 0,
    Kind.INT64: 0,
}


class Type:
    """The type of a value.

    Attributes:
        struct: for STRUCT and UNION, the struct.
        items: for LIST and MAP, the type of elements or values.
        list_type: for LIST: atomic, set, map, or "" where upstream says nothing (then atomic).
        list_keys: for lists of type map, the fields that identify an element.
        map_type: for MAP and STRUCT: atomic or granular; "" means granular.
        go_type: upstream's name of the type in error messages: `int32`, `[]v1.Container`.
        preserve_unknown: fields that the struct lacks are kept (custom resources).
        embedded: the value is a whole object with apiVersion, kind and metadata.
        nullable: null is a value of its own (custom resources).
        source: the OpenAPI node a custom type was compiled from, None for built-in types.
    """

    __slots__ = (
        "embedded",
        "go_type",
        "items",
        "kind",
        "list_keys",
        "list_type",
        "map_type",
        "nullable",
        "preserve_unknown",
        "source",
        "struct",
    )

    def __init__(
        self,
        kind: Kind,
        *,
        struct: Struct | None = None,
        items: Type | None = None,
        go_type: str = "",
    ) -> None:
        self.kind = kind
        self.struct = struct
        self.items = items
        self.go_type = go_type
        self.list_type = ""
        self.list_keys: tuple[str, ...] = ()
        self.map_type = struct.map_type if struct is not None else ""
        self.preserve_unknown = False
        self.embedded = False
        self.nullable = False
        self.source: JsonObject | None = None

    def __repr__(self) -> str:
        return f"Type({self.kind.name}, {self.go_type!r})"


class Field:
    """A field of a struct.

    Attributes:
        pointer: upstream holds a pointer, so that a zero value differs from an absent one.
        omit_empty: an empty value is left out of the encoding.
        omit_zero: a struct value that is all empty is left out too.
        required: the schema lists it so.
        merge_key: the field by which strategic merge matches list elements, "" if none.
        strategies: of strategic merge: merge, replace, retainKeys; usually one or none.
        default: what an absent key of a list's element counts as in apply; None: nothing.
    """

    __slots__ = (
        "default",
        "merge_key",
        "name",
        "omit_empty",
        "omit_zero",
        "pointer",
        "required",
        "strategies",
        "type",
    )

    def __init__(self, name: str, type_: Type) -> None:
        self.name = name
        self.type = type_
        self.pointer = False
        self.omit_empty = True
        self.omit_zero = False
        self.required = False
        self.merge_key = ""
        self.strategies: tuple[str, ...] = ()
        self.default: Any = None

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.type!r})"


class Struct:
    """A JSON object with named fields.

    Attributes:
        name: definition name, "" for an unnamed struct of a custom type.
        go_name: upstream's bare type name in error messages: `PodSpec`.
        fields: by JSON name.
        map_type: atomic when the whole is replaced at once by apply.
    """

    __slots__ = ("fields", "go_name", "map_type", "name")

    def __init__(self, name: str, go_name: str, map_type: str = "") -> None:
        self.name = name
        self.go_name = go_name
        self.map_type = map_type
        self.fields: dict[str, Field] = {}

    def __repr__(self) -> str:
        return f"Struct({self.name!r}, {len(self.fields)} fields)"


class SchemaSet:
    """Definitions by name, made into structs when first asked for.

    Args of the constructor: rows as `kube.schema.compile` produces them.
    """

    __slots__ = ("_rows", "_structs")

    def __init__(self, rows: Mapping[str, tuple[Any, ...]]) -> None:
        self._rows = rows
        self._structs: dict[str, Struct] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def struct(self, name: str) -> Struct:
        """Return the struct of a definition.

        Raises:
            KeyError: no such definition.
        """
        found = self._structs.get(name)
        if found is None:
            go_name, map_type, field_rows = self._rows[name]
            # Registered before its fields are made: definitions may contain themselves.
            found = self._structs[name] = Struct(name, go_name, map_type)
            for row in field_rows:
                found.fields[row[0]] = self._field(row, go_name)
        return found

    def field(self, struct_name: str, field_name: str) -> Field | None:
        """Return a field of a definition, None if it has no such field."""
        return self.struct(struct_name).fields.get(field_name)

    def _field(self, row: tuple[Any, ...], owner: str) -> Field:
        name, type_row, flags, merge_key, strategies = row
        field = Field(name, self._type(type_row))
        field.pointer = "p" in flags
        field.omit_empty = "e" in flags
        field.omit_zero = "z" in flags
        field.required = "r" in flags
        field.merge_key = merge_key
        field.strategies = strategies
        field.default = KEY_DEFAULTS.get((owner, name))
        if field.default is None and not (field.pointer or field.omit_empty):
            # Upstream's schema gives what is always written its zero value for a default.
            field.default = _ZERO_KEYS.get(field.type.kind)
        return field

    def _type(self, row: tuple[Any, ...]) -> Type:
        kind, ref, items_row, go_type, list_type, list_keys, map_type = row
        made = Type(
            Kind(kind),
            struct=self.struct(ref) if ref else None,
            items=self._type(items_row) if items_row else None,
            go_type=go_type,
        )
        made.list_type = list_type
        made.list_keys = list_keys
        if map_type:
            made.map_type = map_type
        return made

"""Types for tests of structured merge: as a CustomResourceDefinition would declare them."""

from __future__ import annotations

from typing import Any

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.entries import APPLY, UPDATE, Managers, Owned, identity
from kube.managed.sets import FieldSet
from kube.managed.updater import MissingVersion
from kube.schema.model import ATOMIC, MAP, SET, Field, Kind, Struct, Type

VERSION = "v1"


def scalar(kind: Kind = Kind.STRING) -> Type:
    """Return the type of a scalar."""
    return Type(kind)


def struct_of(map_type: str = "", /, *, preserve: bool = False, **fields: Type) -> Type:
    """Return the type of a struct with these fields."""
    struct = Struct("", "", map_type)
    for name, type_ in fields.items():
        struct.fields[name] = Field(name, type_)
    made = Type(Kind.STRUCT, struct=struct)
    made.preserve_unknown = preserve
    return made


def list_of(items: Type, list_type: str = ATOMIC, keys: tuple[str, ...] = ()) -> Type:
    """Return the type of a list."""
    made = Type(Kind.LIST, items=items)
    made.list_type = list_type
    made.list_keys = keys
    return made


def map_of(values: Type, map_type: str = "") -> Type:
    """Return the type of a map."""
    made = Type(Kind.MAP, items=values)
    made.map_type = map_type
    return made


def port_type() -> Type:
    """Return the type of a port whose protocol, one of its keys, has a default."""
    made = struct_of(port=scalar(Kind.INT32), protocol=scalar(), name=scalar())
    assert made.struct is not None
    made.struct.fields["protocol"].default = "TCP"
    return made


def object_type() -> Type:
    """Return the type of whole objects with one field of each kind."""
    return struct_of(
        apiVersion=scalar(),
        kind=scalar(),
        metadata=struct_of(
            name=scalar(),
            labels=map_of(scalar()),
            annotations=map_of(scalar()),
            managedFields=list_of(Type(Kind.ANY)),
        ),
        text=scalar(),
        number=scalar(Kind.INT32),
        flag=scalar(Kind.BOOL),
        inner=struct_of(a=scalar(), b=scalar(), deeper=struct_of(c=scalar())),
        whole=struct_of(ATOMIC, a=scalar(), b=scalar()),
        tags=map_of(scalar()),
        wholeMap=map_of(scalar(), ATOMIC),
        list=list_of(scalar()),
        set=list_of(scalar(), SET),
        ports=list_of(port_type(), MAP, ("port", "protocol")),
        named=list_of(
            struct_of(name=scalar(), value=scalar(), items=list_of(scalar(), SET)), MAP, ("name",)
        ),
        free=Type(Kind.ANY),
        open=struct_of(known=scalar(), preserve=True),
    )


OBJECT = object_type()


def of(**fields: Any) -> JsonObject:
    """Return an object with these fields."""
    return {"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "a"}, **fields}


def paths(fields: FieldSet) -> set[str]:
    """Return the members of a set, as conflicts show them."""
    return {sets.show_path(path) for path in sets.paths_of(fields)}


class OneVersion:
    """A type with one version that drops some fields."""

    def __init__(self, type_: Type = OBJECT, dropped: FieldSet = sets.EMPTY) -> None:
        self._type = type_
        self._dropped = dropped

    def type_at(self, version: str) -> Type:
        """Return the type."""
        if version != VERSION:
            raise MissingVersion(version)
        return self._type

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Refuse."""
        raise MissingVersion(f"{obj} {version}")

    def left(self, fields: FieldSet) -> FieldSet:
        """Return what is not dropped."""
        return sets.recursive_difference(fields, self._dropped)


def appliers(**fields: FieldSet) -> Managers:
    """Return managers that applied these sets."""
    return {identity(name, APPLY, VERSION): Owned(VERSION, own) for name, own in fields.items()}


def updaters(**fields: FieldSet) -> Managers:
    """Return managers that updated these sets."""
    return {identity(name, UPDATE, VERSION): Owned(VERSION, own) for name, own in fields.items()}

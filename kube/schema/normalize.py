"""The fast walk: one pass over a decoded object that makes it what upstream would write back.

For each struct a closure is made on first use. In one visit of each key it checks the type, drops
nulls and empty optional values, puts values in canonical form, adds what upstream always writes,
and counts keys. Invariants: the walk changes the object in place and knows no paths; a value that
does not fit raises `Mismatch`; unknown fields stay, and show as `UNKNOWN` in the count.
`kube.schema.report` then finds words and places. Measured (2-core machine): 0.9 KB ConfigMap 2 µs,
2.7 KB Pod of 127 keys 27 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from kube.json_types import JsonObject
from kube.schema.model import Field, Kind, Struct, Type
from kube.schema.values import CONVERTERS, ZEROS, Converter, Mismatch

UNKNOWN: Final = 1 << 40
"""Added to a key count for each unknown field; no object has that many keys."""

# How a field's value is treated: compared by class, converted, or walked.
_PLAIN: Final = 0
_CONVERT: Final = 1
_WALK: Final = 2

_NESTED: Final = frozenset({dict, list})
Walk: TypeAlias = Callable[[Any], int]
_Entry: TypeAlias = tuple[int, type | None, bool, Any]
_PLAIN_CLASSES: Final = {Kind.STRING: str, Kind.BOOL: bool}
_CONTAINERS: Final = {Kind.STRUCT: dict, Kind.MAP: dict, Kind.LIST: list}


class Normalizer:
    """Makes and keeps the walks of structs."""

    __slots__ = ("_walks",)

    def __init__(self) -> None:
        self._walks: dict[int, tuple[Struct, Walk]] = {}

    def walk_of(self, struct: Struct) -> Walk:
        """Return a function that normalizes a dict of this struct and returns its key count."""
        found = self._walks.get(id(struct))
        if found is not None:
            return found[1]
        entries: dict[str, _Entry] = {}
        always: list[tuple[str, Any]] = []
        walk = _struct_walk(entries, always)
        # Known before its fields are: structs may contain themselves.
        self._walks[id(struct)] = (struct, walk)
        for field in struct.fields.values():
            entries[field.name] = self._entry(field)
            zero = self._zero(field)
            if zero is not None:
                always.append((field.name, zero))
        return walk

    def _entry(self, field: Field) -> _Entry:
        kind = field.type.kind
        keep = field.pointer or not field.omit_empty
        plain = _PLAIN_CLASSES.get(kind)
        if plain is not None:
            return (_PLAIN, plain, keep, None)
        container = _CONTAINERS.get(kind)
        if container is not None:
            # A struct is written even when empty, unless the schema says otherwise.
            keep = not field.omit_zero if kind is Kind.STRUCT else not field.omit_empty
            return (_WALK, container, keep, self._walk_of_type(field.type))
        if kind in {Kind.ANY, Kind.UNION}:
            return (_WALK, None, True, self._walk_of_type(field.type))
        keep = keep or kind in {Kind.QUANTITY, Kind.INT_OR_STRING}
        return (_CONVERT, None, keep, CONVERTERS[kind])

    def _zero(self, field: Field) -> Any:
        """Return what to add when the field is absent: a value, or a struct's walk."""
        if field.pointer or field.omit_zero:
            return None
        kind = field.type.kind
        if kind is Kind.STRUCT:
            assert field.type.struct is not None
            return self.walk_of(field.type.struct)
        if field.omit_empty and kind not in {Kind.QUANTITY, Kind.INT_OR_STRING}:
            return None
        return ZEROS.get(kind)

    def _walk_of_type(self, type_: Type) -> Walk:
        match type_.kind:
            case Kind.STRUCT:
                assert type_.struct is not None
                return self.walk_of(type_.struct)
            case Kind.LIST:
                assert type_.items is not None
                return self._list_walk(type_.items)
            case Kind.MAP:
                assert type_.items is not None
                return self._map_walk(type_.items)
            case Kind.UNION:
                assert type_.struct is not None
                return _union_walk(self.walk_of(type_.struct))
            case _:
                return count_keys

    def _list_walk(self, items: Type) -> Walk:
        if items.kind is Kind.STRING:
            return _walk_strings
        if items.kind is Kind.STRUCT:
            assert items.struct is not None
            return _struct_list_walk(self.walk_of(items.struct))
        if items.kind in CONVERTERS:
            return _converted_list_walk(CONVERTERS[items.kind], ZEROS.get(items.kind))
        return _nested_list_walk(self._walk_of_type(items), _CONTAINERS.get(items.kind))

    def _map_walk(self, items: Type) -> Walk:
        if items.kind is Kind.STRING:
            return _walk_string_map
        if items.kind in CONVERTERS:
            return _converted_map_walk(CONVERTERS[items.kind], ZEROS.get(items.kind))
        is_struct = items.kind is Kind.STRUCT
        walk = self._walk_of_type(items)
        return _nested_map_walk(walk, _CONTAINERS.get(items.kind), fill_null=is_struct)


def count_keys(value: Any) -> int:
    """Return how many keys the objects within a free-form value have."""
    if value.__class__ is dict:
        return len(value) + sum(
            [count_keys(v) for v in value.values() if v and v.__class__ in _NESTED]
        )
    if value.__class__ is list:
        return sum([count_keys(v) for v in value if v and v.__class__ in _NESTED])
    return 0


# In one piece despite its branches: the loop runs for every key of every object written, and a
# call per key would cost a seventh more.
def _struct_walk(  # noqa: C901
    entries: dict[str, _Entry], always: list[tuple[str, Any]]
) -> Walk:
    find = entries.get

    def walk(obj: JsonObject) -> int:  # noqa: C901, PLR0912
        count = len(obj)
        dropped = None
        for key, value in obj.items():
            entry = find(key)
            if entry is None:
                count += UNKNOWN
                continue
            how, expected, keep, child = entry
            if how == _PLAIN:
                if value.__class__ is expected:
                    if value or keep:
                        continue
                elif value is not None:
                    raise Mismatch
            elif value is None:
                pass
            elif how == _CONVERT:
                new = child(value)
                if new is not value:
                    obj[key] = new
                if new or (keep and new is not None):
                    continue
            else:
                if expected is not None and value.__class__ is not expected:
                    raise Mismatch
                count += child(value)
                if keep or value:
                    continue
            if dropped is None:
                dropped = [key]
            else:
                dropped.append(key)
        if dropped is not None:
            for key in dropped:
                del obj[key]
        for key, zero in always:
            if key not in obj:
                _add_zero(obj, key, zero)
        return count

    return walk


def _add_zero(obj: JsonObject, key: str, zero: Any) -> None:
    if callable(zero):
        empty: JsonObject = {}
        obj[key] = empty
        zero(empty)
    else:
        obj[key] = zero


def _walk_strings(value: list[Any]) -> int:
    for index, item in enumerate(value):
        if item.__class__ is not str:
            if item is not None:
                raise Mismatch
            value[index] = ""
    return 0


def _walk_string_map(value: JsonObject) -> int:
    for key, item in value.items():
        if item.__class__ is not str:
            if item is not None:
                raise Mismatch
            value[key] = ""
    return len(value)


def _struct_list_walk(walk_item: Walk) -> Walk:
    def walk(value: list[Any]) -> int:
        count = 0
        for index, item in enumerate(value):
            if item.__class__ is dict:
                count += walk_item(item)
            elif item is None:
                empty: JsonObject = {}
                value[index] = empty
                walk_item(empty)
            else:
                raise Mismatch
        return count

    return walk


def _converted_list_walk(convert: Converter, zero: Any) -> Walk:
    def walk(value: list[Any]) -> int:
        for index, item in enumerate(value):
            value[index] = zero if item is None else convert(item)
        return 0

    return walk


def _converted_map_walk(convert: Converter, zero: Any) -> Walk:
    def walk(value: JsonObject) -> int:
        for key, item in value.items():
            new = zero if item is None else convert(item)
            if new is not item:
                value[key] = new
        return len(value)

    return walk


def _nested_list_walk(walk_item: Walk, expected: type | None) -> Walk:
    def walk(value: list[Any]) -> int:
        count = 0
        for item in value:
            if item is None:
                continue
            if expected is not None and item.__class__ is not expected:
                raise Mismatch
            count += walk_item(item)
        return count

    return walk


def _nested_map_walk(walk_item: Walk, expected: type | None, *, fill_null: bool) -> Walk:
    def walk(value: JsonObject) -> int:
        count = len(value)
        for key, item in value.items():
            if item is None:
                if fill_null:
                    _add_zero(value, key, walk_item)
                continue
            if expected is not None and item.__class__ is not expected:
                raise Mismatch
            count += walk_item(item)
        return count

    return walk


def _union_walk(walk_struct: Walk) -> Walk:
    """Walk a JSON schema's items, additionalProperties or dependencies."""

    def walk(value: Any) -> int:
        if value.__class__ is dict:
            return walk_struct(value)
        if value.__class__ is list:
            return sum(walk_struct(item) for item in value if item.__class__ is dict)
        if value.__class__ is bool:
            return 0
        raise Mismatch

    return walk

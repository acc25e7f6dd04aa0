"""The field set of a new object, as bytes, at the cost of looking at its keys.

What a creator manages depends on the shape of the object alone: which keys its structs and maps
have, and by what its lists know their items. So for each struct a template is kept for each
combination of keys that was met; only what has a shape of its own below is looked into. This is
`tracking.changed` from an empty object to a new one, and has to say the same; it is made for
objects that were just decoded, so that nothing in them is null.

Invariants: templates are bounded in number, and so are remembered maps, which are bounded in size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from kube.json_types import JsonObject
from kube.managed.atoms import (
    Shape,
    element_of,
    fields_of,
    is_atomic,
    is_deduced,
    shape_of,
    type_of_items,
)
from kube.managed.compare import ABSENT, compare
from kube.managed.elements import field_element, in_order
from kube.managed.sets import MEMBER
from kube.managed.updater import NOBODYS
from kube.schema.model import MAP, Field, Kind, Struct, Type
from kube.schema.values import ZEROS

Walk = Callable[[Any], bytes]
_MEMBER: Final = b"{}"
_TEMPLATES_MAX: Final = 256
_MAPS_MAX: Final = 512
_MAP_KEYS_MAX: Final = 16
_LISTS_MAX: Final = 256
_ITEMS_MAX: Final = 16
_LEFT_OUT: Final = frozenset(name[2:] for name in NOBODYS["f:metadata"] if name != ".")


class _Template(NamedTuple):
    """The set of a struct with certain keys.

    Attributes:
        text: whole, or with a `%b` for each of `below`.
        below: what is looked into: its key and how.
    """

    text: bytes
    below: tuple[tuple[str, Walk], ...]


def _key(name: str) -> bytes:
    return orjson.dumps(field_element(name))


def _element(element: str) -> bytes:
    return orjson.dumps(element)


_maps: Final[dict[tuple[str, ...], bytes]] = {}


def _map_of_leaves(value: JsonObject) -> bytes:
    """Return the set of a map whose values have no fields of their own: labels, data."""
    names = tuple(value)
    known = _maps.get(names)
    if known is not None:
        return known
    inner = b"".join([b",%b:{}" % _key(name) for name in sorted(names)])
    made = b'{".":{}%b}' % inner if inner else _MEMBER
    if len(names) <= _MAP_KEYS_MAX:
        if len(_maps) >= _MAPS_MAX:
            _maps.pop(next(iter(_maps)), None)
        _maps[names] = made
    return made


class Shapes:
    """The walks of one set of definitions, made when first asked for."""

    def __init__(self) -> None:
        self._walks: dict[int, tuple[Struct, Walk]] = {}

    def of_type(self, type_: Type) -> Walk | None:
        """Return how to look into values of a type; None: they are one field, whatever they are."""
        if is_deduced(type_):
            return _deduced(type_)
        shape = shape_of(type_, None)
        if shape is Shape.SCALAR or is_atomic(type_, shape):
            return None
        if shape is Shape.LIST:
            return self._list_walk(type_)
        if type_.kind is Kind.STRUCT and type_.struct is not None:
            if type_.preserve_unknown:
                return _deduced(type_)
            return self._struct_walk(type_.struct)
        assert type_.items is not None
        below = self.of_type(type_.items)
        return _map_of_leaves if below is None else _map_walk(below)

    def _struct_walk(self, struct: Struct) -> Walk:
        found = self._walks.get(id(struct))
        if found is not None:
            return found[1]
        templates: dict[tuple[str, ...], _Template] = {}
        below: dict[str, Walk | None] = {}

        def walk(value: JsonObject) -> bytes:
            names = tuple(value)
            template = templates.get(names)
            if template is None:
                if len(templates) >= _TEMPLATES_MAX:
                    templates.clear()
                template = templates[names] = self._template(struct, below, names)
            text, dynamic = template
            return text % tuple([look(value[name]) for name, look in dynamic]) if dynamic else text

        # Known before its fields are: structs may contain themselves.
        self._walks[id(struct)] = (struct, walk)
        return walk

    def _template(
        self, struct: Struct, below: dict[str, Walk | None], names: tuple[str, ...]
    ) -> _Template:
        parts = [b'".":{}'] if names else []
        dynamic = []
        for name in sorted(names):
            if name not in below:
                field = struct.fields.get(name)
                below[name] = self.of_type(field.type) if field is not None else None
            look = below[name]
            if look is None:
                parts.append(b"%b:{}" % _key(name).replace(b"%", b"%%"))
            else:
                parts.append(b"%b:%%b" % _key(name).replace(b"%", b"%%"))
                dynamic.append((name, look))
        text = b"{%b}" % b",".join(parts)
        # What has nothing to fill in is not formatted, so what was doubled is single again.
        return _Template(text if dynamic else text.replace(b"%%", b"%"), tuple(dynamic))

    def _list_walk(self, type_: Type) -> Walk:
        below = self.of_type(type_of_items(type_))

        def walk(items: list[Any]) -> bytes:
            parts = _items(type_, items, below)
            return b'{".":{},%b}' % b",".join(parts) if parts else _MEMBER

        name = _text_key(type_)
        struct = type_of_items(type_).struct
        if name is None or struct is None:
            return walk
        known: dict[tuple[Any, ...], bytes] = {}
        is_flat: bool | None = None

        def walk_flat(items: list[Any]) -> bytes:
            """Remember lists of items that differ in how they are called alone: conditions."""
            nonlocal is_flat
            if is_flat is None:  # found out late: structs may contain themselves
                is_flat = all(self.of_type(one.type) is None for one in struct.fields.values())
            if not is_flat or len(items) > _ITEMS_MAX:
                return walk(items)
            try:
                shape = tuple([(item[name], *item) for item in items])
            except (KeyError, TypeError):
                return walk(items)
            found = known.get(shape)
            if found is None:
                found = walk(items)
                if len(known) >= _LISTS_MAX:
                    known.pop(next(iter(known)), None)
                known[shape] = found
            return found

        return walk_flat


def _text_key(type_: Type) -> str | None:
    """Return what tells the items of a list apart, if that is one text."""
    if type_.list_type != MAP or len(type_.list_keys) != 1:
        return None
    name: str = type_.list_keys[0]
    field = fields_of(type_of_items(type_)).get(name)
    return name if field is not None and field.type.kind is Kind.STRING else None


def _items(type_: Type, items: list[Any], below: Walk | None) -> list[bytes]:
    """Return the items of a list as parts of a set.

    Raises:
        TypedError: an item has no name.
    """
    if len(items) == 1:
        item = items[0]
        inner = _MEMBER if below is None else below(item)
        return [b"%b:%b" % (_element(element_of(type_, item)), inner)]
    found: dict[str, Any] = {}
    for item in items:
        element = element_of(type_, item)
        found[element] = ABSENT if element in found else item
    return [
        b"%b:%b"
        % (
            _element(element),
            _MEMBER if below is None or found[element] is ABSENT else below(found[element]),
        )
        for element in in_order(found)
    ]


def _map_walk(below: Walk) -> Walk:
    def walk(value: JsonObject) -> bytes:
        inner = b"".join([b",%b:%b" % (_key(name), below(value[name])) for name in sorted(value)])
        return b'{".":{}%b}' % inner if inner else _MEMBER

    return walk


def _deduced(type_: Type) -> Walk:
    """Look into what no schema describes the long way."""
    whole = Type(Kind.MAP, items=type_)

    def walk(value: Any) -> bytes:
        added = compare(whole, {}, {"": value}).added
        return orjson.dumps(added.get("f:", MEMBER))

    return walk


class NewObjects:
    """The field sets of new objects of one type.

    Args of the constructor:
        shapes: shared by types.
        struct: of whole objects.
        reset: top-level fields that a create drops.
    """

    def __init__(self, shapes: Shapes, struct: Struct, reset: frozenset[str]) -> None:
        self._shapes = shapes
        self._struct = struct
        self._left_out = reset | {"metadata", "apiVersion", "kind"}
        self._templates: dict[tuple[int, tuple[str, ...]], _Zeroed] = {}
        self._tracks_metadata = "metadata" not in reset

    def metadata(self, metadata: JsonObject) -> bytes:
        """Return what is managed of metadata, as `"f:metadata":{…}` or nothing."""
        field = self._struct.fields.get("metadata")
        if field is None or field.type.struct is None or not self._tracks_metadata:
            return b""
        inner = self._zeroed(field.type.struct, metadata, _LEFT_OUT)
        return b'"f:metadata":{%b}' % inner if inner else b""

    def all(self, obj: JsonObject) -> bytes:
        """Return what is managed of an object, or nothing; raises as `rest`."""
        own, rest = self.metadata(obj["metadata"]), self.rest(obj)
        return b"%b,%b" % (own, rest) if own and rest else own or rest

    def rest(self, obj: JsonObject) -> bytes:
        """Return what is managed of all else: parts of a set, or nothing.

        Raises:
            TypedError: a list has an item without a name.
        """
        return self._zeroed(self._struct, obj, self._left_out)

    def _zeroed(self, struct: Struct, value: JsonObject, left_out: frozenset[str]) -> bytes:
        """Return the inside of the set of a struct that an empty object has too."""
        key = (id(struct), tuple(value))
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _TEMPLATES_MAX:
                self._templates.clear()
            names = sorted(name for name in value if name not in left_out)
            template = self._templates[key] = _Zeroed(
                [(name, self._look(struct.fields.get(name))) for name in names]
            )
        return template.fill(value)

    def _look(self, field: Field | None) -> _Look | None:
        """Return how to look at a field: its node, None where nothing in it is managed.

        None: it is managed, whatever is in it.
        """
        if field is None:
            return None
        type_ = field.type
        below = self._shapes.of_type(type_)
        zero = zero_of(field)
        if zero is ABSENT:
            return below
        if below is None:
            return lambda value: None if value == zero else _MEMBER
        if type_.kind is Kind.STRUCT and type_.struct is not None:
            return self._look_at_struct(type_.struct)
        if type_.kind is Kind.LIST:
            return _look_at_list(type_, self._shapes.of_type(type_of_items(type_)))
        return lambda value: below(value).replace(b'".":{},', b"", 1) if value else _MEMBER

    def _look_at_struct(self, struct: Struct) -> _Look:
        def look(value: JsonObject) -> bytes | None:
            inner = self._zeroed(struct, value, _NONE)
            return b"{%b}" % inner if inner else None

        return look


class _Zeroed:
    """The set of a struct with certain keys that an empty object has too, without its braces."""

    __slots__ = ("_below", "_parts", "_text")

    def __init__(self, looks: list[tuple[str, _Look | None]]) -> None:
        self._below = tuple((name, look) for name, look in looks if look is not None)
        self._parts = [(_key(name), look is not None) for name, look in looks]
        text = b",".join(
            b"%b:%b" % (key.replace(b"%", b"%%"), b"%b" if is_filled else _MEMBER)
            for key, is_filled in self._parts
        )
        self._text = text if self._below else text.replace(b"%%", b"%")

    def fill(self, value: JsonObject) -> bytes:
        """Return the set of a struct that has these keys."""
        if not self._below:
            return self._text
        found = [look(value[name]) for name, look in self._below]
        if None not in found:
            return self._text % tuple(found)
        # Something is as it is in an empty object.
        inner = iter(found)
        nodes = [(key, next(inner) if is_filled else _MEMBER) for key, is_filled in self._parts]
        return b",".join(b"%b:%b" % (key, node) for key, node in nodes if node is not None)


_Look = Callable[[Any], bytes | None]
_NONE: Final[frozenset[str]] = frozenset()


def _look_at_list(type_: Type, below: Walk | None) -> _Look:
    def look(items: list[Any]) -> bytes | None:
        return b"{%b}" % b",".join(_items(type_, items, below)) if items else _MEMBER

    return look


def zero_of(field: Field) -> Any:
    """Return what upstream writes for a field that was never set, ABSENT if nothing."""
    kind = field.type.kind
    if field.pointer:
        return ABSENT if field.omit_empty else None
    if kind is Kind.STRUCT:
        assert field.type.struct is not None
        return ABSENT if field.omit_zero else zero_object(field.type.struct)
    if field.omit_empty and kind not in {Kind.QUANTITY, Kind.INT_OR_STRING}:
        return ABSENT
    return ZEROS.get(kind)


def zero_object(struct: Struct) -> JsonObject:
    """Return what upstream writes for a struct in which nothing was set, nulls included."""
    found = {}
    for name, field in struct.fields.items():
        zero = zero_of(field)
        if zero is not ABSENT:
            found[name] = zero
    return found

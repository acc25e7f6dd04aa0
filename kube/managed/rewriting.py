"""What a write makes of managedFields that are bytes: `tracking.update`, at the cost of a change.

Three kinds of write are nearly all there are:

    - a writer changes what is its own already: its entry gets another time;
    - a writer is the first to write a part of an object that nobody has written, as kubelets do
      with the status of new pods: an entry is added, whose set the shape of the part tells;
    - all else is compared as ever, and the entries that differ then are encoded anew.

Invariant: what comes of it is what `tracking.update` says of the same entries, to the byte.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from kube.json_types import JsonObject
from kube.managed import atoms, sets, stored
from kube.managed import entries as book
from kube.managed.atoms import TypedError, is_atomic
from kube.managed.compare import ABSENT, NO_KEYS, changed_in_part, changed_values, taken_node
from kube.managed.elements import field_element
from kube.managed.entries import UPDATE, UPDATE_MANAGERS_MAX, Identity
from kube.managed.renewal import changed_part, named_set, renewed_names
from kube.managed.sets import FieldSet
from kube.managed.shapes import Shapes, Walk
from kube.managed.stored import Shape, Stored
from kube.managed.tracking import Writer, settled, update
from kube.managed.updater import NOBODYS_METADATA, Updater, Versions
from kube.schema.model import Kind, Struct, Type

_TEMPLATES_MAX: Final = 256


_Change = tuple[str, Any, Any]
"""The name of a part of an object, and the part before (ABSENT: it is new) and after."""
_Names = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Of a struct's fields: all, those that stay the same, those that have another value."""


class _Template(NamedTuple):
    """The inside of the set of a struct that has changed.

    Attributes:
        text: whole, or with a `%b` for each of `below`.
        below: what is looked into: its name, its type if it was there before, how if it was not.
    """

    text: bytes
    below: tuple[tuple[str, Type | None, Walk], ...]


_NONE: Final = _Template(b"", ())


class FirstWrites:
    """The sets of first writes of a part of objects.

    Args of the constructor:
        shapes: shared by types.
        name: of the part: a top-level field all of which such a write may change.

    Attributes:
        name: of the part.
    """

    def __init__(self, shapes: Shapes, name: str) -> None:
        self._shapes = shapes
        self.name = name
        self._element = field_element(name)
        self._struct: Struct | None = None
        self._templates: dict[_Names, _Template] = {}

    def rewritten(
        self, versions: Versions, change: _Change, writer: Writer, kept: Stored
    ) -> bytes | None:
        """Return managedFields with an entry for a writer that has none; None: it is no such write.

        Args:
            versions: of the type.
            change: of the part; nothing else differs.
            writer: who writes.
            kept: the entries before.

        Raises:
            TypedError: an object does not fit its schema.
        """
        version = writer.version
        who = book.identity(writer.manager, UPDATE, version, writer.subresource)
        shape = kept.shape
        if shape.found((self, who), lambda: self._first(shape, who)) is None:
            return None
        text = self._fields(versions.type_at(version), change[1], change[2])
        return kept.joined(who, version, writer.now, text) if text else None

    def _first(self, shape: Shape, who: Identity) -> int | None:
        """Return 0 where a writer has written nothing, and nobody the part; None: it is not so."""
        updates = 0
        for entry in shape.entries:
            is_other = entry.who != who and entry.version == who.version
            if not is_other or not entry.fields or self._element in entry.fields:
                return None
            updates += entry.who.operation == UPDATE
        return 0 if updates < UPDATE_MANAGERS_MAX else None

    def _fields(self, type_: Type, old: Any, new: Any) -> bytes:
        """Return the set of what the write takes, b"" where it takes a closer look."""
        field = type_.struct.fields.get(self.name) if type_.struct is not None else None
        is_fit = new.__class__ is dict and new and (old is ABSENT or old.__class__ is dict)
        if field is None or not is_fit:
            return b""
        struct = field.type.struct
        is_open = field.type.kind is not Kind.STRUCT or field.type.preserve_unknown
        if struct is None or is_open or is_atomic(field.type, atoms.Shape.MAP):
            return b""
        if self._struct is not struct:
            self._struct, self._templates = struct, {}
        inside = self._inside(struct, NO_KEYS if old is ABSENT else old, new)
        if not inside:
            return b""
        own = b'".":{},' if old is ABSENT else b""
        return b'{"%b":{%b%b}}' % (self._element.encode(), own, inside)

    def _inside(self, struct: Struct, old: JsonObject, new: JsonObject) -> bytes:
        """Return the inside of the set of a struct that has changed, b"" where that is not easy."""
        same, other = [], []
        for name, before in old.items():
            value = new.get(name, ABSENT)
            if before is value or (before.__class__ is value.__class__ and before == value):
                same.append(name)
            elif value is ABSENT or before == value:
                return b""  # gone, or true that was 1
            else:
                other.append(name)
        names = tuple(new), tuple(same), tuple(other)
        template = self._templates.get(names)
        if template is None:
            template = self._template(struct, names)
        found = []
        for name, type_, walk in template.below:
            value = new[name]
            if value is None:
                return b""
            if type_ is None:
                found.append(walk(value))
                continue
            node = taken_node(type_, old[name], value)
            if node is None:
                return b""
            found.append(orjson.dumps(node))
        return template.text % tuple(found) if found else template.text

    def _template(self, struct: Struct, names: _Names) -> _Template:
        """Return the template of a change that leaves some fields the same and changes others."""
        known, same, other = names
        below, parts = [], []
        for name in sorted(set(known) - set(same)):
            field = struct.fields.get(name)
            if field is None:
                return _NONE
            key = orjson.dumps(field_element(name)).replace(b"%", b"%%")
            walk = self._shapes.of_type(field.type)
            parts.append(b"%b:%b" % (key, b"{}" if walk is None else b"%b"))
            if walk is not None:
                below.append((name, field.type if name in other else None, walk))
        text = b",".join(parts)
        made = _Template(text if below else text.replace(b"%%", b"%"), tuple(below))
        if len(self._templates) >= _TEMPLATES_MAX:
            self._templates.clear()
        self._templates[names] = made
        return made


def rewrite(
    versions: Versions,
    old: JsonObject,
    new: JsonObject,
    writer: Writer,
    first: FirstWrites | None = None,
) -> list[JsonObject] | orjson.Fragment:
    """Return the managedFields of an object after an update or a patch.

    Args:
        versions: of the type.
        old: the stored object, in whatever version; its managedFields are a fragment or a list.
        new: decoded and defaulted, nothing else done to it yet.
        writer: who makes it.
        first: of the part that is written, if it is one of which all may be written.

    Returns:
        What `old` has, where that stays as it is.
    """
    kept = (old.get("metadata") or NO_KEYS).get("managedFields")
    if kept.__class__ is not orjson.Fragment:
        return update(versions, old, new, writer)
    raw = orjson.dumps(kept)
    given = (new.get("metadata") or NO_KEYS).get("managedFields")
    is_kept = writer.subresource or given is None or given is kept or orjson.dumps(given) == raw
    found = stored.read(raw) if is_kept else None
    if found is None:
        return update(versions, _with_list(old, raw), new, writer)
    try:
        after = _rewritten(versions, old, new, writer, found, first)
    except (TypedError, RecursionError):
        # An object that does not fit its schema, or is nested deeper than we look, is no reason to
        # refuse a write.
        return kept
    if after is None:
        return kept
    return orjson.Fragment(after) if len(after) > len(b"[]") else []


def _with_list(old: JsonObject, raw: bytes) -> JsonObject:
    return {**old, "metadata": {**old["metadata"], "managedFields": orjson.loads(raw)}}


def _rewritten(
    versions: Versions,
    old: JsonObject,
    new: JsonObject,
    writer: Writer,
    kept: Stored,
    first: FirstWrites | None,
) -> bytes | None:
    """Return entries after a write; None: they stay as they are.

    Raises:
        TypedError: an object does not fit its schema.
    """
    version, now = writer.version, writer.now
    if old["apiVersion"] == version == new["apiVersion"]:
        part = changed_part(old, new)
        if part == "":
            return None
        if part is None:
            taken = changed_values(versions.type_at(version), old, new, NOBODYS_METADATA)
        else:
            change = part, old.get(part, ABSENT), new.get(part)
            after = _with_part(versions, change, writer, kept, first)
            if after != _UNDECIDED:
                return after
            taken = changed_in_part(versions.type_at(version), *change)
        if taken is not None:
            if not taken:
                return None
            key = versions, writer.manager, writer.subresource, orjson.dumps(taken)
            own = kept.shape.found(key, lambda: _owner(versions, kept.shape, taken, writer))
            if own is not None:
                is_same = own == _NOBODY or kept.times[own] == now
                return None if is_same else kept.renewed(own, now)
    updater = Updater(versions, old, new)
    if updater.comparison(version).is_same:
        return None
    managers = kept.managers()
    return kept.changed(managers, settled(updater, managers, writer))


_NOBODY: Final = -2
_UNDECIDED: Final = b""


def _with_part(
    versions: Versions,
    change: _Change,
    writer: Writer,
    kept: Stored,
    first: FirstWrites | None,
) -> bytes | None:
    """Return entries after one part has changed; None: they stay; b"": it takes a closer look.

    Raises:
        TypedError: an object does not fit its schema.
    """
    own = _owner_in_part(versions, kept.shape, change, writer)
    if own is not None:
        is_same = own == _NOBODY or kept.times[own] == writer.now
        return None if is_same else kept.renewed(own, writer.now)
    if first is not None and change[0] == first.name:
        return first.rewritten(versions, change, writer, kept) or _UNDECIDED
    return _UNDECIDED


def _owner_in_part(versions: Versions, shape: Shape, change: _Change, writer: Writer) -> int | None:
    """Return whose the scalars are that have been given other values, as `_owner` does."""
    part, before, after = change
    names = renewed_names(before, after)
    if not names:
        return None

    def find() -> int | None:
        taken = named_set(versions.type_at(writer.version), part, names)
        return None if taken is None else _owner(versions, shape, taken, writer)

    return shape.found((versions, writer.manager, writer.subresource, part, names), find)


def _owner(versions: Versions, shape: Shape, taken: FieldSet, writer: Writer) -> int | None:
    """Return which entry is the writer's, if fields that have changed are its own alone.

    _NOBODY: such a write drops what has changed. None: they are not.
    """
    taken = versions.left(taken)
    if not taken:
        return _NOBODY
    found = None
    for index, (who, version, fields, _, _) in enumerate(shape.entries):
        if version != writer.version:
            return None
        is_own = (
            who.manager == writer.manager
            and who.operation == UPDATE
            and who.subresource == writer.subresource
        )
        if is_own:
            found = index
        elif sets.overlap(fields, taken):
            return None
    return (
        found if found is not None and sets.contains(shape.entries[found].fields, taken) else None
    )

"""What a write makes of managedFields that are bytes: `tracking.update`, at the cost of a change.

Three kinds of write are nearly all there are:

    - a writer changes what is its own already: its entry gets another time;
    - a writer is the first to write a part of an object that nobody has written, as kubelets do
      with the status of new pods: an entry is added, whose set the shape of the part tells;
    - all else is compared as ever, and the entries that differ then are encoded anew.

Invariant: what comes of it is what `tracking.update` says of the same entries, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from kube.json_types import JsonObject
from kube.managed import entries as book
from kube.managed import sets, stored
from kube.managed.atoms import Shape, TypedError, is_atomic
from kube.managed.compare import ABSENT, changed_values, taken_node
from kube.managed.elements import field_element
from kube.managed.entries import UPDATE, UPDATE_MANAGERS_MAX
from kube.managed.sets import FieldSet
from kube.managed.shapes import Shapes, Walk
from kube.managed.stored import Entry
from kube.managed.tracking import Writer, settled, update
from kube.managed.updater import NOBODYS_METADATA, Updater, Versions
from kube.schema.model import Kind, Struct, Type

_HEAD: Final = frozenset({"apiVersion", "kind", "metadata"})
_NO_KEYS: Final[JsonObject] = {}


class FirstWrites:
    """The sets of first writes of a part of objects.

    Args of the constructor:
        shapes: shared by types.
        name: of the part: a top-level field all of which such a write may change.
    """

    def __init__(self, shapes: Shapes, name: str) -> None:
        self._shapes = shapes
        self._name = name
        self._element = field_element(name)
        self._struct: Struct | None = None
        self._looks: dict[str, tuple[bytes, Type, Walk | None]] = {}

    def rewritten(
        self,
        versions: Versions,
        old: JsonObject,
        new: JsonObject,
        writer: Writer,
        entries: Sequence[Entry],
    ) -> bytes | None:
        """Return managedFields with an entry for a writer that has none; None: it is no such write.

        Raises:
            TypedError: an object does not fit its schema.
        """
        version = writer.version
        who = book.identity(writer.manager, UPDATE, version, writer.subresource)
        updates = 0
        for entry in entries:
            fields = entry.owned.fields
            is_other = entry.who != who and entry.owned.version == version
            if not is_other or not fields or self._element in fields:
                return None
            updates += entry.who.operation == UPDATE
        if updates >= UPDATE_MANAGERS_MAX or not self._is_alone(old, new, version):
            return None
        type_ = versions.type_at(version)
        text = self._fields(type_, old.get(self._name, ABSENT), new.get(self._name))
        return stored.joined(entries, who, version, writer.now, text) if text else None

    def _is_alone(self, old: JsonObject, new: JsonObject, version: str) -> bool:
        """Tell whether nothing else differs that anybody may manage."""
        if old["apiVersion"] != version or new["apiVersion"] != version:
            return False
        if not _is_same(old, new, _HEAD | {self._name}):
            return False
        before, after = old.get("metadata") or _NO_KEYS, new.get("metadata") or _NO_KEYS
        return _is_same(before, after, NOBODYS_METADATA)

    def _fields(self, type_: Type, old: Any, new: Any) -> bytes:
        """Return the set of what the write takes, b"" where it takes a closer look."""
        field = type_.struct.fields.get(self._name) if type_.struct is not None else None
        is_fit = new.__class__ is dict and new and (old is ABSENT or old.__class__ is dict)
        if field is None or not is_fit:
            return b""
        struct = field.type.struct
        is_open = field.type.kind is not Kind.STRUCT or field.type.preserve_unknown
        if struct is None or is_open or is_atomic(field.type, Shape.MAP):
            return b""
        if self._struct is not struct:
            self._struct, self._looks = struct, {}
        parts = self._parts(struct, _NO_KEYS if old is ABSENT else old, new)
        if not parts:
            return b""
        own = b'".":{},' if old is ABSENT else b""
        return b'{"%b":{%b%b}}' % (self._element.encode(), own, b",".join(parts))

    def _parts(self, struct: Struct, old: JsonObject, new: JsonObject) -> list[bytes]:
        """Return the parts of the set of a struct that has changed, none where that is not easy."""
        found = []
        for name in sorted(new):
            value, before = new[name], old.get(name, ABSENT)
            if before is value or (before.__class__ is value.__class__ and before == value):
                continue
            look = self._looks.get(name) or self._look(struct, name)
            if look is None or value is None or before == value:
                return []
            key, type_, walk = look
            if walk is None:
                found.append(b"%b:{}" % key)
            elif before is ABSENT:
                found.append(b"%b:%b" % (key, walk(value)))
            else:
                node = taken_node(type_, before, value)
                if node is not None:
                    found.append(b"%b:%b" % (key, orjson.dumps(node)))
        return found if old.keys() <= new.keys() else []

    def _look(self, struct: Struct, name: str) -> tuple[bytes, Type, Walk | None] | None:
        field = struct.fields.get(name)
        if field is None:
            return None
        key = orjson.dumps(field_element(name))
        found = self._looks[name] = key, field.type, self._shapes.of_type(field.type)
        return found


def _is_same(old: JsonObject, new: JsonObject, passed_over: frozenset[str]) -> bool:
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value or name in passed_over:
            continue
        if before.__class__ is not value.__class__ or before != value:
            return False
    return all(name in new or name in passed_over for name in old)


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
    kept = (old.get("metadata") or _NO_KEYS).get("managedFields")
    if kept.__class__ is not orjson.Fragment:
        return update(versions, old, new, writer)
    raw = orjson.dumps(kept)
    given = (new.get("metadata") or _NO_KEYS).get("managedFields")
    is_kept = writer.subresource or given is None or given is kept or orjson.dumps(given) == raw
    entries = stored.read(raw) if is_kept else None
    if entries is None:
        return update(versions, _with_list(old, raw), new, writer)
    try:
        after = _rewritten(versions, old, new, writer, entries, first)
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
    entries: Sequence[Entry],
    first: FirstWrites | None,
) -> bytes | None:
    """Return entries after a write; None: they stay as they are.

    Raises:
        TypedError: an object does not fit its schema.
    """
    version, now = writer.version, writer.now
    if first is not None:
        after = first.rewritten(versions, old, new, writer, entries)
        if after is not None:
            return after
    if old["apiVersion"] == version == new["apiVersion"]:
        taken = changed_values(versions.type_at(version), old, new, NOBODYS_METADATA)
        if taken is not None:
            if not (taken and (taken := versions.left(taken))):
                return None
            own = _owner(entries, taken, writer)
            if own is not None:
                return None if own.owned.time == now else stored.renewed(entries, own, now)
    updater = Updater(versions, old, new)
    if updater.comparison(version).is_same:
        return None
    return stored.write(settled(updater, stored.managers_of(entries), writer), entries)


def _owner(entries: Sequence[Entry], taken: FieldSet, writer: Writer) -> Entry | None:
    """Return the writer's entry, if these fields are its own and nobody else's."""
    own = None
    for entry in entries:
        who, owned = entry.who, entry.owned
        if owned.version != writer.version:
            return None
        is_own = (
            who.manager == writer.manager
            and who.operation == UPDATE
            and who.subresource == writer.subresource
        )
        if is_own:
            own = entry
        elif sets.overlap(owned.fields, taken):
            return None
    return own if own is not None and sets.contains(own.owned.fields, taken) else None

"""Tracking who manages what, for one type: what the verbs need of `kube.managed`.

A new object's managedFields are bytes: they depend on the shape of the object, the writer and the
second, so all but the last is made of templates, and for objects made from templates themselves
(apiserver.twins, apiserver.stencils) it is kept whole. An update compares the object before and
after.

Invariants: tracking never refuses a write; what cannot be compared keeps the entries it had.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache
from typing import Final, NamedTuple

import orjson

from apiserver.types import conversion
from apiserver.types.managed import filter_of, reset_fields
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonArray, JsonObject
from kube.kinds import ResourceInfo
from kube.managed import entries as book
from kube.managed import tracking
from kube.managed.atoms import TypedError, root_type
from kube.managed.entries import UPDATE
from kube.managed.rewriting import FirstWrites, rewrite
from kube.managed.scale import SCALE_VERSION
from kube.managed.sets import FieldSet
from kube.managed.shapes import NewObjects, Shapes, zero_object
from kube.managed.tracking import Application, Writer
from kube.managed.updater import MissingVersion, Versions
from kube.schema.compile import builtin_schemas
from kube.schema.decode import DecodeError, decode
from kube.schema.model import Struct, Type

MANAGER_BYTES_MAX: Final = 128
_shapes: Final = Shapes()


@lru_cache(maxsize=1024)
def manager_of(user_agent: bytes) -> str:
    """Return the field manager of a client that names none: its User-Agent up to the first "/".

    A client that sends none is "unknown".
    """
    name = ""
    for char in user_agent.partition(b"/")[0].decode("utf-8", "replace"):
        if not char.isprintable():
            continue
        if len((name + char).encode()) > MANAGER_BYTES_MAX:
            break
        name += char
    return name or book.UNKNOWN


class Writing(NamedTuple):
    """Who writes what, and when.

    Attributes:
        manager: the field manager.
        now: as metadata has times.
        subresource: that is written, "" for the object itself.
    """

    manager: str
    now: str
    subresource: str = ""


class BuiltinVersions:
    """The served versions of a built-in type, for writes of the object or of a subresource.

    Attributes:
        left: `(fields)` what of a set such a write can bring about.
    """

    def __init__(self, info: ResourceInfo, subresource: str) -> None:
        served = builtin_registry().versions_of(info.storage_resource)
        self._infos = {one.api_version: one for one in served}
        self._types: dict[str, Type] = {}
        self.left = filter_of(info, subresource)

    def _served(self, version: str) -> ResourceInfo:
        found = self._infos.get(version)
        if found is None:
            raise MissingVersion(version)
        return found

    def type_at(self, version: str) -> Type:
        """Return the type of whole objects in a version.

        Raises:
            MissingVersion: it is not served.
        """
        found = self._types.get(version)
        if found is None:
            struct = builtin_schemas().struct(self._served(version).schema_name)
            found = self._types[version] = root_type(struct)
        return found

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Return an object in another version.

        Raises:
            MissingVersion: it is not served.
            TypedError: the object does not fit its type.
        """
        before, after = self._served(obj["apiVersion"]), self._served(version)
        if conversion.shapes_for(before) is None and conversion.shapes_for(after) is None:
            return {**obj, "apiVersion": version}
        copied: JsonObject = orjson.loads(orjson.dumps(obj))
        try:
            # What a merge has made may lack what conversion counts on.
            decode(before.schema_name, copied)
        except DecodeError as error:
            raise TypedError(str(error)) from error
        return conversion.from_storage(after, conversion.to_storage(before, copied))


class ScaleVersions:
    """The one version that a Scale has."""

    def __init__(self, schema_name: str) -> None:
        self._schema_name = schema_name

    def type_at(self, version: str) -> Type:
        """Return the type of a Scale.

        Raises:
            MissingVersion: there is no such version of it.
        """
        if version != SCALE_VERSION:
            raise MissingVersion(version)
        return root_type(builtin_schemas().struct(self._schema_name))

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Refuse: there is nothing to convert to.

        Raises:
            MissingVersion: always.
        """
        raise MissingVersion(f"{obj['apiVersion']} to {version}")

    def left(self, fields: FieldSet) -> FieldSet:
        """Return all of a set: nothing is dropped."""
        return fields


def scale_writer(writing: Writing) -> Writer:
    """Return who writes a Scale."""
    return Writer(writing.manager, SCALE_VERSION, writing.subresource, writing.now)


class Tracker:
    """Tracks writes of one type in one version."""

    def __init__(self, info: ResourceInfo) -> None:
        self._info = info
        self._version = info.api_version
        self._versions: dict[str, BuiltinVersions] = {}
        self._new_objects: NewObjects | None = None
        self._heads: dict[str, bytes] = {}

    def versions(self, subresource: str) -> Versions:
        """Return the type's versions, for writes of a subresource."""
        found = self._versions.get(subresource)
        if found is None:
            found = self._versions[subresource] = BuiltinVersions(self._info, subresource)
        return found

    def _struct(self) -> Struct:
        return builtin_schemas().struct(self._info.schema_name)

    def empty(self) -> JsonObject:
        """Return a new object in which nothing is set, as upstream has it."""
        return _empty(self._info.schema_name, self._info.kind, self._version)

    def _shape_of_new(self) -> NewObjects:
        if self._new_objects is None:
            names = reset_fields(self._info, "")
            dropped = frozenset(name[2:] for name, node in names.items() if not node)
            self._new_objects = NewObjects(_shapes, self._struct(), dropped)
        return self._new_objects

    def fields_of_new(self, obj: JsonObject) -> bytes:
        """Return the fields that the creator of an object manages; b"" for none.

        Args:
            obj: decoded and defaulted, in the storage version; nothing else done to it yet.
        """
        if obj.get("apiVersion", self._version) != self._version:
            obj = self.versions("").convert(obj, self._version)
        try:
            return self.fields_with_metadata(obj["metadata"], self._shape_of_new().rest(obj))
        except (TypedError, RecursionError):
            return b""  # upstream leaves an object with unnamed items untracked

    def fields_with_metadata(self, metadata: JsonObject, rest: bytes) -> bytes:
        """Return what the creator manages, all but metadata being known."""
        own = self._shape_of_new().metadata(metadata)
        return b"%b,%b" % (own, rest) if own and rest else own or rest

    def entry_of_new(self, fields: bytes, manager: str, now: str) -> orjson.Fragment | None:
        """Return the managedFields of a new object; None if nothing is managed.

        Args:
            fields: inside of the set.
            manager: who creates it.
            now: as metadata has times.
        """
        if not fields:
            return None
        head = self._heads.get(manager)
        if head is None:
            if len(self._heads) >= 256:
                self._heads.clear()
            head = self._heads[manager] = self._head_of(manager)
        return orjson.Fragment(b"".join((head, now.encode(), _MIDDLE, fields, b"}}]")))

    def _head_of(self, manager: str) -> bytes:
        start = {
            "manager": manager,
            "operation": UPDATE,
            "apiVersion": self._version,
            "time": "",
        }
        return b"[" + orjson.dumps(start)[:-2]

    def updated(
        self, old: JsonObject, new: JsonObject, writing: Writing
    ) -> list[JsonObject] | orjson.Fragment:
        """Return the managedFields of an object after an update or a patch.

        Args:
            old: the stored object; its managedFields may be a fragment.
            new: decoded and defaulted, in the storage version; nothing else done to it yet.
            writing: who writes what.
        """
        versions, writer = self.versions(writing.subresource), self._writer(writing)
        first = self._first_status if writing.subresource == "status" else None
        return rewrite(versions, old, new, writer, first)

    @cached_property
    def _first_status(self) -> FirstWrites | None:
        """What the first write of a status manages; None: some of it such a write drops."""
        is_whole = "f:status" not in reset_fields(self._info, "status")
        return FirstWrites(_shapes, "status") if is_whole else None

    def _writer(self, writing: Writing) -> Writer:
        manager, now, subresource = writing
        return Writer(manager, self._version, subresource, now)

    def created_over(
        self, obj: JsonObject, given: JsonArray, manager: str, now: str
    ) -> list[JsonObject]:
        """Return the managedFields of a new object that comes with some.

        Args:
            obj: decoded and defaulted, in the storage version, without them.
            given: what it came with.
            manager: who creates it.
            now: as metadata has times.
        """
        writer = Writer(manager, self._version, "", now)
        empty = self.empty()
        try:
            managers = book.decode(given)
        except book.EntriesError:
            managers = {}
        try:
            return book.encode(tracking.changed(self.versions(""), empty, obj, managers, writer))
        except TypedError:
            return []

    def application(self, config: JsonObject, writing: Writing, *, force: bool) -> Application:
        """Return an apply of a configuration of this version."""
        versions, writer = self.versions(writing.subresource), self._writer(writing)
        return Application(versions, config, writer, force, self.empty())


_MIDDLE: Final = b'","fieldsType":"FieldsV1","fieldsV1":{'


@cache
def _empty(schema_name: str, kind: str, version: str) -> JsonObject:
    return {
        **zero_object(builtin_schemas().struct(schema_name)),
        "kind": kind,
        "apiVersion": version,
    }

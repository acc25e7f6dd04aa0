"""Who manages what of custom objects: their types are schemas, their versions a definition's.

A webhook that converts between versions is asked from the thread that prepares the write
(`Change`), as fields are compared in the versions in which their managers wrote.
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson

from apiserver.custom.types import CustomType
from apiserver.tracking import Tracker
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import ResourceInfo, split_group_version
from kube.managed import entries as book
from kube.managed import sets, tracking
from kube.managed.atoms import TypedError
from kube.managed.sets import FieldSet
from kube.managed.shapes import NewObjects, Shapes
from kube.managed.tracking import Writer
from kube.managed.updater import MissingVersion
from kube.schema.model import Type

_STATUS: Final = sets.of_paths([("f:status",)])
_ALL_BUT_STATUS: Final = sets.of_paths([("f:metadata",), ("f:spec",)])


class CustomVersions:
    """The versions of a custom type, for writes of the object or of a subresource."""

    def __init__(self, type_: CustomType, subresource: str, *, has_status: bool) -> None:
        self._type = type_
        self._reset = sets.EMPTY
        if subresource == "status":
            self._reset = _ALL_BUT_STATUS
        elif has_status and not subresource:
            self._reset = _STATUS

    def type_at(self, version: str) -> Type:
        """Return the type of whole objects in a version.

        Raises:
            MissingVersion: there is no such version.
        """
        group, name = split_group_version(version)
        if group != self._type.definition.group:
            raise MissingVersion(version)
        try:
            return self._type.schema(name).type
        except KeyError as error:
            raise MissingVersion(version) from error

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Return an object in another version.

        Raises:
            MissingVersion: there is no such version.
            StatusError: 500, the webhook failed.
        """
        self.type_at(version)
        if obj["apiVersion"] == version:
            return obj
        webhook = self._type.webhook
        if webhook is None:
            return {**obj, "apiVersion": version}
        loop = self._type.loop
        assert loop is not None, "a type is served by a running loop"
        asked = webhook.convert([orjson.loads(orjson.dumps(obj))], version)
        return asyncio.run_coroutine_threadsafe(asked, loop).result()[0]

    def left(self, fields: FieldSet) -> FieldSet:
        """Return what such a write can bring about of a set."""
        return sets.recursive_difference(fields, self._reset)


class CustomTracker(Tracker):
    """Tracks writes of one version of a custom type."""

    def __init__(self, info: ResourceInfo, type_: CustomType) -> None:
        super().__init__(info)
        self._type = type_
        self._known: dict[str, CustomVersions] = {}
        self._is_open = False

    def versions(self, subresource: str) -> CustomVersions:
        """See Tracker."""
        found = self._known.get(subresource)
        if found is None:
            has_status = "status" in self._info.subresources
            found = CustomVersions(self._type, subresource, has_status=has_status)
            self._known[subresource] = found
        return found

    def empty(self) -> JsonObject:
        """Return a new object in which nothing is set, as upstream has it."""
        return {"kind": self._info.kind, "apiVersion": self._version}

    def fields_of_new(self, obj: JsonObject) -> bytes:
        """See Tracker; most objects have a shape that was met before."""
        shape = self._shape()
        if shape is not None:
            try:
                return shape.all(obj)
            except (TypeError, AttributeError):
                pass  # a null, which templates do not know, or what will be refused
            except (TypedError, RecursionError):
                return b""
        return self._fields_one_by_one(obj)

    def _shape(self) -> NewObjects | None:
        if self._new_objects is None and not self._is_open:
            type_ = self._type.schema(self._info.version).type
            if type_.preserve_unknown or type_.struct is None:
                self._is_open = True
                return None
            dropped = frozenset({"status"} & self._info.subresources.keys())
            self._new_objects = NewObjects(Shapes(), type_.struct, dropped)
        return self._new_objects

    def _fields_one_by_one(self, obj: JsonObject) -> bytes:
        writer = Writer(book.UNKNOWN, self._version, "", "")
        try:
            managers = tracking.changed(self.versions(""), self.empty(), obj, {}, writer)
        except (TypedError, RecursionError, st.StatusError):
            return b""
        own = next(iter(managers.values()), None)
        return b"" if own is None else orjson.dumps(own.fields)[1:-1]

"""One custom type: what its versions share, and what becomes of objects between them.

An object is stored in one version, pruned and completed by that version's schema. It may have been
stored under another schema, or in another version: a mark in its search blob tells under which, so
that nothing is done to an object that is as it would be written today, and everything to others:

    stored -> prune, default (its own version) -> convert -> prune (the version asked for)

The mark depends on the parts of the schema that pruning and defaulting look at; a definition whose
descriptions or rules change leaves all objects as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from apiserver.custom.conversion import Ask, WebhookConversion
from apiserver.custom.definition import Definition, Version, digest
from apiserver.types.apiextensions.versions import custom_schema
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import join_group_version, split_group_version
from kube.schema.decode import DecodeError
from kube.structural.custom import CustomSchema
from kube.table.json_path import JsonPath

MARK: Final = "~"
"""The name of the field that tells under which schema an object was stored; no selector has it."""
_SHAPING: Final = (
    "type",
    "default",
    "nullable",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)
_ONE: Final = ("items", "additionalProperties")


Current = Callable[[str], Definition | None]
"""Returns a definition as it is now, by name."""


def shaping_part(schema: Any) -> Any:
    """Return what decides of a schema how objects are pruned and completed."""
    if not isinstance(schema, dict):
        return schema
    kept = {key: schema[key] for key in _SHAPING if key in schema}
    for key in _ONE:
        if key in schema:
            kept[key] = shaping_part(schema[key])
    if fields := schema.get("properties"):
        kept["properties"] = {name: shaping_part(field) for name, field in fields.items()}
    return kept


class CustomType:
    """One definition as it is served.

    Attributes:
        definition: as it is now; its shape never changes.
        mark: what the search blobs of objects hold that are stored as they would be now.
        fields: the values that selectors may ask for, in any version.
        webhook: who converts between versions; None: only apiVersion differs.
        loop: that serves it, once it was asked to.
    """

    def __init__(self, definition: Definition, ask: Ask, current: Current) -> None:
        stored = definition.stored
        assert stored is not None, "a type that is served is stored in some version"
        self.definition = definition
        self._current = current
        self.stored: Version = stored
        self._schemas: dict[str, CustomSchema] = {}
        self._judges: dict[str, CustomSchema] = {}
        self._by_name = {version.name: version for version in definition.versions}
        self._shapes: dict[str, bytes] = {}
        is_webhook = definition.is_converted_by_webhook and len(definition.versions) > 1
        self.webhook = WebhookConversion(definition, ask) if is_webhook else None
        paths = {path for version in definition.versions for path in version.selectable}
        self.fields: dict[str, Callable[[JsonObject], str]] = {
            path: _value_at(path) for path in sorted(paths)
        }
        self.mark = digest([stored.name, self.shape_of(stored.name).decode(), sorted(paths)])
        self.loop: asyncio.AbstractEventLoop | None = None
        self._endings: set[Callable[[], None]] = set()
        self._is_over = False

    @property
    def storage_version(self) -> str:
        """The apiVersion in which objects are stored."""
        return join_group_version(self.definition.group, self.stored.name)

    def version(self, name: str) -> Version:
        """Return a version of the definition.

        Raises:
            KeyError: it has no such version.
        """
        return self._by_name[name]

    def schema(self, name: str) -> CustomSchema:
        """Return the schema of a version, to prune and complete by, and for types.

        Raises:
            KeyError: there is no such version.
        """
        found = self._schemas.get(name)
        if found is None:
            found = self._schemas[name] = CustomSchema(
                self._by_name[name].schema, preserve_unknown=self.definition.preserve_unknown
            )
        return found

    def judge(self, name: str) -> CustomSchema:
        """Return the schema of a version with all that its objects are checked for.

        To make it takes up to a fifth of a second where there are many rules: see `make_ready`.
        """
        found = self._judges.get(name)
        if found is None:
            version = self._by_name[name]
            found = self._judges[name] = custom_schema(
                version.schema,
                preserve_unknown=self.definition.preserve_unknown,
                scale=version.scale,
            )
        return found

    async def make_ready(self, name: str) -> None:
        """Have what checks objects of a version made, aside of the loop."""
        if name not in self._judges:
            await asyncio.to_thread(self.judge, name)

    def shape_of(self, name: str) -> bytes:
        """Return what tells versions apart whose objects are pruned and completed differently."""
        found = self._shapes.get(name)
        if found is None:
            version = self._by_name[name]
            found = digest([shaping_part(version.schema), self.definition.preserve_unknown])
            self._shapes[name] = found
        return found

    def complete(self, obj: JsonObject) -> None:
        """Prune and complete a stored object by the schema of its own version, in place."""
        schema = self._schema_for(obj)
        if schema is not None:
            _prune(schema, obj)
            schema.default(obj)
        # Of the time before custom resources had generations.
        if not obj["metadata"].get("generation"):
            obj["metadata"]["generation"] = 1

    def rename(self, obj: JsonObject, version: str) -> None:
        """Bring an object into another version of the same shape of metadata, in place.

        Args:
            obj: complete in its own version, or converted to the other one.
            version: the apiVersion to give it.
        """
        obj["apiVersion"] = version
        schema = self._schema_for(obj)
        if schema is not None:
            _prune(schema, obj)

    def _schema_for(self, obj: JsonObject) -> CustomSchema | None:
        name = split_group_version(obj["apiVersion"])[1]
        # One of a version that the definition has lost is served as it is.
        return self.schema(name) if name in self._by_name else None

    def definition_for_create(self) -> Definition:
        """Return the definition as it is now, if objects may be created.

        Raises:
            StatusError: 403, it is being deleted; 404, it is gone.
        """
        known = self.definition
        definition = self._current(known.name)
        if definition is None or definition.uid != known.uid:
            raise st.nothing_there()
        if definition.is_ending:
            why = "create not allowed while custom resource definition is terminating"
            raise st.forbidden(known.group, known.names.plural, "", why)
        return definition

    def when_over(self, end: Callable[[], None]) -> Callable[[], None]:
        """Have `end` called when the type is served no more, or otherwise; return what undoes it.

        Where that is so already, it is called at once.
        """
        if self._is_over:
            end()
        self._endings.add(end)
        return lambda: self._endings.discard(end)

    def end(self) -> None:
        """End what goes on for objects of this type: it is served no more, or otherwise."""
        self._is_over = True
        for ending in tuple(self._endings):
            ending()


def _prune(schema: CustomSchema, obj: JsonObject) -> None:
    """Prune what was taken once, under whatever schema: it is to be had, whatever is in it."""
    with suppress(DecodeError):
        schema.prune(obj, drop_invalid=True)


def _value_at(path: str) -> Callable[[JsonObject], str]:
    """Return what finds a selectable field's value as selectors compare it."""
    try:
        found = JsonPath(f".{path}")
    except ValueError:
        return lambda _obj: ""

    def value(obj: JsonObject) -> str:
        one = next(found.find(obj), None)
        match one:
            case None:
                return ""
            case bool():
                return "true" if one else "false"
            case _:
                return str(one)

    return value

"""Which custom types are served, as the replica has their definitions at that very moment.

Nothing runs here: whoever looks for a type settles first (apiserver.following), so a definition
that this replica has is served from the step on in which it came. What a replica does not have yet
it asks the journal for before it says that a type is not there (`refresh`): whoever saw somewhere
that a type is established finds it everywhere.

Invariants:
    - Built-in groups and versions come first; what a definition says of those is not served.
    - A type whose definition serves otherwise (its shape differs) is another one: watches of the
      old one end, and nothing that was kept of it is used again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from apiserver.custom.conditions import is_settled
from apiserver.custom.conversion import Ask
from apiserver.custom.definition import (
    DEFINITIONS,
    ESTABLISHED,
    TERMINATING,
    Definition,
    parse_definition,
)
from apiserver.custom.resource import ENDING_VERBS, VERBS, CustomResource, info_of
from apiserver.custom.types import CustomType
from apiserver.following import Following
from apiserver.resources import Catalog, Resource
from kube.json_types import JsonObject
from kube.kinds import Registry, ResourceInfo
from kube.openapi import CustomKind
from storage.errors import StorageError
from storage.store_view import StoreView
from storage.watcher import Scope

_log: Final = logging.getLogger(__name__)
_FRESH_S: Final = 3.0
Kind = tuple[str, str, str]


class Served:
    """See the module's head.

    Attributes:
        definitions: by name.
        unsettled: names of those of which something may be to be said (apiserver.custom.steward).
        ending: names of those that wait for their objects to be gone.
        changes: rises with every change of what discovery and OpenAPI show.
        when_changed: called when a type is served anew, otherwise, or no more.
    """

    def __init__(self, store: StoreView, catalog: Catalog, ask: Ask) -> None:
        self._store = store
        self._catalog = catalog
        self._ask = ask
        self._following = Following(store, [Scope(DEFINITIONS)], self)
        self._types: dict[str, CustomType] = {}
        self._versions: dict[tuple[str, str], dict[str, Resource]] = {}
        self._stored: dict[str, CustomResource] = {}
        self._groups: dict[str, int] = {}
        self._unseen: set[str] = set()
        self.definitions: dict[str, Definition] = {}
        self.by_group: dict[str, dict[str, Definition]] = {}
        self.unsettled: set[str] = set()
        self.ending: set[str] = set()
        self.changes = 0
        self.when_changed: list[Callable[[], None]] = []

    # Looking types up.

    def settle(self) -> bool:
        """Take in what has happened to definitions; return whether that was anything."""
        try:
            if not self._following.settle():
                return False
        except StorageError as error:
            # What was known goes on to count, as reads of what is here do.
            _log.debug("custom resource definitions cannot be read: %s", error)
            return False
        if self._unseen:
            for name in self._unseen:
                self.drop("", "", name)
            self._unseen.clear()
        return True

    async def refresh(self) -> bool:
        """Take in what was acknowledged anywhere before; return whether that was anything.

        Raises:
            StorageError: the journal cannot be asked.
        """
        before = self.changes
        await self._store.fresh(DEFINITIONS, _FRESH_S)
        self.settle()
        return self.changes != before

    def resources(self, group: str, version: str) -> Mapping[str, Resource] | None:
        """Return what is served in a group's version by definitions; None: nothing."""
        self.settle()
        return self._versions.get((group, version))

    def versions_of(self, resource: Resource) -> Iterator[Resource]:
        """Yield a custom type in all versions in which it is served."""
        self.settle()
        type_ = self._types.get(f"{resource.plural}.{resource.group}")
        for version in () if type_ is None else type_.definition.versions:
            found = self._versions.get((resource.group, version.name), {}).get(resource.plural)
            if found is not None:
                yield found

    def has_group(self, group: str) -> bool:
        """Tell whether definitions add anything to a group."""
        self.settle()
        return group in self._groups

    def stored(self, name: str) -> CustomResource | None:
        """Return the resource of a definition in the version that is stored, None: none is."""
        return self._stored.get(name)

    def current(self, name: str) -> Definition | None:
        """Return a definition as it is now, None if it is not there."""
        self.settle()
        return self.definitions.get(name)

    def type_of(self, name: str) -> CustomType | None:
        """Return the type that a definition makes, None if it is not served."""
        return self._types.get(name)

    # Being told of definitions (apiserver.following.Sink).

    def put(self, _storage: str, obj: JsonObject) -> None:
        """Take a definition as it is now."""
        try:
            definition = parse_definition(obj)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Written by a server that checks otherwise: others go on to be served.
            name = obj.get("metadata", {}).get("name", "")
            _log.warning("the definition %s cannot be read: %r", name, error)
            self.drop("", "", name)
            return
        name = definition.name
        self._unseen.discard(name)
        known = self.definitions.get(name)
        self.definitions[name] = definition
        self.by_group.setdefault(definition.group, {})[name] = definition
        _keep(self.unsettled, name, is_in=not is_settled(definition))
        _keep(self.ending, name, is_in=definition.is_deleted and definition.has_cleanup)
        type_ = self._types.get(name)
        is_served, shape = definition.is_served, definition.shape
        if type_ is not None and is_served and type_.definition.shape == shape:
            type_.definition = definition
            if known is not None and _shown(known) != _shown(definition):
                self._note_change()
            return
        if type_ is not None:
            self._remove(name, type_)
        if is_served:
            self._add(definition)
        if type_ is not None or is_served:
            self._note_change()

    def drop(self, _storage: str, _namespace: str, name: str) -> None:
        """Forget a definition."""
        self.unsettled.discard(name)
        self.ending.discard(name)
        definition = self.definitions.pop(name, None)
        if definition is not None:
            group = self.by_group[definition.group]
            group.pop(name, None)
            if not group:
                del self.by_group[definition.group]
        type_ = self._types.get(name)
        if type_ is not None:
            self._remove(name, type_)
            self._note_change()

    def clear(self, _storage: str) -> None:
        """Forget all that is not put again: they are read anew, and most are as they were."""
        self._unseen = set(self.definitions)

    def _add(self, definition: Definition) -> None:
        if definition.storage in self._catalog.by_storage:
            return  # a built-in type's objects
        type_ = CustomType(definition, self._ask, self.current)
        self._types[definition.name] = type_
        for version in definition.versions:
            resource = CustomResource(type_, version)
            if version.storage:
                self._stored[definition.name] = resource
            key = (definition.group, version.name)
            if version.served and key not in self._catalog.by_version:
                self._versions.setdefault(key, {})[resource.plural] = resource
        self._groups[definition.group] = self._groups.get(definition.group, 0) + 1

    def _remove(self, name: str, type_: CustomType) -> None:
        definition = type_.definition
        del self._types[name]
        self._stored.pop(name, None)
        for version in definition.versions:
            key = (definition.group, version.name)
            found = self._versions.get(key)
            if found is not None:
                found.pop(definition.names.plural, None)
                if not found:
                    del self._versions[key]
        left = self._groups[definition.group] - 1
        if left:
            self._groups[definition.group] = left
        else:
            del self._groups[definition.group]
        type_.end()

    def _note_change(self) -> None:
        self.changes += 1
        for told in self.when_changed:
            told()

    # What clients are shown of them.

    def registry(self) -> Registry:
        """Return all that is served, as discovery shows it."""
        return self._catalog.registry.with_custom(self._infos())

    def _infos(self) -> Iterator[ResourceInfo]:
        for type_ in self._types.values():
            definition = type_.definition
            if not definition.holds(ESTABLISHED):
                continue
            verbs = ENDING_VERBS if definition.holds(TERMINATING) else VERBS
            for version in definition.versions:
                key = (definition.group, version.name)
                if version.served and key not in self._catalog.by_version:
                    yield info_of(type_, version, verbs)

    def kinds(self) -> dict[Kind, CustomKind]:
        """Return the schemas of what is served, by group, version and kind."""
        found: dict[Kind, CustomKind] = {}
        for type_ in self._types.values():
            definition = type_.definition
            for version in definition.versions:
                key = (definition.group, version.name, definition.names.kind)
                fingerprint = f"{definition.shape.decode()}/{version.name}"
                found[key] = CustomKind(
                    version.schema or {},
                    fingerprint,
                    definition.preserve_unknown,
                    version.selectable,
                )
        return found


def _keep(names: set[str], name: str, *, is_in: bool) -> None:
    if is_in:
        names.add(name)
    else:
        names.discard(name)


def _shown(definition: Definition) -> tuple[bool, bool]:
    """Return what discovery goes by, besides a definition's shape."""
    return definition.holds(ESTABLISHED), definition.holds(TERMINATING)

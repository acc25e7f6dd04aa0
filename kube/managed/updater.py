"""Who manages what after a write: upstream's `Updater`.

Every write compares the object before with the object after. What differs now belongs to the
writer, and to nobody else; what is gone belongs to nobody. An apply differs in two ways: it may not
take what others manage unless forced, and what it no longer mentions is removed, unless somebody
else manages it too.

Objects are plain dicts whose apiVersion says which version they are in. Managers name their fields
in the version in which they wrote, so sets are compared in that version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.compare import Comparison, compare_objects
from kube.managed.entries import Identity, Managers, Owned
from kube.managed.merge import merge
from kube.managed.reconcile import reconcile
from kube.managed.sets import EMPTY, FieldSet, Path
from kube.managed.typed import field_set, with_named_fields, without
from kube.schema.model import Type

NOBODYS: Final = sets.of_paths(
    [
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    ]
)
"""Fields that nobody manages: what names the object, and what the server alone writes."""


NOBODYS_METADATA: Final = frozenset(name[2:] for name in NOBODYS["f:metadata"] if name != ".")


class MissingVersion(LookupError):
    """A version is not served any more: who wrote in it is forgotten."""


class Versions(Protocol):
    """The versions of a type."""

    def type_at(self, version: str) -> Type:
        """Return the type of whole objects in a version.

        Raises:
            MissingVersion: there is no such version.
        """
        ...

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Return an object in another version; `obj` itself stays as it is.

        Raises:
            MissingVersion: there is no such version.
        """
        ...

    @property
    def left(self) -> Callable[[FieldSet], FieldSet]:
        """What leaves of a set what a write can bring about: some fields it drops."""
        ...


class Conflict(NamedTuple):
    """A field that somebody else manages."""

    who: Identity
    path: Path


class Conflicts(Exception):
    """An apply would change what others manage; nothing was changed."""

    def __init__(self, found: list[Conflict]) -> None:
        super().__init__(f"{len(found)} conflicts")
        self.found = found


def _at(versions: Versions, obj: JsonObject, version: str) -> JsonObject:
    return obj if obj["apiVersion"] == version else versions.convert(obj, version)


class Updater:
    """Works out managers of one object; holds comparisons by version while it does."""

    def __init__(self, versions: Versions, old: JsonObject, new: JsonObject) -> None:
        self._versions = versions
        self._old, self._new = old, new
        self._known: dict[str, Comparison] = {}

    def comparison(self, version: str) -> Comparison:
        """Return what differs, in a version, without what the write drops.

        Raises:
            MissingVersion: there is no such version.
            TypedError: an object does not fit its schema.
        """
        found = self._known.get(version)
        if found is None:
            versions = self._versions
            type_ = versions.type_at(version)
            old = _at(versions, self._old, version)
            new = _at(versions, self._new, version)
            found = compare_objects(type_, old, new, NOBODYS_METADATA)
            left = versions.left
            removed, modified, added = found
            found = Comparison(
                left(removed) if removed else removed,
                left(modified) if modified else modified,
                left(added) if added else added,
            )
            self._known[version] = found
        return found

    def settle(self, managers: Managers, writer: Identity | None, *, force: bool) -> Managers:
        """Return managers other than the writer without what the write has taken or removed.

        Args:
            managers: before the write, in order; the writer's entry is as it should be.
            writer: who applies; None: all are others.
            force: whether what others manage may be taken.

        Raises:
            Conflicts: it may not, and would be.
        """
        after: Managers = {}
        conflicts: list[Conflict] = []
        for who, owned in managers.items():
            if who == writer:
                after[who] = owned
                continue
            try:
                found = self.comparison(owned.version)
            except MissingVersion:
                continue
            if not force and not found.is_same:
                taken = sets.intersection(owned.fields, found.taken)
                conflicts += [Conflict(who, path) for path in sets.paths_of(taken)]
            kept = self._rest(owned.fields, found)
            if kept:
                after[who] = owned if kept is owned.fields else owned._replace(fields=kept)
        if conflicts:
            raise Conflicts(sorted(conflicts, key=lambda conflict: conflict.who))
        return {who: owned for who, owned in after.items() if owned.fields}

    @staticmethod
    def _rest(fields: FieldSet, found: Comparison) -> FieldSet:
        for gone in found:
            if gone:
                fields = sets.difference(fields, gone)
        return fields


def reconciled(versions: Versions, managers: Managers) -> Managers:
    """Return managers whose sets fit the schema that is in force now."""
    after: Managers = {}
    for who, owned in managers.items():
        try:
            fields = reconcile(versions.type_at(owned.version), owned.fields)
        except MissingVersion:
            continue
        after[who] = owned if fields is owned.fields else owned._replace(fields=fields)
    return after


class Applied(NamedTuple):
    """What an apply comes to: the object before defaults, and who manages it then."""

    obj: JsonObject
    managers: Managers


def apply(
    versions: Versions,
    live: JsonObject,
    config: JsonObject,
    managers: Managers,
    who: Identity,
    *,
    force: bool,
) -> Applied:
    """Merge a configuration into a live object.

    Args:
        versions: of the type.
        live: in the configuration's version.
        config: checked against its schema.
        managers: of the live object.
        who: applies it.
        force: take what others manage.

    Raises:
        Conflicts: others manage what it would change.
        TypedError: the live object does not fit its schema.
    """
    version: str = config["apiVersion"]
    type_ = versions.type_at(version)
    managers = reconciled(versions, managers)
    merged: JsonObject = merge(type_, live, config)
    last = managers.get(who)
    fields = versions.left(field_set(type_, config))
    time = last.time if last is not None else ""
    managers = {**managers, who: Owned(version, fields, time)}
    if last is not None and last.fields:
        merged = _Pruning(versions, managers).prune(merged, last, version)
    managers = Updater(versions, live, merged).settle(managers, who, force=force)
    return Applied(merged, managers)


class _Pruning:
    """Removes what an applier owned before, does not mention any more, and nobody else owns."""

    def __init__(self, versions: Versions, managers: Managers) -> None:
        self._versions = versions
        self._owned: dict[str, FieldSet] = {}
        for owned in managers.values():
            known = self._owned.get(owned.version, EMPTY)
            self._owned[owned.version] = sets.union(known, owned.fields)

    def prune(self, merged: JsonObject, last: Owned, version: str) -> JsonObject:
        """Return the merged object without what is to go.

        Args:
            merged: in `version`.
            last: what was applied before.
            version: of the configuration.
        """
        versions = self._versions
        try:
            full = _at(versions, merged, last.version)
        except MissingVersion:
            return merged
        type_ = versions.type_at(last.version)
        gone = with_named_fields(type_, last.fields)
        pruned = _less(type_, full, gone)
        pruned = self._add_back_owned(full, pruned, last.version)
        pruned = self._add_back_dangling(full, pruned, last)
        return _at(versions, pruned, version)

    def _add_back_owned(self, full: JsonObject, pruned: JsonObject, first: str) -> JsonObject:
        # What conversion needs must be back before anything is converted.
        others = [version for version in self._owned if version != first]
        for version in ([first] if first in self._owned else []) + others:
            try:
                full_there = _at(self._versions, full, version)
                pruned_there = _at(self._versions, pruned, version)
            except MissingVersion:
                continue
            type_ = self._versions.type_at(version)
            stays = sets.union(
                _named(type_, pruned_there), with_named_fields(type_, self._owned[version])
            )
            gone = sets.difference(_named(type_, full_there), stays)
            full, pruned = full_there, _less(type_, full_there, gone)
        return pruned

    def _add_back_dangling(self, full: JsonObject, pruned: JsonObject, last: Owned) -> JsonObject:
        """Put back what was not of this applier's in the first place."""
        try:
            pruned = _at(self._versions, pruned, last.version)
        except MissingVersion:
            return full
        type_ = self._versions.type_at(last.version)
        missing = sets.difference(_named(type_, full), _named(type_, pruned))
        gone = sets.intersection(missing, with_named_fields(type_, last.fields))
        return _less(type_, full, gone)


def _less(type_: Type, obj: JsonObject, gone: FieldSet) -> JsonObject:
    """Return an object without some fields; it goes on saying in which version it is."""
    return {"apiVersion": obj["apiVersion"], **(without(type_, obj, gone) or {})}


def _named(type_: Type, obj: JsonObject) -> FieldSet:
    return with_named_fields(type_, field_set(type_, obj))

"""What managedFields become by a write: upstream's chain of managers around the `Updater`.

It takes care of what the updater does not know: names and times, fields that nobody manages,
objects that were there before anybody tracked them, and kubectl's annotation from before there
was server-side apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from kube.json_types import JsonObject
from kube.managed import entries as book
from kube.managed import sets
from kube.managed.atoms import TypedError
from kube.managed.compare import changed_values, compare
from kube.managed.elements import go_escaped
from kube.managed.entries import APPLY, UPDATE, EntriesError, Managers, Owned
from kube.managed.sets import FieldSet
from kube.managed.typed import check, field_set
from kube.managed.updater import (
    NOBODYS,
    NOBODYS_METADATA,
    Applied,
    Conflict,
    Conflicts,
    Updater,
    Versions,
    apply,
)

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_ANNOTATIONS_BYTES_MAX: Final = 256 * 1024


class Writer(NamedTuple):
    """A request that writes.

    Attributes:
        manager: its field manager.
        version: apiVersion that it is made in.
        subresource: that it writes, "" for the object itself.
        now: when, as metadata has times.
    """

    manager: str
    version: str
    subresource: str
    now: str


def bare(obj: JsonObject) -> JsonObject:
    """Return an object without its managedFields; the rest is shared."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _entries(obj: JsonObject) -> Any:
    return (obj.get("metadata") or {}).get("managedFields")


def known_managers(old: JsonObject, new: JsonObject) -> Managers:
    """Return who manages an object before a write: as the request says, else as is stored.

    Args:
        old: the stored object.
        new: what the request makes of it.
    """
    stored = _entries(old) or ()
    given = _entries(new)
    if book.asks_for_reset(given):
        return {}
    if given:
        try:
            managers = book.decode(given)
        except EntriesError:
            managers = {}
        if managers:
            return managers
    return book.decode_stored(stored)


def update(
    versions: Versions, old: JsonObject, new: JsonObject, writer: Writer
) -> list[JsonObject]:
    """Return the managedFields of an object after an update or a patch.

    Args:
        versions: of the type.
        old: the stored object, in whatever version.
        new: decoded and defaulted, nothing else done to it yet.
        writer: who makes it.
    """
    stored: list[JsonObject] = _entries(old) or []
    given = _entries(new)
    is_kept = bool(writer.subresource) or given is None or given == stored
    managers = None if is_kept else known_managers(old, new)
    if not (stored if managers is None else managers):
        # Nobody tracks this object: it is from before that, or was told to be forgotten.
        return []
    try:
        if managers is None:
            after = _kept(versions, old, new, writer, stored)
            if after is not None:
                return after
            managers = book.decode_stored(stored)
        updater = Updater(versions, old, new)
        if is_kept and updater.comparison(writer.version).is_same:
            return stored
        return book.encode(settled(updater, managers, writer))
    except (TypedError, RecursionError):
        # An object that does not fit its schema, or is nested deeper than we look, is no reason to
        # refuse a write.
        return stored


def _kept(
    versions: Versions,
    old: JsonObject,
    new: JsonObject,
    writer: Writer,
    stored: list[JsonObject],
) -> list[JsonObject] | None:
    """Return entries after a write that changes only what its writer manages already.

    So most writes are: kubelets and controllers write the same fields again and again. None: this
    one is not.
    """
    version = writer.version
    if old["apiVersion"] != version or new["apiVersion"] != version:
        return None
    taken = changed_values(versions.type_at(version), old, new, NOBODYS_METADATA)
    if taken is None:
        return None
    if not (taken and (taken := versions.left(taken))):
        return stored
    return _renewed(stored, taken, writer)


def _renewed(stored: list[JsonObject], taken: FieldSet, writer: Writer) -> list[JsonObject] | None:
    """Return entries whose writer has changed these fields; None if they are not its own alone."""
    own: JsonObject | None = None
    for entry in stored:
        if entry.get("apiVersion") != writer.version:
            return None
        is_own = (
            entry.get("manager") == writer.manager
            and entry.get("operation") == UPDATE
            and entry.get("subresource", "") == writer.subresource
        )
        if is_own:
            own = entry
        elif sets.overlap(entry.get("fieldsV1", sets.EMPTY), taken):
            return None
    if own is None or not sets.contains(own.get("fieldsV1", sets.EMPTY), taken):
        return None
    if own.get("time") == writer.now:
        return stored
    after = [{**entry, "time": writer.now} if entry is own else entry for entry in stored]
    return book.in_order(after) if len(after) > 1 else after


def changed(
    versions: Versions, old: JsonObject, new: JsonObject, managers: Managers, writer: Writer
) -> Managers:
    """Return the managers after a change by an update.

    Raises:
        TypedError: an object does not fit its schema.
    """
    return settled(Updater(versions, old, new), managers, writer)


def settled(updater: Updater, managers: Managers, writer: Writer) -> Managers:
    """Return the managers after the change that `updater` knows, which an update has made.

    Raises:
        TypedError: an object does not fit its schema.
    """
    found = updater.comparison(writer.version)
    if found.is_same:
        return managers
    after = updater.settle(managers, None, force=True)
    if own := found.taken:
        who = book.identity(writer.manager, UPDATE, writer.version, writer.subresource)
        before = after.get(who)
        if before is not None:
            own = sets.union(before.fields, own)
        after[who] = Owned(writer.version, own, writer.now)
    return book.cap(after)


@dataclass(frozen=True, slots=True)
class Application:
    """One server-side apply.

    Attributes:
        versions: of the type.
        config: what is applied, in the request's version.
        writer: who applies it.
        force: take what others manage.
        empty: a new object of the type as upstream has it before anything is in it.
    """

    versions: Versions
    config: JsonObject
    writer: Writer
    force: bool
    empty: JsonObject

    def check(self) -> None:
        """Check the configuration against its schema.

        Raises:
            TypedError: with every fault.
        """
        check(self.versions.type_at(self.writer.version), self.config)

    def onto(self, live: JsonObject) -> JsonObject:
        """Return a live object with the configuration merged into it, and its managedFields.

        Args:
            live: in the request's version.

        Raises:
            Conflicts: others manage what would change.
            TypedError: the live object does not fit its schema.
        """
        managers = book.decode_stored(_entries(live) or ())
        live = bare(live)
        if not managers:
            first = Writer(book.BEFORE_FIRST_APPLY, self.writer.version, self._part, self._now)
            managers = changed(self.versions, self.empty, live, {}, first)
        try:
            done = self._apply(live, managers, force=self.force)
        except Conflicts as conflicts:
            left = self._left(live, conflicts.found)
            if left:
                raise Conflicts(left) from conflicts
            done = self._apply(live, managers, force=True)
        obj = self._with_annotation(done.obj)
        metadata = dict(obj.get("metadata") or {})
        if entries := book.encode(done.managers):
            metadata["managedFields"] = entries
        return {**obj, "metadata": metadata}

    @property
    def _part(self) -> str:
        return self.writer.subresource

    @property
    def _now(self) -> str:
        return self.writer.now

    def _apply(self, live: JsonObject, managers: Managers, *, force: bool) -> Applied:
        who = book.identity(self.writer.manager, APPLY, self.writer.version, self._part)
        obj, managers = apply(self.versions, live, self.config, managers, who, force=force)
        own = managers.get(who)
        if own is not None:
            fields = sets.difference(own.fields, NOBODYS)
            if not fields:
                managers = {other: owned for other, owned in managers.items() if other != who}
            else:
                # An apply that changes nothing leaves the time as it was.
                time = own.time if obj == live else self._now
                managers = {**managers, who: Owned(own.version, fields, time)}
        return Applied(obj, managers)

    def _left(self, live: JsonObject, found: list[Conflict]) -> list[Conflict]:
        """Return the conflicts that kubectl's own client-side apply does not account for."""
        if self.writer.manager != _KUBECTL:
            return found
        allowed = self._last_applied(live)
        return [conflict for conflict in found if not sets.has(allowed, conflict.path)]

    def _last_applied(self, live: JsonObject) -> FieldSet:
        """Return the fields that client-side apply wrote and that are still as it wrote them."""
        text = _annotation(live)
        try:
            last = orjson.loads(text) if text else None
        except orjson.JSONDecodeError:
            last = None
        if last.__class__ is not dict or last.get("apiVersion") != self.writer.version:
            return sets.EMPTY
        type_ = self.versions.type_at(self.writer.version)
        try:
            check(type_, last)
            fields = field_set(type_, last)
            for gone in compare(type_, last, live):
                fields = sets.difference(fields, gone)
        except TypedError:
            return sets.EMPTY
        return fields

    def _with_annotation(self, obj: JsonObject) -> JsonObject:
        """Keep kubectl's annotation up to date, so that client-side apply may be used again."""
        if self.writer.manager != _KUBECTL or not _annotation(obj):
            return obj
        metadata = obj["metadata"]
        annotations = dict(metadata["annotations"])
        annotations[LAST_APPLIED] = _last_applied_text(self.config)
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > _ANNOTATIONS_BYTES_MAX:
            del annotations[LAST_APPLIED]
        return {**obj, "metadata": {**metadata, "annotations": annotations}}


def _annotation(obj: JsonObject) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations")
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else ""


def _last_applied_text(config: JsonObject) -> str:
    """Return a configuration as kubectl's annotation holds it."""
    metadata = dict(config.get("metadata") or {})
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    document = {**config, "metadata": metadata}
    return go_escaped(orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()) + "\n"

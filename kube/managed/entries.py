"""The entries of `metadata.managedFields`, and the managers they tell of.

Whoever updates is known by name, version and subresource; whoever applies by name and subresource
only, as each of its applies replaces the one before. Invariant: what `encode` returns is as
upstream writes it: applies before updates, older entries first, fields in canonical order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.sets import FieldSet

APPLY: Final = "Apply"
UPDATE: Final = "Update"
FIELDS_TYPE: Final = "FieldsV1"
UPDATE_MANAGERS_MAX: Final = 10
ANCIENT: Final = "ancient-changes"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
UNKNOWN: Final = "unknown"


class EntriesError(ValueError):
    """managedFields cannot be read; a client's are passed over then, as upstream does."""


class Identity(NamedTuple):
    """Who manages fields.

    Attributes:
        version: apiVersion of an Update; "" for Apply.
    """

    manager: str
    operation: str
    version: str
    subresource: str = ""


class Owned(NamedTuple):
    """What a manager manages.

    Attributes:
        version: apiVersion that the fields are named in.
        time: when it last changed anything; "" if the entry does not say.
    """

    version: str
    fields: FieldSet
    time: str = ""


Managers: TypeAlias = dict[Identity, Owned]


def identity(manager: str, operation: str, version: str, subresource: str = "") -> Identity:
    """Return who manages fields by a request."""
    known_by = "" if operation == APPLY else version
    return Identity(manager or UNKNOWN, operation, known_by, subresource)


def decode(entries: Iterable[Any]) -> Managers:
    """Return the managers of an object.

    Raises:
        EntriesError: an entry is malformed.
    """
    managers: Managers = {}
    for index, entry in enumerate(entries):
        operation, version = entry.get("operation"), entry.get("apiVersion")
        if operation not in (APPLY, UPDATE):
            raise EntriesError("operation must be `Apply` or `Update`")
        if not version:
            raise EntriesError("apiVersion must not be empty")
        kind = entry.get("fieldsType", "")
        if kind != FIELDS_TYPE:
            what = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise EntriesError(f"{what} in managed fields entry {index}")
        try:
            fields = sets.parse(entry.get("fieldsV1") or {})
        except sets.SetError as error:
            raise EntriesError(f"error decoding set: {error}") from error
        known_by = version if operation == UPDATE else ""
        who = Identity(entry.get("manager", ""), operation, known_by, entry.get("subresource", ""))
        managers[who] = Owned(version, fields, entry.get("time", ""))
    return managers


def decode_stored(entries: Iterable[JsonObject]) -> Managers:
    """Return the managers of an object that the server has written: sets are taken as they are."""
    managers: Managers = {}
    for entry in entries:
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        if not version:
            continue  # from before entries were made here
        who = Identity(
            entry.get("manager", ""),
            operation,
            version if operation == UPDATE else "",
            entry.get("subresource", ""),
        )
        managers[who] = Owned(version, entry.get("fieldsV1", {}), entry.get("time", ""))
    return managers


def encode(managers: Managers) -> list[JsonObject]:
    """Return the entries to be stored, sorted."""
    return [
        entry_of(who, managers[who])
        for who in sorted(managers, key=lambda who: order_of(who, managers[who]))
    ]


def order_of(who: Identity, owned: Owned) -> tuple[str, ...]:
    """Return what entries are sorted by."""
    # Times are in UTC and whole seconds: their texts sort as they do.
    return who.operation, owned.time, who.manager, owned.version, who.subresource


def entry_of(who: Identity, owned: Owned) -> JsonObject:
    """Return the entry of one manager, its members in upstream's order."""
    entry: JsonObject = {}
    if who.manager:
        entry["manager"] = who.manager
    entry["operation"] = who.operation
    entry["apiVersion"] = owned.version
    if owned.time:
        entry["time"] = owned.time
    entry["fieldsType"] = FIELDS_TYPE
    entry["fieldsV1"] = owned.fields
    if who.subresource:
        entry["subresource"] = who.subresource
    return entry


def in_order(entries: list[JsonObject]) -> list[JsonObject]:
    """Return entries as they are to be stored, sorted."""
    return sorted(
        entries,
        key=lambda entry: (
            entry.get("operation", ""),
            entry.get("time", ""),
            entry.get("manager", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        ),
    )


def asks_for_reset(entries: Any) -> bool:
    """Tell whether a client wants managedFields forgotten: a list that is empty, or its like."""
    return entries is not None and (len(entries) == 0 or (len(entries) == 1 and not entries[0]))


def same_but_times(left: Sequence[JsonObject], right: Sequence[JsonObject]) -> bool:
    """Tell whether entries differ in their times at most."""
    return len(left) == len(right) and all(
        ours == theirs or {**ours, "time": ""} == {**theirs, "time": ""}
        for ours, theirs in zip(left, right, strict=True)
    )


def cap(managers: Managers) -> Managers:
    """Return managers with the oldest updaters put together where there are too many."""
    updaters = [who for who in managers if who.operation == UPDATE]
    if len(updaters) <= UPDATE_MANAGERS_MAX:
        return managers
    updaters.sort(key=lambda who: (managers[who].time, *who))
    managers = dict(managers)
    firsts: dict[str, Identity] = {}
    left = len(updaters)
    for who in updaters:
        if left <= UPDATE_MANAGERS_MAX:
            break
        owned = managers[who]
        bucket = Identity(ANCIENT, UPDATE, owned.version)
        first = firsts.setdefault(owned.version, who)
        if first is who:
            continue
        if bucket not in managers:
            managers[bucket] = managers.pop(first)
        fields = sets.union(managers[bucket].fields, owned.fields)
        managers.pop(who)
        managers[bucket] = Owned(owned.version, fields, owned.time)
        left -= 1
    return managers

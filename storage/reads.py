"""Reading one object, or one pass of history, within a read transaction.

Where the value of an object at revision R is: in `objects` if its mod revision is at most R;
otherwise the newest version written at or before R, unless it was superseded at or before R too
(then the object was deleted at R). That holds for every R from the compact revision on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from storage.environment import Tables, Txn
from storage.event import EVENT_KEY, REVISION, Event, EventKind, EventRow, parse_row, type_of_row
from storage.record import Record, as_deleted, mod_revision_of
from storage.types_table import TypeTable

PAUSE: Final = b""
"""In place of a value: so much was passed over to get here that others should have their turn."""
PASSED_MAX: Final = 4096
PAGE_BYTES: Final = 4 << 20
"""A page of history ends after so many, be its changes ever so few: they take time and memory."""


class Views:
    """The tables of one environment, and what is known of their types."""

    __slots__ = ("environment", "types")

    def __init__(self, environment: Tables, types: TypeTable) -> None:
        self.environment = environment
        self.types = types

    def begin(self) -> Txn:
        """Return a snapshot of the latest state; give it back by `end`."""
        return self.environment.read()

    def end(self, txn: Txn) -> None:
        """Take a snapshot back."""
        txn.abort()


class HistoryPage(NamedTuple):
    """Some consecutive changes."""

    events: list[Event]
    last_revision: int
    """Everything up to here has been looked at; 0 if there was nothing to look at."""
    exhausted: bool
    """Whether that was all there is."""


def value_at(views: Views, txn: Txn, key: bytes, revision: int) -> bytes | None:
    """Return an object's stored value as of a retained revision, None if there was none."""
    value = txn.get(key, db=views.environment.objects)
    if value is not None and mod_revision_of(value) <= revision:
        return value
    cursor = txn.cursor(views.environment.versions)
    # The version sought precedes the first one that was written after `revision`.
    found = cursor.set_range(key + REVISION.pack(revision + 1))
    found = cursor.prev() if found else cursor.last()
    if not found or cursor.key()[:-8] != key:
        return None
    superseding = cursor.value()
    if EVENT_KEY.unpack(superseding)[0] <= revision:
        return None
    return superseded_value(views, txn, superseding)


def superseded_value(views: Views, txn: Txn, event_key: bytes) -> bytes:
    """Return the value that an event superseded."""
    row = txn.get(event_key, db=views.environment.events)
    assert row is not None, "a version names an event that is gone"
    return parse_row(row).previous_value


def versions_at(
    views: Views, txn: Txn, prefix: bytes, start: bytes, revision: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of objects as of `revision` that have changed since, in key order.

    Among them, where many versions are none of `revision`, a PAUSE now and then.

    Args:
        views: the tables.
        txn: the snapshot.
        prefix: what their keys begin with.
        start: keys after this one only.
        revision: a retained revision.
    """
    cursor = txn.cursor(views.environment.versions)
    if not cursor.set_range(start):
        return
    passed = 0
    for version_key, superseding in cursor.iternext():
        if not version_key.startswith(prefix):
            return
        key = version_key[:-8]
        written = REVISION.unpack(version_key[-8:])[0]
        if key > start and written <= revision < EVENT_KEY.unpack(superseding)[0]:
            yield key, superseded_value(views, txn, superseding)
            continue
        passed += 1
        if passed >= PASSED_MAX:
            passed = 0
            yield key, PAUSE


def read_history(
    views: Views, txn: Txn, after: int, count_max: int, resources: Collection[str]
) -> HistoryPage:
    """Return the changes after a retained revision, at most about `count_max` of them.

    A page ends between two revisions, never within a transaction.

    Args:
        views: the tables.
        txn: the snapshot.
        after: the revision before the first wanted.
        count_max: how many rows to look at; fewer where they are large, see `PAGE_BYTES`.
        resources: whose changes are wanted; others only count.
    """
    entries = (views.types.find(resource) for resource in resources)
    wanted = {entry.prefix for entry in entries if entry is not None}
    events: list[Event] = []
    last = size_bytes = 0
    cursor = txn.cursor(views.environment.events)
    if not cursor.set_range(EVENT_KEY.pack(after + 1, 0)):
        return HistoryPage(events, 0, exhausted=True)
    for count, (event_key, value) in enumerate(cursor.iternext()):
        revision = EVENT_KEY.unpack(event_key)[0]
        if (count >= count_max or size_bytes >= PAGE_BYTES) and revision != last:
            return HistoryPage(events, last, exhausted=False)
        last = revision
        size_bytes += len(value)
        if type_of_row(value) in wanted:
            event = _materialise(views, txn, parse_row(value), revision)
            size_bytes += len(event.record.body)
            if event.previous is not None:
                size_bytes += len(event.previous.body)
            events.append(event)
    return HistoryPage(events, last, exhausted=True)


def _materialise(views: Views, txn: Txn, row: EventRow, revision: int) -> Event:
    key, parse = row.object_key, views.environment.values.parse
    resource = views.types.of_key(key).resource
    previous: Record | None = None
    if row.previous_revision:
        previous = parse(resource, key, row.previous_value)
    if row.kind is EventKind.DELETE:
        assert previous is not None, "a delete has deleted nothing"
        return Event(row.kind, as_deleted(previous, revision), previous, revision)
    value = txn.get(key, db=views.environment.objects)
    if value is None or mod_revision_of(value) != revision:
        version_key = key + REVISION.pack(revision)
        superseding = txn.get(version_key, db=views.environment.versions)
        assert superseding is not None, "a change's value is gone while its event is not"
        value = superseded_value(views, txn, superseding)
    return Event(row.kind, parse(resource, key, value), previous, revision)

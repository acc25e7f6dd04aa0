"""One change, as watchers see it, and its row in the history table.

A row's key is revision u64 and operation u16, big-endian, so that rows stand in the log's order;
the row, little-endian:

    0              8              16     17           19
    +--------------+--------------+------+------------+------------+-----------------------+
    | timestamp ms | previous mod | kind | length of  | object key | previous stored value |
    | u64          | revision u64 | u8   | key u16    |            | (none for a create)   |
    +--------------+--------------+------+------------+------------+-----------------------+

The superseded value lies in the row, not in a table by key: appending it here costs no page of its
own (an update 14 instead of 17 µs at random keys), and compaction drops it with its row (2 instead
of 5 µs). The `versions` table finds it by key: object key and mod revision lead to the row.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Any, Final, NamedTuple

from storage.record import Record

EVENT_KEY: Final = struct.Struct(">QH")
EVENT_ROW: Final = struct.Struct("<QQBH")
REVISION: Final = struct.Struct(">Q")


class EventKind(Enum):
    """What happened to the object."""

    PUT = 1
    DELETE = 2


PUT_VALUE: Final[int] = EventKind.PUT.value
DELETE_VALUE: Final[int] = EventKind.DELETE.value
"""As rows have them: an enumeration's `value` takes as long as packing the row."""


class Event:
    """One object's change at one revision; one instance is shared by all watchers.

    Attributes:
        kind: PUT or DELETE.
        record: the new state; of a delete the last state, with the delete's revision.
        previous: the state before, None for a create.
        revision: the change's revision.
        cache: for encoders, to keep what the event looks like on the wire, by encoding.
    """

    __slots__ = ("cache", "kind", "previous", "record", "revision")

    def __init__(
        self, kind: EventKind, record: Record, previous: Record | None, revision: int
    ) -> None:
        self.kind = kind
        self.record = record
        self.previous = previous
        self.revision = revision
        self.cache: dict[Any, Any] = {}

    def __repr__(self) -> str:
        resource, namespace, name = self.record[:3]
        return f"<{self.kind.name} {resource} {namespace}/{name} @{self.revision}>"


class EventRow(NamedTuple):
    """A row of the history table, taken apart."""

    timestamp_ms: int
    previous_revision: int
    """0: there was no object."""
    kind: EventKind
    object_key: bytes
    previous_value: bytes


_KINDS: Final = {kind.value: kind for kind in EventKind}


def parse_row(row: bytes) -> EventRow:
    """Take a row apart."""
    timestamp_ms, previous_revision, kind, key_bytes = EVENT_ROW.unpack_from(row)
    value_at = EVENT_ROW.size + key_bytes
    return EventRow(
        timestamp_ms,
        previous_revision,
        _KINDS[kind],
        row[EVENT_ROW.size : value_at],
        row[value_at:],
    )


def type_of_row(row: bytes) -> bytes:
    """Return the type id that a row's object key begins with, without taking the row apart."""
    return row[EVENT_ROW.size : EVENT_ROW.size + 2]

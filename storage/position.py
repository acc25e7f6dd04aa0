"""How far a replica has come: one row, written with every pass, in the same LMDB transaction.

The row, little-endian; formats 1 and 2 end before the sum of the objects:

    format u32 | applied sequence u64 | compact revision u64 | event count u64 | timestamp ms u64
    | digest of the last entry, 8 | identity of the log, 16 | sum of the objects, 16
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from storage.environment import Tables, Txn

FORMAT_VERSION: Final = 3
READABLE_FORMATS: Final = frozenset({1, 2, 3})
"""1 knows no dictionaries: it is 2 that has compressed nothing yet. 2 knows no sum of the objects,
which is worked out once (storage/state_hash.py)."""
SUMMED_FROM: Final = 3
SUM_BYTES: Final = 16
_STATE: Final = struct.Struct(f"<IQQQQ8s16s{SUM_BYTES}s")
_FORMAT: Final = struct.Struct("<I")
_STATE_KEY: Final = b"state"
_NO_DIGEST: Final = bytes(8)
NO_IDENTITY: Final = bytes(16)


class Position(NamedTuple):
    """How far a replica has come; stored with every pass."""

    format_version: int = FORMAT_VERSION
    applied_sequence: int = 0
    compact_revision: int = 0
    event_count: int = 0
    timestamp_ms: int = 0
    """Of the last entry applied, by the journal's clock."""
    digest: bytes = _NO_DIGEST
    """Of the last entry applied: tells this log from any other."""
    identity: bytes = NO_IDENTITY
    """What the log's Init named it."""
    objects_sum: int = 0
    """Of all objects (storage/state_hash.py)."""


def read_position(tables: Tables, txn: Txn) -> Position:
    """Return the stored position; that of the empty log if there is none.

    Of a format that is newer than this program, only the number is known.
    """
    row = txn.get(_STATE_KEY, db=tables.meta)
    if row is None:
        return Position()
    (version,) = _FORMAT.unpack_from(row)
    if version > FORMAT_VERSION:
        return Position(version)
    # The sum of an older format is none; it is worked out before anything is applied.
    *fields, objects_sum = _STATE.unpack(row.ljust(_STATE.size, b"\0"))
    return Position._make((*fields, int.from_bytes(objects_sum, "little")))


def put_position(tables: Tables, txn: Txn, position: Position) -> None:
    """Store a position."""
    row = _STATE.pack(*position[:-1], position.objects_sum.to_bytes(SUM_BYTES, "little"))
    txn.put(_STATE_KEY, row, db=tables.meta)

"""One number for a replica's whole state: equal for two that have applied the same log so far.

Each object has a hash, of its key and of its value as it is when not compressed; the sum of all,
modulo 2^128, does not depend on their order. So the applier keeps it by adding what is written and
taking away what is replaced: 0.6 µs a change. The state's hash is that of the sum and of what else
the log decides: the sequence, what is compacted, the log's name, the resources and their ids.

The sum in the position is what the log made of it; walking the objects tells what there is. Where
the two differ, something was damaged that no checksum covers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from xxhash import xxh3_128_hexdigest, xxh3_128_intdigest

from storage.environment import Environment, Tables, Txn
from storage.position import (
    FORMAT_VERSION,
    SUM_BYTES,
    SUMMED_FROM,
    Position,
    put_position,
    read_position,
)
from storage.record import HEADER, Record
from storage.types_table import TypeEntry, TypeTable

SUM_MASK: Final = (1 << 8 * SUM_BYTES) - 1
_FIXED: Final = struct.Struct(f"<QQQ16s{SUM_BYTES}s")
_TYPE: Final = struct.Struct("<2sQQH")


def hash_of(object_key: bytes, plain: bytes) -> int:
    """Return the hash of an object, by its key and its stored value when not compressed."""
    return xxh3_128_intdigest(b"".join((object_key, plain)), len(object_key))


def hash_of_record(object_key: bytes, record: Record) -> int:
    """Return the hash of an object that was taken apart."""
    _, _, _, created, modified, meta, body, splice_at, expires_at_ms = record
    header = HEADER.pack(created, modified, expires_at_ms, splice_at, len(meta))
    return xxh3_128_intdigest(b"".join((object_key, header, meta, body)), len(object_key))


def state_hash(position: Position, types: Iterable[TypeEntry]) -> str:
    """Return the hash of a state, by what its position and types say of it."""
    parts = [
        _FIXED.pack(
            position.applied_sequence,
            position.compact_revision,
            position.event_count,
            position.identity,
            position.objects_sum.to_bytes(SUM_BYTES, "little"),
        )
    ]
    for entry in sorted(types, key=lambda entry: entry.prefix):
        name = entry.resource.encode()
        parts += (_TYPE.pack(entry.prefix, entry.count, entry.changed_revision, len(name)), name)
    return xxh3_128_hexdigest(b"".join(parts))


def stored_hash(tables: Tables, txn: Txn) -> str:
    """Return the hash of the state that a transaction sees, as its position has it."""
    return _hash_with(tables, txn, read_position(tables, txn))


def walked_hash(tables: Tables, txn: Txn) -> str:
    """Return the hash of the state that a transaction sees, by reading all of it."""
    position = read_position(tables, txn)
    return _hash_with(tables, txn, position._replace(objects_sum=sum_objects(tables, txn)))


def sum_objects(tables: Tables, txn: Txn) -> int:
    """Return the sum of all objects' hashes: a second for a million."""
    plain, total = tables.values.plain, 0
    for key, stored in txn.cursor(tables.objects):
        total += hash_of(key, plain(stored))
    return total & SUM_MASK


def complete_position(environment: Environment) -> None:
    """Bring the position of an older format up to ours, once; older programs can't read it then."""
    txn = environment.read()
    try:
        position = read_position(environment, txn)
        if not position.applied_sequence or position.format_version >= SUMMED_FROM:
            return
        objects_sum = sum_objects(environment, txn)
    finally:
        txn.abort()
    with environment.write() as txn:
        after = position._replace(format_version=FORMAT_VERSION, objects_sum=objects_sum)
        put_position(environment, txn, after)


def _hash_with(tables: Tables, txn: Txn, position: Position) -> str:
    types = TypeTable({})
    types.load(tables, txn)
    return state_hash(position, types)

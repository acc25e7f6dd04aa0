"""Transactions, and how one is written as one journal record.

A transaction is a tuple of operations on distinct keys of one partition. Conditions are tested
against the state before the transaction; all hold, or nothing happens. Its revision is the sequence
of its record. The record, little-endian:

    0         1           17         19
    +---------+-----------+----------+-----------+-----+----------------+
    | version | id        | op count | operation | ... | xxh3_64 of all |
    | u8      | 16 bytes  | u16      |           |     | before, 8 bytes|
    +---------+-----------+----------+-----------+-----+----------------+

    put      1 | lengths of resource u8, namespace u16, name u16 | expected i64
               | splice at u32 | expires at ms u64 | lengths of meta u32, body u32
               | resource | namespace | name | meta | body
    delete   2 | lengths of resource u8, namespace u16, name u16 | expected i64
               | resource | namespace | name
    check    3   as delete
    compact  4 | revision u64
    init     5 | identity, 16 bytes

A record of version 2 holds its operations sealed: storage/codec.py.

The id is unique to the append and doubles as its idempotency key: by it the sender knows its own
transaction in the log, and no two records of any log are alike. The digest covers what no other
layer does: memory between the sender's encoder and every replica's decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_digest

from storage.errors import CorruptTransaction, TransactionInvalid, UnsupportedTransaction
from storage.record import Record

VERSION: Final = 1
SEALED_VERSION: Final = 2
"""Of records whose operations are sealed: storage/codec.py."""
ID_BYTES: Final = 16
OPS_MAX: Final = 4096
KEY_BYTES_MAX: Final = 480
"""Namespace and name together. LMDB keys end at 511 bytes, and ours carry up to 12 more."""
RESOURCE_BYTES_MAX: Final = 255

ABSENT: Final = 0
"""Expected: the object does not exist."""
ANY: Final = -1
"""Expected: no condition (a Delete still needs something to delete)."""

_HEAD: Final = struct.Struct(f"<B{ID_BYTES}sH")
_KEYED: Final = struct.Struct("<BBHHq")
_VALUE: Final = struct.Struct("<IQII")
_COMPACT: Final = struct.Struct("<BQ")
_INIT: Final = struct.Struct("<B16s")
DIGEST_BYTES: Final = 8
_PUT, _DELETE, _CHECK, _COMPACTION, _INITIAL = 1, 2, 3, 4, 5
_LARGEST_REVISION: Final = (1 << 63) - 1


class Put(NamedTuple):
    """Create or replace an object.

    `body` is JSON with an empty resourceVersion; the revision goes in at `splice_at`.
    """

    resource: str
    namespace: str
    name: str
    meta: bytes
    body: bytes
    splice_at: int
    expected: int
    expires_at_ms: int = 0


class Delete(NamedTuple):
    """Delete an object that exists."""

    resource: str
    namespace: str
    name: str
    expected: int = ANY


class Check(NamedTuple):
    """Hold only if an object is at `expected`; change nothing."""

    resource: str
    namespace: str
    name: str
    expected: int


class Compact(NamedTuple):
    """Forget history before `revision`; one not newer than the last is without effect."""

    revision: int


class Init(NamedTuple):
    """Name the log; only the first one counts. It also makes the first list's revision 1, not 0."""

    identity: bytes


KeyedOp: TypeAlias = Put | Delete | Check
Op: TypeAlias = Put | Delete | Check | Compact | Init


class Transaction(NamedTuple):
    """A decoded record."""

    id: bytes
    ops: tuple[Op, ...]


class Committed(NamedTuple):
    """The transaction took effect at `revision`.

    `records`, one for each operation: of a Put the new object, of a Delete the last state with the
    delete's revision, of a Check the object as it is, else None.
    """

    revision: int
    records: tuple[Record | None, ...]


class Rejected(NamedTuple):
    """Operation `op_index`'s condition failed on `actual` (None: absent); nothing happened."""

    op_index: int
    actual: Record | None


Outcome: TypeAlias = Committed | Rejected


def encode(ops: Sequence[Op], transaction_id: bytes) -> bytes:
    """Return the journal record of a transaction.

    Raises:
        TransactionInvalid: no or too many operations, a key that is too long or has a NUL, a key
            used twice, or a splice point outside the body.
    """
    if not 0 < len(ops) <= OPS_MAX:
        raise TransactionInvalid(f"a transaction has 1 to {OPS_MAX} operations, not {len(ops)}")
    parts = [_HEAD.pack(VERSION, transaction_id, len(ops))]
    for op in ops:
        if isinstance(op, Put):
            _encode_put(op, parts)
        elif isinstance(op, Delete | Check):
            kind = _DELETE if isinstance(op, Delete) else _CHECK
            key = _encode_key(kind, op)
            parts += key
        elif isinstance(op, Compact):
            parts.append(_COMPACT.pack(_COMPACTION, op.revision))
        else:
            parts.append(_INIT.pack(_INITIAL, op.identity))
    if len(ops) > 1 and _repeats_a_key(ops):
        raise TransactionInvalid("a transaction names each object at most once")
    record = b"".join(parts)
    return record + xxh3_64_digest(record)


def _encode_put(op: Put, parts: list[bytes]) -> None:
    meta, body, splice_at, expires_at_ms = op[3], op[4], op[5], op[7]
    body_bytes = len(body)
    if not 0 <= splice_at <= body_bytes:
        raise TransactionInvalid(f"splice point {splice_at} is outside of {body_bytes} bytes")
    head, names = _encode_key(_PUT, op)
    value = _VALUE.pack(splice_at, expires_at_ms, len(meta), body_bytes)
    parts += (head, value, names, meta, body)


def _encode_key(kind: int, op: KeyedOp) -> tuple[bytes, bytes]:
    """Return an operation's first fields, and the names that follow later, run together."""
    resource, namespace, name = op.resource.encode(), op.namespace.encode(), op.name.encode()
    problem = _key_problem(resource, namespace, name)
    if problem:
        raise TransactionInvalid(problem)
    expected = op.expected
    if not ANY <= expected <= _LARGEST_REVISION:
        raise TransactionInvalid(f"expected revision {expected} is none")
    head = _KEYED.pack(kind, len(resource), len(namespace), len(name), expected)
    return head, resource + namespace + name


def _key_problem(resource: bytes, namespace: bytes, name: bytes) -> str:
    if not 0 < len(resource) <= RESOURCE_BYTES_MAX:
        return f"a resource name has 1 to {RESOURCE_BYTES_MAX} bytes, not {len(resource)}"
    if not name:
        return "an object's name is empty"
    if len(namespace) + len(name) > KEY_BYTES_MAX:
        return f"namespace and name together have more than {KEY_BYTES_MAX} bytes"
    # NUL separates namespace from name in the replica's keys.
    if 0 in name or 0 in namespace or 0 in resource:
        return "a name holds a NUL byte"
    return ""


def _repeats_a_key(ops: Sequence[Op]) -> bool:
    keys = [op[:3] for op in ops if not isinstance(op, Compact | Init)]
    return len(set(keys)) != len(keys)


def transaction_id_of(record: bytes) -> bytes:
    """Return the id in a record that was decoded before."""
    return record[1 : 1 + ID_BYTES]


def digest_of(record: bytes) -> bytes:
    """Return the digest a record ends with: different for any two records of any logs."""
    return record[-DIGEST_BYTES:]


def decode(record: bytes) -> Transaction:
    """Return the transaction of a journal record.

    Raises:
        UnsupportedTransaction: its format is newer than this program.
        CorruptTransaction: it is anything but what `encode` returns.
    """
    end = len(record) - DIGEST_BYTES
    if end < _HEAD.size:
        raise CorruptTransaction(f"{len(record)} bytes are too few")
    version, transaction_id, count = _HEAD.unpack_from(record)
    if xxh3_64_digest(memoryview(record)[:end]) != record[end:]:
        # A newer format may keep its digest elsewhere; only a known one can be called damaged.
        if version > SEALED_VERSION:
            raise UnsupportedTransaction(version, SEALED_VERSION)
        raise CorruptTransaction("its digest does not match its bytes")
    if version != VERSION:
        if version > SEALED_VERSION:
            raise UnsupportedTransaction(version, SEALED_VERSION)
        if version == SEALED_VERSION:
            raise CorruptTransaction("its operations are sealed")
        raise CorruptTransaction(f"there is no format {version}")
    try:
        ops = _decode_ops(record, end, count)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptTransaction(str(error)) from error
    return Transaction(transaction_id, ops)


def _decode_ops(record: bytes, end: int, count: int) -> tuple[Op, ...]:
    if not 0 < count <= OPS_MAX:
        raise CorruptTransaction(f"{count} operations")
    ops: list[Op] = []
    at = _HEAD.size
    for _ in range(count):
        kind = record[at]
        if kind <= _CHECK:
            op, at = _decode_keyed(record, kind, at)
        elif kind == _COMPACTION:
            op = Compact(_COMPACT.unpack_from(record, at)[1])
            at += _COMPACT.size
        elif kind == _INITIAL:
            op = Init(_INIT.unpack_from(record, at)[1])
            at += _INIT.size
        else:
            raise CorruptTransaction(f"there is no operation {kind}")
        if at > end:
            raise CorruptTransaction("an operation passes the end of the record")
        ops.append(op)
    if at != end:
        raise CorruptTransaction(f"{end - at} bytes after the last operation")
    if count > 1 and _repeats_a_key(ops):
        raise CorruptTransaction("an object is named twice")
    return tuple(ops)


def _decode_keyed(record: bytes, kind: int, at: int) -> tuple[Op, int]:
    _, resource_bytes, namespace_bytes, name_bytes, expected = _KEYED.unpack_from(record, at)
    at += _KEYED.size
    splice_at = expires_at_ms = meta_bytes = body_bytes = 0
    if kind == _PUT:
        splice_at, expires_at_ms, meta_bytes, body_bytes = _VALUE.unpack_from(record, at)
        at += _VALUE.size
    namespace_at = at + resource_bytes
    name_at = namespace_at + namespace_bytes
    meta_at = name_at + name_bytes
    resource, namespace = record[at:namespace_at], record[namespace_at:name_at]
    name = record[name_at:meta_at]
    problem = _key_problem(resource, namespace, name)
    if problem:
        raise CorruptTransaction(problem)
    key = (resource.decode(), namespace.decode(), name.decode())
    if kind == _PUT:
        body_at = meta_at + meta_bytes
        at = body_at + body_bytes
        if splice_at > body_bytes:
            raise CorruptTransaction("the splice point is outside of the body")
        meta, body = record[meta_at:body_at], record[body_at:at]
        return Put(*key, meta, body, splice_at, expected, expires_at_ms), at
    if kind == _DELETE:
        return Delete(*key, expected), meta_at
    if kind == _CHECK:
        return Check(*key, expected), meta_at
    raise CorruptTransaction(f"there is no operation {kind}")

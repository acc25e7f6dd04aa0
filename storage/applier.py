"""The deterministic state machine: log entries in, tables changed, outcomes and events out.

Invariants:
    - Pure: what a table says follows from the log alone, byte for byte, however the log was cut
      into passes. No clock, no randomness, no configuration (but which fields are indexed). Values
      are equal when they are so uncompressed: which are compressed, and how, is this replica's own.
    - A pass is one LMDB write transaction, which also stores the sequence applied so far: a crash
      leaves all of a pass or nothing, and readers never see a part of one.
    - Every record of the log is applied or stops the replica; none is skipped.

History: a row for each change, holding the value it superseded, and by key in `versions` the way to
that row. Worked example, one object:

    seq 5 put a     objects[a]=a5   events 5: put, no previous
    seq 6 put a     objects[a]=a6   events 6: put, previous a5      versions[a,5]=6
    seq 7 delete a                  events 7: delete, previous a6   versions[a,6]=7
    seq 8 compact 6                 events 7                        versions[a,6]=7

At revision 6 the object is a6: superseded at 7 by what versions[a,6] names. At 5 it is compacted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from storage.environment import Environment, Txn
from storage.errors import CorruptTransaction, SealBroken, UnsupportedTransaction
from storage.event import (
    DELETE_VALUE,
    EVENT_KEY,
    EVENT_ROW,
    PUT_VALUE,
    REVISION,
    Event,
    EventKind,
)
from storage.position import FORMAT_VERSION, NO_IDENTITY, Position, put_position, read_position
from storage.record import (
    HEADER,
    Record,
    as_deleted,
    field_value,
    mod_revision_of,
    splice,
)
from storage.state_hash import SUM_MASK, complete_position, hash_of, hash_of_record
from storage.txn import (
    ABSENT,
    ANY,
    Check,
    Committed,
    Compact,
    Delete,
    Init,
    Op,
    Outcome,
    Put,
    Rejected,
    Transaction,
    decode,
    digest_of,
    transaction_id_of,
)
from storage.types_table import INDEX_VALUE_BYTES_MAX, TypeEntry, TypeTable
from storage.values import is_plain


class Entry(NamedTuple):
    """One record of the log."""

    sequence: int
    timestamp_ms: int
    record: bytes


class Sent:
    """A transaction that this process encoded: what the log brings back need not be decoded."""

    __slots__ = ("ops", "record")

    def __init__(self, record: bytes, ops: tuple[Op, ...]) -> None:
        self.record = record
        self.ops = ops


_NOTHING_SENT: Final[Mapping[bytes, Sent]] = {}


_Found: TypeAlias = tuple[TypeEntry | None, bytes, bytes | None]
"""What a key names before its transaction: its type's entry, its key, its stored value."""


_KEYLESS: Final = (Compact, Init)
_NOTHING: Final = (None, b"", None)


class Applied(NamedTuple):
    """What one pass did."""

    outcomes: list[tuple[bytes, Outcome]]
    """Transaction id and outcome of every entry, in order."""
    events: list[Event]


class Applier:
    """Applies entries to one environment, which nobody else writes.

    Args of the constructor:
        environment: where to.
        types: of its resources.
        decode_record: what reads a record; see storage/codec.py.
    """

    def __init__(
        self,
        environment: Environment,
        types: TypeTable,
        decode_record: Callable[[bytes], Transaction] = decode,
    ) -> None:
        self._environment = environment
        self._decode_record = decode_record
        self._types = types
        self._values = environment.values
        self.position = Position()
        self._txn: Txn
        self._events: list[Event] = []
        self._event_count = 0
        self._compact_revision = 0
        self._identity = NO_IDENTITY
        self._timestamp_ms = 0
        self._objects_sum = 0
        complete_position(environment)
        self.reload()

    def reload(self) -> None:
        """Take memory's copies (position, types) from the tables again."""
        txn = self._environment.read()
        try:
            self.position = read_position(self._environment, txn)
            self._types.load(self._environment, txn)
        finally:
            txn.abort()

    def apply(
        self, entries: Iterable[Entry], sent: Mapping[bytes, Sent] = _NOTHING_SENT
    ) -> Applied:
        """Apply entries, which must follow the position without gap, in one pass.

        Args:
            entries: of the log.
            sent: by id, what is known of entries that may be among them.

        Raises:
            CorruptTransaction, UnsupportedTransaction, SealBroken: an entry can't be applied;
                nothing of the pass was. StorageFull: likewise; may be tried again.
        """
        position = self.position
        sequence, digest = position.applied_sequence, position.digest
        self._event_count, self._identity = position.event_count, position.identity
        self._compact_revision, self._timestamp_ms = (
            position.compact_revision,
            position.timestamp_ms,
        )
        self._objects_sum = position.objects_sum
        self._events = []
        outcomes: list[tuple[bytes, Outcome]] = []
        try:
            with self._environment.write() as txn:
                self._txn = txn
                for entry in entries:
                    assert entry.sequence == sequence + 1, "the log has a gap"
                    sequence = entry.sequence
                    self._timestamp_ms = entry.timestamp_ms
                    record = entry.record
                    transaction_id = transaction_id_of(record)
                    own = sent.get(transaction_id)
                    # The very bytes that were encoded decode to what they were made from.
                    if own is not None and own.record == record:
                        ops = own.ops
                    else:
                        transaction_id, ops = self._decode(entry)
                    outcomes.append((transaction_id, self._apply_one(ops, sequence)))
                    digest = digest_of(record)
                after = Position(
                    FORMAT_VERSION,
                    sequence,
                    self._compact_revision,
                    self._event_count,
                    self._timestamp_ms,
                    digest,
                    self._identity,
                    self._objects_sum & SUM_MASK,
                )
                put_position(self._environment, txn, after)
                self._types.save(self._environment, txn)
        except BaseException:
            # The tables are as before the pass; counts and ids in memory may not be.
            self.reload()
            raise
        self.position = after
        return Applied(outcomes, self._events)

    def _decode(self, entry: Entry) -> Transaction:
        try:
            return self._decode_record(entry.record)
        except CorruptTransaction as error:
            raise CorruptTransaction(error.reason, entry.sequence) from error
        except UnsupportedTransaction as error:
            raise UnsupportedTransaction(error.version, error.supported, entry.sequence) from error
        except SealBroken as error:
            raise SealBroken(str(error), f"record {entry.sequence}") from error

    def _apply_one(self, ops: Sequence[Op], revision: int) -> Outcome:
        read, objects = self._txn.get, self._environment.objects
        found: list[_Found] = []
        for op_index, op in enumerate(ops):
            if isinstance(op, _KEYLESS):
                found.append(_NOTHING)
                continue
            entry = self._types.find(op.resource)
            key, old = b"", None
            if entry is not None:
                key = entry.object_key(op.namespace, op.name)
                old = read(key, db=objects)
            if not holds(op.expected, old) or (old is None and isinstance(op, Delete)):
                actual = None if old is None else self._values.parse(op.resource, key, old)
                return Rejected(op_index, actual)
            found.append((entry, key, old))
        perform = self._perform
        if len(ops) == 1:
            return Committed(revision, (perform(ops[0], found[0], revision, 0),))
        records = tuple(
            perform(op, found[op_index], revision, op_index) for op_index, op in enumerate(ops)
        )
        return Committed(revision, records)

    def _perform(self, op: Op, found: _Found, revision: int, op_index: int) -> Record | None:
        entry, key, old = found
        if isinstance(op, Put):
            return self._put(op, found, revision, op_index)
        if isinstance(op, Delete):
            assert entry is not None
            assert old is not None
            return self._delete(entry, key, old, EVENT_KEY.pack(revision, op_index))
        if isinstance(op, Check):
            return None if old is None else self._values.parse(op.resource, key, old)
        if isinstance(op, Compact):
            self._compact(min(op.revision, revision))
        elif self._identity == NO_IDENTITY:
            self._identity = op.identity
        return None

    def _put(self, op: Put, found: _Found, revision: int, op_index: int) -> Record:
        resource, namespace, name, meta, body, splice_at, _, expires_at_ms = op
        entry, key, old = found
        if entry is None:
            entry = self._types.assign(resource)
            key = entry.object_key(namespace, name)
        body = splice(body, splice_at, revision)
        created, previous, old_meta = revision, None, None
        if old is None:
            entry.count += 1
        else:
            previous = self._values.parse(resource, key, old)
            created, old_meta = previous.create_revision, previous.meta
            self._objects_sum -= _hash_of_stored(key, old, previous)
            entry.plain_bytes -= len(old_meta) + len(previous.body)
        entry.plain_bytes += len(meta) + len(body)
        packer = self._values.packers.get(entry.prefix)
        if packer is None:
            header = HEADER.pack(created, revision, expires_at_ms, splice_at, len(meta))
            value = b"".join((header, meta, body))
        else:
            value = packer.pack((created, revision, expires_at_ms, splice_at), meta, body)
        record = Record(
            resource, namespace, name, created, revision, meta, body, splice_at, expires_at_ms
        )
        self._objects_sum += hash_of(key, value) if packer is None else hash_of_record(key, record)
        self._txn.put(key, value, db=self._environment.objects)
        if expires_at_ms:
            expiry_key = REVISION.pack(expires_at_ms) + key
            self._txn.put(expiry_key, b"", db=self._environment.expiry)
        if entry.indexes and old_meta != meta:
            self._reindex(entry, key, old_meta, meta)
        event = Event(EventKind.PUT, record, previous, revision)
        self._keep(event, EVENT_KEY.pack(revision, op_index), entry, key, old)
        return record

    def _delete(self, entry: TypeEntry, key: bytes, old: bytes, event_key: bytes) -> Record:
        previous = self._values.parse(entry.resource, key, old)
        revision: int = EVENT_KEY.unpack(event_key)[0]
        record = as_deleted(previous, revision)
        self._txn.delete(key, db=self._environment.objects)
        self._objects_sum -= _hash_of_stored(key, old, previous)
        entry.count -= 1
        entry.plain_bytes -= len(previous.meta) + len(previous.body)
        if entry.indexes:
            self._reindex(entry, key, previous.meta, None)
        event = Event(EventKind.DELETE, record, previous, revision)
        self._keep(event, event_key, entry, key, old)
        return record

    def _keep(
        self, event: Event, event_key: bytes, entry: TypeEntry, key: bytes, old: bytes | None
    ) -> None:
        """Write the change's history, and pass it on."""
        txn, previous, revision, superseded = self._txn, event.previous, event.revision, 0
        if previous is not None:
            superseded = previous.mod_revision
            version_key = key + REVISION.pack(superseded)
            txn.put(version_key, event_key, db=self._environment.versions)
            if previous.expires_at_ms:
                expiry_key = REVISION.pack(previous.expires_at_ms) + key
                if event.record.expires_at_ms != previous.expires_at_ms or (
                    event.kind is EventKind.DELETE
                ):
                    txn.delete(expiry_key, db=self._environment.expiry)
        kind = PUT_VALUE if event.kind is EventKind.PUT else DELETE_VALUE
        head = EVENT_ROW.pack(self._timestamp_ms, superseded, kind, len(key))
        # Revisions only grow: appending fills pages whole and costs half of a keyed insert.
        row = b"".join((head, key, old or b""))
        txn.put(event_key, row, append=True, db=self._environment.events)
        self._event_count += 1
        entry.changed_revision = revision
        entry.dirty = True
        self._events.append(event)

    def _reindex(
        self, entry: TypeEntry, key: bytes, old_meta: bytes | None, new_meta: bytes | None
    ) -> None:
        txn, table = self._txn, self._environment.index
        for prefix, needle in entry.indexes:
            before = None if old_meta is None else field_value(old_meta, needle)
            after = None if new_meta is None else field_value(new_meta, needle)
            if before == after:
                continue
            if before is not None:
                txn.delete(prefix + before[:INDEX_VALUE_BYTES_MAX], key[2:], db=table)
            if after is not None:
                txn.put(prefix + after[:INDEX_VALUE_BYTES_MAX], key[2:], db=table)

    def _compact(self, revision: int) -> None:
        # Every superseded version is named by the event that superseded it, so walking the events
        # finds them all. The work is bounded by who appends Compact: see storage/housekeeping.py.
        if revision <= self._compact_revision:
            return
        self._compact_revision = revision
        txn, versions = self._txn, self._environment.versions
        cursor = txn.cursor(self._environment.events)
        cursor.first()
        # After its last row is deleted, a cursor stands on an empty key.
        while (event_key := cursor.key()) and EVENT_KEY.unpack(event_key)[0] <= revision:
            row = cursor.value()
            _, superseded, _, key_bytes = EVENT_ROW.unpack_from(row)
            if superseded:
                key = row[EVENT_ROW.size : EVENT_ROW.size + key_bytes]
                txn.delete(key + REVISION.pack(superseded), db=versions)
            self._event_count -= 1
            cursor.delete()
        cursor.close()


def _hash_of_stored(key: bytes, old: bytes, record: Record) -> int:
    return hash_of(key, old) if is_plain(old) else hash_of_record(key, record)


def holds(expected: int, old: bytes | None) -> bool:
    """Return whether a stored value, or None, is what an operation expects."""
    if expected == ANY:
        return True
    if old is None:
        return expected == ABSENT
    return bool(mod_revision_of(old) == expected)


def rebuild_indexes(environment: Environment, types: TypeTable) -> bool:
    """Make the index table match the declared fields; return whether it had to be rebuilt.

    Which fields are indexed is configuration: with another one than the files were written under,
    entries would be missing.
    """
    declared_key, declaration = b"indexes", types.declaration()
    with environment.write() as txn:
        if txn.get(declared_key, db=environment.meta) == declaration:
            return False
        txn.drop(environment.index, delete=False)
        for key, value in txn.cursor(environment.objects):
            meta = environment.values.meta(value)
            for prefix, needle in types.of_key(key).indexes:
                found = field_value(meta, needle)
                if found is not None:
                    index_key = prefix + found[:INDEX_VALUE_BYTES_MAX]
                    txn.put(index_key, key[2:], db=environment.index)
        txn.put(declared_key, declaration, db=environment.meta)
    return True

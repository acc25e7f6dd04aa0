"""What became of a transaction, read from the tables by one who did not apply it.

A transaction's revision is the number of its entry, which the journal tells whoever appended it. So
its conditions can be tested again on the state that it met, the one at the revision before: apply
is deterministic, and the answer is the one that the applier came to. Nobody needs to remember
outcomes or to pass them on, and none is lost with the process that applied.

Invariant: an object whose mod revision is the transaction's was written by it, as no other has that
number; so where one write is seen, all conditions held.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.applier import holds
from storage.environment import Txn
from storage.reads import Views, value_at
from storage.record import REVISIONS, Record, as_deleted, mod_revision_of, splice
from storage.txn import Committed, Compact, Delete, Init, KeyedOp, Op, Outcome, Put, Rejected
from storage.values import Values

_KEYLESS = (Compact, Init)


class OutcomeForgotten(Exception):
    """The state that the transaction met is compacted."""


def outcome_at(
    views: Views, txn: Txn, ops: Sequence[Op], revision: int, compact_revision: int
) -> Outcome:
    """Return what became of a transaction.

    Args:
        views: the tables.
        txn: a snapshot at the revision or later.
        ops: the transaction.
        revision: the number of its entry in the log.
        compact_revision: of the snapshot.

    Raises:
        OutcomeForgotten: it can't be told any more.
    """
    values = views.environment.values
    records: list[Record | None] = []
    for op_index, op in enumerate(ops):
        if isinstance(op, _KEYLESS):
            records.append(None)
            continue
        entry = views.types.find(op.resource)
        key = b"" if entry is None else entry.object_key(op.namespace, op.name)
        value = None if entry is None else txn.get(key, db=views.environment.objects)
        if isinstance(op, Put) and value is not None and mod_revision_of(value) == revision:
            records.append(_written(op, REVISIONS.unpack_from(value)[0], revision))
            continue
        old = value
        if entry is not None and (value is None or mod_revision_of(value) >= revision):
            if revision <= compact_revision:
                raise OutcomeForgotten(f"what transaction {revision} met is compacted")
            old = value_at(views, txn, key, revision - 1)
        if not holds(op.expected, old) or (old is None and isinstance(op, Delete)):
            actual = None if old is None else values.parse(op.resource, key, old)
            return Rejected(op_index, actual)
        records.append(_result(values, op, key, old, revision))
    return Committed(revision, tuple(records))


def _result(
    values: Values, op: KeyedOp, key: bytes, old: bytes | None, revision: int
) -> Record | None:
    if isinstance(op, Put):
        created = revision if old is None else REVISIONS.unpack_from(old)[0]
        return _written(op, created, revision)
    if old is None:
        return None
    found = values.parse(op.resource, key, old)
    return as_deleted(found, revision) if isinstance(op, Delete) else found


def _written(op: Put, created: int, revision: int) -> Record:
    body = splice(op.body, op.splice_at, revision)
    return Record(
        op.resource,
        op.namespace,
        op.name,
        created,
        revision,
        op.meta,
        body,
        op.splice_at,
        op.expires_at_ms,
    )

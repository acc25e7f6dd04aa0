"""Refuses writes for which there is no room, before they are appended.

This is the only place where a limit refuses anything, and it stands before the log: what is in the
log is applied by every replica, whatever memory it has. Each server judges by what it has itself,
so that of several, one may refuse what another takes.

Refused are creates; updates that let an object grow; when only the last reserve is left, all
updates but those that help an object go. Never refused: deletes, updates of an object that is being
deleted (its finalizers), reads and watches, and what the replica itself appends (compaction,
expiry). Renewals of Leases and the status of nodes do not grow, so that no node is lost because
storage is full.

A write costs a look at an integer while nothing is near its limit. Between two looks of
storage/space.py only so much is let through as was left at the last one, so that no burst gets
past a limit; what has been let through and is not applied yet may, and is what reserves are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from apiserver import errors
from storage.alarms import REFUSING, Alarm, Level
from storage.space import SpaceWatch
from storage.store_view import StoreView
from storage.txn import ABSENT, KeyedOp, Put

OP_BYTES: Final = 1024
"""What an object takes besides its body, and what an update may let one grow by: a deletion mark, a
binding, a condition."""
_DELETING_BYTES_MAX: Final = 16 * 1024
"""What an object may grow by while it is deleted: its namespace's conditions, say."""
_SHARE: Final = 4
"""Only a part of what is left is let through unseen: it is stored several times for a while."""
_UNSEEN_BYTES_MIN: Final = 64 * OP_BYTES
_TOLD_MAX: Final = 3
_IN_WARNINGS: Final = "storage is nearly full: "


class QuotaGate:
    """What of the writes is let through.

    Args of the constructor:
        store: to see how large an object is.
        watch: knows what is left.
        writers: how many processes share it.

    Attributes:
        warning: what to tell those who create, "" if nothing is near its limit.
        refused: writes that were refused, by alarm.
    """

    def __init__(self, store: StoreView, watch: SpaceWatch, writers: int) -> None:
        self.warning = ""
        self.refused: dict[str, int] = {}
        self._store = store
        self._watch = watch
        self._writers = writers
        self._left_bytes = 0
        self._alarms: tuple[Alarm, ...] = ()
        self._seen: tuple[Alarm, ...] | None = None

    def admit(self, ops: Sequence[KeyedOp]) -> None:
        """Let a transaction through.

        Raises:
            StatusError: 507, there is no room for it; nothing was written.
        """
        left_bytes = self._left_bytes
        for op in ops:
            if type(op) is Put:
                left_bytes -= len(op[4]) + OP_BYTES
        self._left_bytes = left_bytes
        if left_bytes < 0 or self._watch.alarms is not self._seen:
            self._look()
        if self._alarms:
            self._check(ops)

    def _look(self) -> None:
        watch = self._watch
        if self._left_bytes < 0:
            watch.look()
        self._seen = watch.alarms
        self._alarms = tuple(one for one in watch.alarms if one.level > Level.WARNING)
        size_bytes, objects = watch.distance
        left_bytes = min(size_bytes // _SHARE, objects * OP_BYTES) // self._writers
        # Where a limit is reached a look costs more than is saved: not for every write.
        is_reached = size_bytes <= 0 or objects <= 0
        self._left_bytes = max(left_bytes, _UNSEEN_BYTES_MIN if is_reached else OP_BYTES)
        near = {one.name: one.text for one in watch.alarms if one.name in REFUSING}
        told = "; ".join(f"{name}: {text}" for name, text in [*near.items()][:_TOLD_MAX])
        self.warning = _IN_WARNINGS + told if told else ""

    def _check(self, ops: Sequence[KeyedOp]) -> None:
        for op in ops:
            if type(op) is Put and (alarm := self._refusing(op)) is not None:
                self.refused[alarm.name] = self.refused.get(alarm.name, 0) + 1
                raise errors.out_of_space(alarm, op.resource)

    def _refusing(self, op: Put) -> Alarm | None:
        """Return the alarm that keeps an operation out."""
        concerning = [one for one in self._alarms if self._concerns(one, op.resource)]
        if not concerning:
            return None
        worst = max(concerning, key=lambda one: one.level)
        old = self._store.get(op.resource, op.namespace, op.name)
        if old is None:
            # An update of what is not here yet is decided in the log; only a create brings it.
            return worst if op.expected <= ABSENT else None
        growth = [one for one in concerning if one.is_growth]
        if not growth:
            return None
        worst = max(growth, key=lambda one: one.level)
        # The stored body has its revision in it.
        new_bytes = len(op.body) + len(op.meta) + len(str(old.mod_revision))
        grown_bytes = new_bytes - len(old.body) - len(old.meta)
        if grown_bytes < 0 or (grown_bytes <= OP_BYTES and worst.level == Level.READ_ONLY):
            return None
        is_deleting = grown_bytes <= _DELETING_BYTES_MAX and _is_deleting(op.body)
        return None if is_deleting else worst

    def _concerns(self, alarm: Alarm, resource: str) -> bool:
        if alarm.resource:
            return alarm.resource == resource
        return not alarm.partition or alarm.partition == self._store.partition_of(resource).name


def _is_deleting(body: bytes) -> bool:
    return bool(orjson.loads(body)["metadata"].get("deletionTimestamp"))

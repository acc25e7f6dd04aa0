"""What storage should do, in dictionaries: the model that the replica is held against."""

from __future__ import annotations

import copy
from typing import NamedTuple

import hypothesis.strategies as st

from storage.event import Event, EventKind
from storage.txn import ABSENT, ANY, Check, Compact, Delete, Op, Put
from storage.watcher import Scope
from tests.unit.storage.replicas import body_at, meta

Key = tuple[str, str, str]

RESOURCES = ("pods", "nodes")
NAMESPACES = ("a", "ab")
# Names that are beginnings of one another are where key orders go wrong.
NAMES = ("x", "x-y", "xy")
NODES = ("", "n1", "n2")

keys = st.tuples(st.sampled_from(RESOURCES), st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
nodes = st.sampled_from(NODES)
ages = st.integers(0, 30)


class Draft(NamedTuple):
    """An operation to be built when the state it meets is known."""

    kind: str
    key: Key
    node: str
    expected: str
    expires_at_ms: int


drafts = st.builds(
    Draft,
    st.sampled_from(["put", "put", "delete", "check"]),
    keys,
    nodes,
    st.sampled_from(["any", "any", "current", "current", "current", "stale"]),
    st.sampled_from([0, 0, 10, 20]),
)


class Pass(NamedTuple):
    """How many entries are applied, how many of them are known as own, where space runs out."""

    count: int
    own: int
    full_at: int | None


class Stored(NamedTuple):
    """What the model knows of an object."""

    create_revision: int
    mod_revision: int
    meta: bytes
    expires_at_ms: int


class Change(NamedTuple):
    """What the model expects of an event."""

    revision: int
    kind: EventKind
    key: Key
    stored: Stored
    previous: Stored | None


class Model:
    """The whole history of all objects, in dictionaries."""

    def __init__(self) -> None:
        self.revision = 0
        self.compacted = 0
        self.objects: dict[Key, Stored] = {}
        self.states: dict[int, dict[Key, Stored]] = {0: {}}
        self.changes: list[Change] = []

    def apply(self, ops: tuple[Op, ...]) -> int | None:
        """Apply a transaction; return the operation that it fails on."""
        self.revision += 1
        failed = self._failing(ops)
        if failed is None:
            for op in ops:
                self._perform(op)
        self.states[self.revision] = copy.copy(self.objects)
        return failed

    def _failing(self, ops: tuple[Op, ...]) -> int | None:
        for number, op in enumerate(ops):
            if not isinstance(op, Put | Delete | Check):
                continue
            found = self.objects.get((op.resource, op.namespace, op.name))
            actual = found.mod_revision if found else ABSENT
            if op.expected not in (ANY, actual) or (isinstance(op, Delete) and not found):
                return number
        return None

    def _perform(self, op: Op) -> None:
        if isinstance(op, Compact):
            self.compacted = max(self.compacted, min(op.revision, self.revision))
        if not isinstance(op, Put | Delete):
            return
        key = (op.resource, op.namespace, op.name)
        previous = self.objects.get(key)
        if isinstance(op, Put):
            created = previous.create_revision if previous else self.revision
            stored = Stored(created, self.revision, op.meta, op.expires_at_ms)
            self.objects[key] = stored
            self.changes.append(Change(self.revision, EventKind.PUT, key, stored, previous))
        elif previous is not None:
            del self.objects[key]
            stored = previous._replace(mod_revision=self.revision)
            self.changes.append(Change(self.revision, EventKind.DELETE, key, stored, previous))


def matches(scope: Scope, change: Change) -> bool:
    """Return whether a change concerns a scope, by its new or its previous state."""
    resource, namespace, name = change.key
    if scope.resource != resource or scope.namespace not in (None, namespace):
        return False
    if scope.name not in (None, name):
        return False
    if scope.field is None:
        return True
    wanted = meta(node=scope.field[1])
    previous = change.previous
    return change.stored.meta == wanted or (previous is not None and previous.meta == wanted)


def described(event: Event) -> Change:
    """Return an event as the model would have it."""
    record, previous = event.record, event.previous
    assert record.body == body_at(event.revision)
    before = None
    if previous is not None:
        assert previous.body == body_at(previous.mod_revision)
        before = Stored(*previous[3:6], previous.expires_at_ms)
    after = Stored(*record[3:6], record.expires_at_ms)
    return Change(event.revision, event.kind, record[:3], after, before)

"""The replica against a plain dictionary, under any order of operations, passes and restarts."""

from __future__ import annotations

import asyncio
import itertools
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import lmdb
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storage import catch_up, reads
from storage import compressing as compressing_module
from storage.checkpoint import install_checkpoint, write_checkpoint
from storage.commits import Commit
from storage.errors import Compacted, StorageFull, WatcherEvicted
from storage.event import REVISION, Event
from storage.partition_view import PartitionView
from storage.record import field_value
from storage.scan import Query
from storage.state_hash import state_hash
from storage.txn import (
    ABSENT,
    ANY,
    Check,
    Committed,
    Compact,
    Delete,
    Op,
    Outcome,
    Rejected,
    transaction_id_of,
)
from storage.watcher import Scope, Watcher
from tests.property.storage_model import (
    NAMES,
    NAMESPACES,
    NODES,
    RESOURCES,
    Draft,
    Key,
    Model,
    Pass,
    Stored,
    ages,
    described,
    drafts,
    keys,
    matches,
    nodes,
)
from tests.unit.storage.replicas import (
    Replica,
    begin_scan,
    body_at,
    drain,
    meta,
    put,
    record_of,
)


class Subscription(NamedTuple):
    """A watcher, and what it has delivered."""

    watcher: Watcher
    from_revision: int
    seen: list[Event]


class StorageMachine(RuleBasedStateMachine):
    """Operations go to the model at once and to the log; the replica applies the log in passes."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="ultraplane-model-", dir="/dev/shm"))
        self.model = Model()
        self.loop = asyncio.new_event_loop()
        self.log: list[tuple[bytes, tuple[Op, ...]]] = []
        self.failures: list[int | None] = []
        self.outcomes: list[Outcome] = []
        self.subscriptions: list[Subscription] = []
        self.homes = 0
        # Small steps, so that walks through history are met half-way.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(catch_up, "ROWS_PER_STEP", 3)
        self.patch.setattr(catch_up, "MEMBERS_PER_STEP", 4)
        self.patch.setattr(reads, "PAGE_BYTES", 400)
        self.patch.setattr(compressing_module, "STEP_KEYS", 2)

    @initialize(compressing=st.booleans())
    def open(self, *, compressing: bool) -> None:
        self.replica = Replica(self.root / "replica", compressing=compressing)

    @property
    def reader(self) -> PartitionView:
        """Who is asked."""
        return self.replica.partition

    def commit(self, *ops: Op) -> None:
        self.log.append((record_of(*ops), ops))
        self.failures.append(self.model.apply(ops))

    def build(self, draft: Draft) -> Op:
        found = self.model.objects.get(draft.key)
        current = found.mod_revision if found else ABSENT
        expected = {"any": ANY, "current": current, "stale": current + 1}[draft.expected]
        resource, namespace, name = draft.key
        if draft.kind == "check":
            return Check(*draft.key, expected)
        if draft.kind == "delete" and (found or draft.expected == "stale"):
            return Delete(*draft.key, expected)
        return put(
            name,
            resource=resource,
            namespace=namespace,
            node=draft.node,
            expected=expected,
            expires_at_ms=draft.expires_at_ms,
        )

    # Rules are switched off at random, example by example: what matters only together is one rule.
    @rule(
        transactions=st.lists(st.lists(drafts, min_size=1, max_size=3), min_size=1, max_size=8),
        compacted=st.none() | ages,
        passes=st.lists(st.builds(Pass, st.integers(1, 12), ages, st.none() | ages), max_size=4),
        steps=st.sampled_from([0, 1, 2, 30]),
        readers=st.integers(0, 40),
    )
    def live(
        self,
        transactions: list[list[Draft]],
        compacted: int | None,
        passes: list[Pass],
        steps: int,
        readers: int,
    ) -> None:
        for wanted in transactions:
            distinct = {draft.key: draft for draft in wanted}
            self.commit(*(self.build(draft) for draft in distinct.values()))
        if compacted is not None:
            self.commit(Compact(max(0, self.model.revision - compacted)))
        for wanted_pass in passes:
            self.apply_some(*wanted_pass)
        for _ in range(steps):
            self.reader.hub.catch_up()
        for subscription in self.subscriptions[:readers]:
            self.read_watcher(subscription)

    def apply_some(self, count: int, own: int = 0, full_at: int | None = None) -> None:
        partition = self.replica.partition
        done = partition.revision
        entries = self.log[done : done + count]
        records = [record for record, _ in entries]
        if not records:
            return
        waiting = [self.send(*entry) for entry in entries[:own]]
        if full_at is not None:
            self.fail_for_space(records, full_at % len(records))
        outcomes = self.replica.apply_records(records)
        self.outcomes += outcomes
        assert [future.result() for future in waiting] == outcomes[:own]
        assert not partition._commits.under_way
        for offset, outcome in enumerate(outcomes):
            failed = self.failures[done + offset]
            if failed is None:
                assert isinstance(outcome, Committed)
                assert outcome.revision == done + offset + 1
            else:
                assert isinstance(outcome, Rejected)
                assert outcome.op_index == failed

    def send(self, record: bytes, ops: tuple[Op, ...]) -> asyncio.Future[Outcome]:
        """Have the replica know a transaction as one of its own, which it need not decode."""
        future: asyncio.Future[Outcome] = self.loop.create_future()
        pending = self.replica.partition._commits.under_way
        transaction_id = transaction_id_of(record)
        pending[transaction_id] = Commit(transaction_id, record, ops, future, math.inf)
        return future

    def fail_for_space(self, records: list[bytes], at: int) -> None:
        """Have a pass find the map full in its midst: nothing of it may remain."""
        applier, before = self.replica.partition._applier, self.replica.dump()
        apply_one, calls = applier._apply_one, itertools.count()

        def until_full(ops: Sequence[Op], revision: int) -> Outcome:
            outcome = apply_one(ops, revision)
            if next(calls) == at:
                raise lmdb.MapFullError("mdb_put: MDB_MAP_FULL")
            return outcome

        with self.patch.context() as patch:
            patch.setattr(applier, "_apply_one", until_full)
            with pytest.raises(StorageFull):
                self.replica.apply_records(records)
        assert self.replica.dump() == before
        self.counts_agree()

    @invariant()
    def side_tables_agree(self) -> None:
        """Expiries and index entries are those of the objects that are there, no others."""
        partition, dump = self.replica.partition, self.replica.dump()
        expiries, indexed = set(), set()
        for (resource, namespace, name), stored in self.state_at(partition.revision).items():
            entry = partition.types.find(resource)
            assert entry is not None
            key = entry.object_key(namespace, name)
            if stored.expires_at_ms:
                expiries.add(REVISION.pack(stored.expires_at_ms) + key)
            for prefix, needle in entry.indexes:
                value = field_value(stored.meta, needle)
                assert value is not None
                indexed.add((prefix + value, key[2:]))
        assert {key for key, _ in dump["expiry"]} == expiries
        assert set(dump["index"]) == indexed
        assert len(dump["index"]) == len(indexed)

    def state_at(self, revision: int) -> dict[Key, Stored]:
        return self.model.states[revision]

    def retained(self, back: int) -> int | None:
        """Return a revision `back` before the reader's; None, having seen it refused, if gone."""
        partition = self.reader
        revision = max(0, partition.revision - back)
        if revision >= partition.compact_revision:
            return revision
        with pytest.raises(Compacted):
            partition.get("pods", "a", "x", revision)
        with pytest.raises(Compacted):
            partition.hub.watch(Scope("pods"), revision, 10)
        return None

    @rule(back=ages)
    def read_everything(self, back: int) -> None:
        revision = self.retained(back)
        if revision is None:
            return
        state = self.state_at(revision)
        for key in itertools.product(RESOURCES, NAMESPACES, NAMES):
            self.check_get(key, revision, state.get(key))
        for resource, namespace, node in itertools.product(
            RESOURCES, (None, *NAMESPACES), (None, *NODES)
        ):
            self.check_lists(Query(resource, namespace, revision=revision), node)

    def check_get(self, key: Key, revision: int, stored: Stored | None) -> None:
        record = self.reader.get(*key, revision)
        assert (record is None) == (stored is None)
        if record is not None and stored is not None:
            assert record[:3] == key
            assert (*record[3:6], record.expires_at_ms) == stored
            assert record.body == body_at(stored.mod_revision)

    def check_lists(self, query: Query, node: str | None) -> None:
        """Compare a list, whole and from every place in it, by every page size."""
        assert query.revision is not None
        wanted = [
            key[1:]
            for key, stored in sorted(self.state_at(query.revision).items())
            if key[0] == query.resource
            and query.namespace in (None, key[1])
            and (node is None or stored.meta == meta(node=node))
        ]
        index = None if node is None else ("spec.nodeName", node)
        starts = [None, *itertools.product(NAMESPACES, NAMES)]
        for start_after, limit in itertools.product(starts, (None, 1, 2)):
            asked = replace(query, start_after=start_after, limit=limit, index=index)
            following = [key for key in wanted if start_after is None or key > start_after]
            found, remaining, more = [], 0, False
            with begin_scan(self.reader, asked) as scan:
                for chunk in scan:
                    found += chunk
                    if scan.returned == limit:
                        more = scan.has_more()
                        remaining = scan.remaining()
                        break
                assert scan.revision == query.revision
            assert [record[1:3] for record in found] == following[:limit]
            assert all(record.body == body_at(record.mod_revision) for record in found)
            if node is None:
                assert remaining == len(following) - len(found)
                assert more == (remaining > 0)

    @invariant()
    def counts_agree(self) -> None:
        state = self.state_at(self.reader.revision)
        for resource, namespace in itertools.product(RESOURCES, (None, *NAMESPACES)):
            expected = sum(k[0] == resource and namespace in (None, k[1]) for k in state)
            assert self.reader.count(resource, namespace) == expected

    @rule(back=ages, capacity=st.sampled_from([2, 5, 1000]), node=nodes, key=keys)
    def watch(self, back: int, capacity: int, node: str, key: Key) -> None:
        revision = self.retained(back)
        if revision is None or len(self.subscriptions) >= 40:
            return
        resource, namespace, name = key
        field = ("spec.nodeName", node)
        for scope in (
            Scope(resource),
            Scope(resource, namespace),
            Scope(resource, namespace, name),
            Scope(resource, None, name),
            Scope(resource, None, None, field),
            Scope(resource, namespace, None, field),
            Scope(resource, namespace, name, field),
        ):
            watcher = self.reader.hub.watch(scope, revision, capacity)
            self.subscriptions.append(Subscription(watcher, revision, []))

    @rule(back=ages)
    def overrun(self, back: int) -> None:
        """Let one catch up, and then not read until it has more than it may hold."""
        revision = self.retained(back)
        if revision is None:
            return
        hub = self.reader.hub
        subscription = Subscription(hub.watch(Scope("pods"), revision, 5), revision, [])
        self.subscriptions.append(subscription)
        while hub.catch_up():
            pass
        for name in NAMES * 2:
            self.commit(put(name, namespace="a"))
        self.apply_some(len(self.log))
        self.read_watcher(subscription)

    def read_watcher(self, subscription: Subscription) -> None:
        watcher = subscription.watcher
        try:
            events = watcher.take()
        except WatcherEvicted:
            # Only one that was live can be too slow, and only by what came after its start.
            assert watcher.capacity < 1000
            self.check_progress(subscription)
            self.subscriptions.remove(subscription)
            return
        except Compacted:
            assert subscription.from_revision < self.reader.compact_revision
            self.check_progress(subscription)
            self.subscriptions.remove(subscription)
            return
        subscription.seen.extend(events)
        self.check_progress(subscription)

    def check_progress(self, subscription: Subscription) -> None:
        """Hold what was delivered against what a bookmark would promise now."""
        watcher = subscription.watcher
        progress = watcher.progress_revision
        wanted = [
            change
            for change in self.model.changes
            if subscription.from_revision < change.revision <= progress
            and matches(watcher.scope, change)
        ]
        seen = [event for event in subscription.seen if event.revision <= progress]
        assert [described(event) for event in seen] == wanted
        assert subscription.seen[: len(seen)] == seen

    @rule(compressing=st.booleans())
    def restart(self, *, compressing: bool) -> None:
        self.replica.close()
        home = self.root / f"replica{self.homes or ''}"
        self.replica = Replica(home, compressing=compressing)
        self.subscriptions.clear()

    @rule()
    def compress(self) -> None:
        before = self.replica.dump()
        self.replica.compress()
        assert self.replica.dump() == before

    @rule()
    def recover_from_checkpoint(self) -> None:
        environment = self.replica.environment
        txn = environment.read()
        revision = self.replica.partition.revision
        checkpoint = write_checkpoint(environment, txn, revision, self.root / "checkpoints")
        txn.abort()
        before = self.replica.dump()
        self.replica.close()
        self.homes += 1
        home = self.root / f"replica{self.homes}"
        assert install_checkpoint(checkpoint, home)
        self.replica = Replica(home)
        self.subscriptions.clear()
        assert self.replica.dump() == before
        assert self.replica.partition.revision == revision

    @invariant()
    def history_is_as_long_as_it_should_be(self) -> None:
        partition = self.replica.partition
        retained = [
            change
            for change in self.model.changes
            if partition.compact_revision < change.revision <= partition.revision
        ]
        assert partition.position.event_count == len(retained)

    def teardown(self) -> None:
        self.patch.undo()
        try:
            self.apply_some(len(self.log))
            final = self.replica.dump()
            other = Replica(self.root / "one-by-one")
            for record, _ in self.log:
                other.apply_records([record])
            try:
                assert other.partition.state_hash() == self.replica.partition.state_hash()
                for one in (other, self.replica):
                    # What the applier adds up, in whatever passes, is what there is.
                    position = one.partition.position
                    assert state_hash(position, one.partition.types) == one.partition.state_hash()
                assert other.dump() == final
                assert len(drain(other.scan(Query("pods")))) == other.partition.count("pods", None)
            finally:
                other.close()
        finally:
            self.replica.close()
            self.loop.close()
            shutil.rmtree(self.root)


StorageMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStorageAgainstModel = StorageMachine.TestCase

"""A mapped replica against the same model, lagging behind the one that applies as it likes."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from storage import mapped_partition, reads, scan, walks
from storage.errors import Compacted
from storage.outcomes import OutcomeForgotten, outcome_at
from storage.partition_view import PartitionView
from storage.record import Record
from storage.scan import Query, RecordScan
from tests.property.storage_model import RESOURCES
from tests.property.test_storage_model import StorageMachine
from tests.unit.storage.replicas import MappedReplica, Replica, begin_scan, body_at

_SLOW_MAX = 8


class SlowList(NamedTuple):
    """A list that is read now and then, and what it has given out."""

    scan: RecordScan
    seen: list[Record]


class MappedMachine(StorageMachine):
    """The keeper applies; reads and watches are those of a mapper, which hears of it at times."""

    def __init__(self) -> None:
        super().__init__()
        # So small that watchers are left behind, and fetch what they missed from history.
        self.patch.setattr(mapped_partition, "ROWS_PER_STEP", 4)
        # And so that lists are met half-way.
        self.patch.setattr(scan, "CHUNK_BYTES", 1)
        self.patch.setattr(walks, "PASSED_MAX", 1)
        self.patch.setattr(reads, "PASSED_MAX", 1)
        self.slow: list[SlowList] = []

    @initialize(compressing=st.booleans())
    def open(self, *, compressing: bool) -> None:
        super().open(compressing=compressing)
        self.mapped = MappedReplica(self.replica)

    @property
    def reader(self) -> PartitionView:
        return self.mapped.partition

    def apply_some(self, count: int, own: int = 0, full_at: int | None = None) -> None:
        super().apply_some(count, own, full_at)
        if count % 3:
            self.follow()

    @rule()
    def follow(self) -> None:
        """Move on, and find out what became of each transaction in between."""
        partition = self.mapped.partition
        before = partition.revision
        self.mapped.follow()
        assert partition.revision == self.replica.partition.revision
        for revision in range(before + 1, partition.revision + 1):
            self.check_outcome(revision)

    def check_outcome(self, revision: int) -> None:
        partition, ops = self.mapped.partition, self.log[revision - 1][1]
        compact_revision = partition.compact_revision
        try:
            views = partition.views
            told = outcome_at(views, views.current, ops, revision, compact_revision)
        except OutcomeForgotten:
            assert revision <= compact_revision
        else:
            assert told == self.outcomes[revision - 1]

    @rule()
    def renew(self) -> None:
        """Take a new snapshot though nobody has told of anything: a rewriting, or some passes."""
        self.mapped.partition.advance()
        assert self.reader.revision == self.replica.partition.revision

    @rule(resource=st.sampled_from(RESOURCES), back=st.integers(0, 10))
    def begin_slow_list(self, resource: str, back: int) -> None:
        revision = self.retained(back)
        if revision is not None and len(self.slow) < _SLOW_MAX:
            query = Query(resource, revision=revision)
            self.slow.append(SlowList(begin_scan(self.reader, query), []))

    @rule(which=st.integers(0, _SLOW_MAX), turns=st.integers(1, 4), released=st.booleans())
    def read_slow_list(self, which: int, turns: int, *, released: bool) -> None:
        """Take some of a list begun earlier, whatever has happened to the files since."""
        if not self.slow:
            return
        one = self.slow[which % len(self.slow)]
        ended = False
        try:
            for _ in range(turns):
                chunk = next(one.scan, None)
                ended = chunk is None
                one.seen.extend(chunk or ())
        except Compacted:
            assert one.scan.revision < self.reader.compact_revision
            self.slow.remove(one)
            return
        if released:
            one.scan.release()
        state = self.state_at(one.scan.revision)
        resource = one.scan._query.resource
        wanted = sorted(key for key in state if key[0] == resource)
        assert [record[:3] for record in one.seen] == wanted[: len(one.seen)]
        for record in one.seen:
            assert record.mod_revision == state[record[:3]].mod_revision
            assert record.body == body_at(record.mod_revision)
        if ended:
            assert len(one.seen) == len(wanted)
            self.slow.remove(one)

    @rule(compressing=st.booleans())
    def restart(self, *, compressing: bool) -> None:
        self.mapped.close()
        self.replica.close()
        self.replica = Replica(self.replica.path, compressing=compressing)
        self.mapped.map(self.replica)

    @rule()
    def recover_from_checkpoint(self) -> None:
        self.mapped.close()
        subscriptions = list(self.subscriptions)
        super().recover_from_checkpoint()
        self.subscriptions = subscriptions
        self.mapped.map(self.replica)

    def teardown(self) -> None:
        while self.slow:
            self.read_slow_list(0, 4, released=False)
        self.mapped.follow()
        assert len(self.mapped.partition.snapshots) == 0
        self.mapped.close()
        super().teardown()


MappedMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMappedReplicaAgainstModel = MappedMachine.TestCase

"""A mapped replica against the same model, lagging behind the one that applies as it likes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from storage import mapped_partition
from storage.outcomes import OutcomeForgotten, outcome_at
from storage.partition_view import PartitionView
from tests.property.test_storage_model import StorageMachine
from tests.unit.storage.replicas import MappedReplica, Replica


class MappedMachine(StorageMachine):
    """The keeper applies; reads and watches are those of a mapper, which hears of it at times."""

    def __init__(self) -> None:
        super().__init__()
        # So small that watchers are left behind, and fetch what they missed from history.
        self.patch.setattr(mapped_partition, "ROWS_PER_STEP", 4)

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
        self.mapped.follow()
        self.mapped.close()
        super().teardown()


MappedMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMappedReplicaAgainstModel = MappedMachine.TestCase

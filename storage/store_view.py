"""The facade: one object that the API server reads, writes and watches through.

Every call goes to the partition of its resource. Reads are local and synchronous; they see whatever
is applied (`fresh` first, for all that was acknowledged anywhere). Bytes are opaque here.

`storage/store.py` keeps the replica itself, `storage/mapped_store.py` maps that of others.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Self

from storage.alarms import PartitionFigures
from storage.errors import JournalUnavailable, PartitionFailed
from storage.partition_map import PartitionMap
from storage.partition_view import PartitionView
from storage.record import Record
from storage.scan import BodyScan, Query, RecordScan
from storage.scan_forms import CountScan, Forms, FormScan
from storage.state_hash import state_hash
from storage.txn import KeyedOp, Outcome
from storage.watcher import Scope, Watcher


class StoreView(ABC):
    """All partitions of one replica; belongs to one event loop."""

    def __init__(self, partitions: Mapping[str, Sequence[str]]) -> None:
        self._map = PartitionMap(partitions)
        self._partitions: dict[str, PartitionView] = {}
        self._by_resource: dict[str, PartitionView] = {}

    @abstractmethod
    async def start(self) -> None:
        """Begin to follow the log; see `ready`.

        Raises:
            RecoveryRefused, DataLost, ReplicaLocked: an operator must decide.
            JournalUnavailable: the journal can't be asked now.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Stop everything; who waits gets an error. Files stay for the next start."""

    @abstractmethod
    def status(self) -> dict[str, dict[str, Any]]:
        """Return what is to be known of each partition, for metrics and operators."""

    def figures(self) -> list[PartitionFigures]:
        """Return what each partition takes, as far as they are there.

        Raises:
            TooManySnapshots: too many processes look at once.
        """
        found = []
        for name, partition in self._partitions.items():
            environment = partition.views.environment
            found.append(
                PartitionFigures(
                    name,
                    environment.used_bytes,
                    environment.spare_bytes(),
                    environment.map_bytes,
                    {entry.resource: entry.count for entry in partition.types},
                )
            )
        return found

    @abstractmethod
    def press(self, *, memory: Collection[str], log: bool) -> None:
        """Save what can be saved; nothing, unless the replica is kept here.

        Args:
            memory: partitions that run short of it; "" stands for all.
            log: whether the log does.
        """

    async def __aenter__(self) -> Self:
        await self.start()
        await self.wait_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def partition_names(self) -> tuple[str, ...]:
        """Those that there are to be."""
        return tuple(self._map.names)

    def failures(self) -> dict[str, str]:
        """Return why partitions have stopped or pause, of those that do."""
        found = {name: one.failure or one.full for name, one in self._partitions.items()}
        return {name: str(why) for name, why in found.items() if why is not None}

    @property
    def ready(self) -> bool:
        """Whether all partitions have applied what the journal held at the start."""
        partitions = self._partitions.values()
        return bool(partitions) and all(partition.ready for partition in partitions)

    async def wait_ready(self, timeout_s: float = 3600.0) -> None:
        """Return when all have applied what the journal held at the start.

        Raises:
            RevisionTimeout: not in time. PartitionFailed: never.
        """
        for partition in tuple(self._partitions.values()):
            await partition.wait_for(partition.target, timeout_s)

    def commit(self, ops: Sequence[KeyedOp], timeout_s: float) -> asyncio.Future[Outcome]:
        """Run a transaction; all objects must be of one partition.

        Raises:
            TransactionInvalid, TransactionTooLarge, JournalUnavailable: nothing was written.
            CommitTimeout: it may or may not be applied, now or later.
        """
        partition = self.partition_of(ops[0].resource)
        if len(ops) > 1:
            self._check_together(ops)
        return partition.commit(ops, timeout_s)

    def get(
        self, resource: str, namespace: str, name: str, revision: int | None = None
    ) -> Record | None:
        """Return an object as it is here, or was at a retained revision.

        Raises:
            Compacted: the revision is gone. RevisionTimeout: it is not applied yet.
        """
        return self.partition_of(resource).get(resource, namespace, name, revision)

    def fresh(self, resource: str, timeout_s: float) -> Awaitable[int]:
        """Wait until everything acknowledged so far, anywhere, is applied; return the revision.

        Raises:
            JournalUnavailable: the journal can't be asked. RevisionTimeout: applying takes longer.
        """
        return self.partition_of(resource).fresh(timeout_s)

    async def wait_for(self, resource: str, revision: int, timeout_s: float) -> None:
        """Wait until a revision is applied.

        Raises:
            RevisionTimeout: it was not in time.
        """
        await self.partition_of(resource).wait_for(revision, timeout_s)

    def current_revision(self, resource: str) -> int:
        """Return the state that reads of a resource see."""
        return self.partition_of(resource).revision

    def changed_revision(self, resource: str) -> int:
        """Return the last revision at which an object of a resource changed, 0 for none."""
        entry = self.partition_of(resource).types.find(resource)
        return 0 if entry is None else entry.changed_revision

    def compact_revision(self, resource: str) -> int:
        """Return the oldest state that reads of a resource can ask for."""
        return self.partition_of(resource).compact_revision

    def scan(self, query: Query) -> RecordScan:
        """List records, in chunks.

        Raises:
            Compacted: the revision is gone. RevisionTimeout: it is not applied yet.
            TooManySnapshots: too many scans are open.
        """
        partition, revision = self._snapshot_of(query)
        return RecordScan(partition.views, partition.snapshots, query, revision)

    def scan_bodies(self, query: Query, *, strip: int = 0) -> BodyScan:
        """List bodies without their first `strip` bytes, in chunks; raises as `scan`."""
        partition, revision = self._snapshot_of(query)
        return BodyScan(partition.views, partition.snapshots, query, revision, strip=strip)

    def scan_forms(self, query: Query, forms: Forms) -> FormScan:
        """List objects in another form, in chunks; raises as `scan`."""
        partition, revision = self._snapshot_of(query)
        return FormScan(partition.views, partition.snapshots, query, revision, forms)

    def scan_counts(self, query: Query) -> CountScan:
        """List nothing for each object, in chunks: their number; raises as `scan`."""
        partition, revision = self._snapshot_of(query)
        return CountScan(partition.views, partition.snapshots, query, revision)

    def count(self, resource: str, namespace: str | None = None) -> int:
        """Return how many objects there are; O(1) without a namespace."""
        return self.partition_of(resource).count(resource, namespace)

    def watch(self, scope: Scope, *, from_revision: int, capacity: int = 1000) -> Watcher:
        """Subscribe to the events after `from_revision`, which may lie ahead.

        Raises:
            Compacted: events after it are gone.
        """
        partition = self.partition_of(scope.resource)
        if partition.failure is not None:
            raise PartitionFailed(str(partition.failure))
        return partition.hub.watch(scope, from_revision, capacity)

    def partition_of(self, resource: str) -> PartitionView:
        """Return the partition that holds a resource.

        Raises:
            JournalUnavailable: the store is not started.
        """
        partition = self._by_resource.get(resource)
        if partition is None:
            partition = self._partitions.get(self._map.of(resource))
            if partition is None:
                raise JournalUnavailable("the store is not started")
            self._by_resource[resource] = partition
        return partition

    def _snapshot_of(self, query: Query) -> tuple[PartitionView, int]:
        partition = self.partition_of(query.resource)
        if query.revision is None:
            return partition, partition.revision
        partition.check_retained(query.revision)
        return partition, query.revision

    def _check_together(self, ops: Sequence[KeyedOp]) -> None:
        partitions = {self._map.of(op.resource) for op in ops}
        if len(partitions) > 1:
            raise ValueError(f"a transaction spans partitions {sorted(partitions)}")


def partition_status(partition: PartitionView) -> dict[str, Any]:
    """Return what is to be known of a partition as it is in this process."""
    position = partition.position
    return {
        "ready": partition.ready,
        "failure": str(partition.failure or partition.full or ""),
        "identity": position.identity.hex(),
        "revision": position.applied_sequence,
        "journal_tail": partition.tail_known,
        "timestamp_ms": position.timestamp_ms,
        "compact_revision": position.compact_revision,
        "state_hash": state_hash(position, partition.types),
        "objects": {entry.resource: entry.count for entry in partition.types},
        "changes": position.event_count,
        "bytes": partition.views.environment.used_bytes,
        "spare_bytes": partition.views.environment.spare_bytes(),
        "object_bytes": partition.views.environment.object_bytes(),
        "plain_bytes": sum(entry.plain_bytes for entry in partition.types),
        "watchers": len(partition.hub),
        "evictions": partition.hub.evictions,
        "open_scans": len(partition.snapshots),
    }

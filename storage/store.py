"""The facade: one object that the API server reads, writes and watches through.

Every call goes to the partition of its resource. Reads are local and synchronous; they see whatever
is applied (`fresh` first, for all that was acknowledged anywhere). Bytes are opaque here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journal.engine import Journal
from journal.errors import JournalError
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskCrashed, TaskScope
from storage.applier import rebuild_indexes
from storage.checkpoint import Checkpointer
from storage.compressing import PLAIN_BYTES_MAX, Compressing
from storage.environment import MAP_BYTES
from storage.errors import JournalUnavailable, PartitionFailed
from storage.housekeeping import Housekeeper, Retention
from storage.journal_port import JournalPort
from storage.partition import Partition
from storage.partition_map import DEFAULT_PARTITIONS, PartitionMap
from storage.record import Record
from storage.recovery import Places, recover
from storage.replica import replica_name
from storage.scan import BodyScan, Query, RecordScan
from storage.scan_forms import CountScan, Forms, FormScan
from storage.txn import Init, KeyedOp, Outcome
from storage.types_table import TypeTable
from storage.watcher import Scope, Watcher

_log = logging.getLogger(__name__)

INIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where a store lives and what it keeps."""

    memory_path: Path
    """For the LMDB environments: on tmpfs."""
    data_path: Path
    """For checkpoints: on disk."""
    partitions: Mapping[str, Sequence[str]] = field(default_factory=lambda: DEFAULT_PARTITIONS)
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Indexed fields by resource."""
    retention: Retention = field(default_factory=Retention)
    checkpoint_entries: int = 100_000
    checkpoint_seconds: float = 600.0
    map_bytes: int = MAP_BYTES
    plain_bytes_max: int | None = PLAIN_BYTES_MAX
    """Types with more bytes are compressed; None: none is."""


class _Running:
    """A partition with what serves it."""

    __slots__ = ("checkpointer", "partition", "scope", "source")

    def __init__(
        self, partition: Partition, checkpointer: Checkpointer, scope: TaskScope, source: str
    ) -> None:
        self.partition = partition
        self.checkpointer = checkpointer
        self.scope = scope
        self.source = source


class Store:
    """All partitions of one replica; belongs to one event loop.

    Args of the constructor:
        journal: the source of order.
        options: where, and how much.
        clock: for housekeeping and snapshot ages.
        on_crash: hears when a partition has stopped for good.
    """

    def __init__(
        self,
        journal: Journal,
        options: StoreOptions,
        *,
        clock: Clock | None = None,
        on_crash: Callable[[TaskCrashed], None] | None = None,
    ) -> None:
        self._journal = journal
        self._options = options
        self._clock = clock or SystemClock()
        self._on_crash = on_crash
        self._map = PartitionMap(options.partitions)
        self._running: dict[str, _Running] = {}
        self._by_resource: dict[str, Partition] = {}

    async def start(self) -> None:
        """Recover all partitions and begin to follow the log; see `ready`.

        Raises:
            RecoveryRefused, DataLost, ReplicaLocked: an operator must decide.
            JournalUnavailable: the journal can't be asked now.
        """
        kept_map = self._options.data_path / "partitions.json"
        self._map.check_unchanged(kept_map)
        try:
            await self._map.agree(self._journal)
            replica = replica_name(self._options.data_path)
            for name in self._map.names:
                self._running[name] = await self._start_partition(name, replica)
            self._map.keep(kept_map)
        except BaseException as error:
            await self.stop()
            if isinstance(error, JournalError):
                raise JournalUnavailable(f"can't recover without the journal: {error}") from error
            raise

    async def stop(self) -> None:
        """Stop everything; who waits gets an error. Files stay for the next start."""
        running, self._running = self._running, {}
        self._by_resource.clear()
        for one in running.values():
            one.partition.close(PartitionFailed("the store was stopped"))
            try:
                await one.scope.stop()
            except TaskCrashed:
                # It was logged, and told to `on_crash`, when it happened.
                _log.debug("partition %s had crashed", one.partition.name)
            finally:
                one.partition.environment.close()

    async def __aenter__(self) -> Store:
        await self.start()
        await self.wait_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def ready(self) -> bool:
        """Whether all partitions have applied what the journal held at the start."""
        running = self._running.values()
        return bool(running) and all(one.partition.ready for one in running)

    async def wait_ready(self, timeout_s: float = 3600.0) -> None:
        """Return when `ready`.

        Raises:
            RevisionTimeout: not in time. PartitionFailed: never.
        """
        for one in tuple(self._running.values()):
            await one.partition.wait_for(one.partition.target, timeout_s)

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

    def partition_of(self, resource: str) -> Partition:
        """Return the partition that holds a resource.

        Raises:
            JournalUnavailable: the store is not started.
        """
        partition = self._by_resource.get(resource)
        if partition is None:
            running = self._running.get(self._map.of(resource))
            if running is None:
                raise JournalUnavailable("the store is not started")
            partition = self._by_resource[resource] = running.partition
        return partition

    async def checkpoint(self) -> None:
        """Write a checkpoint of every partition now."""
        for one in tuple(self._running.values()):
            await one.checkpointer.write()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what is to be known of each partition, for metrics and operators."""
        return {name: _status(one) for name, one in self._running.items()}

    async def _start_partition(self, name: str, replica: str) -> _Running:
        options = self._options
        partition: Partition | None = None

        def on_crash(crash: TaskCrashed) -> None:
            # Whichever task it was, the applier among its siblings is cancelled now: nobody may
            # take the partition for one that runs.
            if partition is not None:
                partition.close(PartitionFailed(f"partition {name} stopped: {crash}"))
            if self._on_crash is not None:
                self._on_crash(crash)

        scope = TaskScope(f"storage-{name}", on_crash=on_crash)
        port = JournalPort(self._journal, name, scope, self._clock.monotonic_s, replica)
        places = Places(options.memory_path / name, options.data_path / "checkpoints" / name)
        recovered = await recover(places, port, map_bytes=options.map_bytes)
        environment = recovered.environment
        try:
            types = TypeTable(options.indexes)
            partition = Partition(name, environment, types, port, self._clock)
            if rebuild_indexes(environment, types) and partition.revision:
                _log.info("partition %s: indexes were rebuilt", name)
            checkpointer = Checkpointer(
                partition,
                places.checkpoints,
                self._clock,
                entries_max=options.checkpoint_entries,
                seconds_max=options.checkpoint_seconds,
            )
            partition.start(scope, recovered.tail)
            if recovered.tail == 0:
                await partition.commit((Init(os.urandom(16)),), INIT_SECONDS)
            housekeeper = Housekeeper(partition, self._clock, options.retention)
            scope.spawn(housekeeper.run(), name=f"housekeeping-{name}")
            if options.plain_bytes_max is not None:
                compressing = Compressing(partition, self._clock, options.plain_bytes_max)
                scope.spawn(compressing.run(), name=f"compressing-{name}")
            scope.spawn(checkpointer.run(), name=f"checkpoints-{name}")
        except BaseException:
            await asyncio.gather(scope.stop(), return_exceptions=True)
            environment.close()
            raise
        _log.info("partition %s: %s, revision %d", name, recovered.source, partition.revision)
        return _Running(partition, checkpointer, scope, recovered.source)

    def _snapshot_of(self, query: Query) -> tuple[Partition, int]:
        partition = self.partition_of(query.resource)
        if query.revision is None:
            return partition, partition.revision
        partition.check_retained(query.revision)
        return partition, query.revision

    def _check_together(self, ops: Sequence[KeyedOp]) -> None:
        partitions = {self._map.of(op.resource) for op in ops}
        if len(partitions) > 1:
            raise ValueError(f"a transaction spans partitions {sorted(partitions)}")


def _status(one: _Running) -> dict[str, Any]:
    partition, position = one.partition, one.partition.position
    return {
        "ready": partition.ready,
        "failure": str(partition.failure or partition.full or ""),
        "recovered_from": one.source,
        "identity": position.identity.hex(),
        "revision": position.applied_sequence,
        "journal_tail": partition.tail_known,
        "compact_revision": position.compact_revision,
        "objects": {entry.resource: entry.count for entry in partition.types},
        "changes": position.event_count,
        "bytes": partition.environment.used_bytes,
        "object_bytes": partition.environment.object_bytes(),
        "plain_bytes": sum(entry.plain_bytes for entry in partition.types),
        "watchers": len(partition.hub),
        "evictions": partition.hub.evictions,
        "open_scans": len(partition.snapshots),
        "checkpoint": one.checkpointer.last_sequence,
        "checkpoint_error": one.checkpointer.last_error,
    }

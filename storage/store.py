"""The store that keeps its replica itself: recovery, applier, housekeeping and checkpoints of each.

What it offers is in storage/store_view.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journal.engine import Journal
from journal.errors import JournalError
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskCrashed, TaskScope
from storage.applier import rebuild_indexes
from storage.checkpointer import Checkpointer
from storage.codec import Codec
from storage.compressing import PLAIN_BYTES_MAX, Compressing
from storage.environment import MAP_BYTES
from storage.errors import JournalUnavailable, PartitionFailed
from storage.feed import Feed
from storage.housekeeping import Housekeeper, Retention
from storage.journal_port import JournalPort
from storage.partition import Partition
from storage.partition_map import DEFAULT_PARTITIONS
from storage.recovery import Places, recover
from storage.replica import replica_name
from storage.sealing import Sealers
from storage.state_hash import state_hash
from storage.store_view import StoreView, partition_status
from storage.txn import Init
from storage.types_table import TypeTable

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
    only: str | None = None
    """The one partition to keep; None: all of them."""
    shared: bool = False
    """Whether other processes map the files, and have to be told of each step."""
    sealers: Sealers | None = None
    """What is sealed in journal and checkpoints; None: nothing is, nor can be read."""


class _Running:
    """A partition with what serves it."""

    __slots__ = ("checkpointer", "feed", "housekeeper", "partition", "recovery", "scope")

    def __init__(
        self,
        partition: Partition,
        checkpointer: Checkpointer,
        housekeeper: Housekeeper,
        scope: TaskScope,
        recovery: tuple[str, float],
    ) -> None:
        self.partition = partition
        self.checkpointer = checkpointer
        self.housekeeper = housekeeper
        self.scope = scope
        self.recovery = recovery
        """What it started from, and how many seconds that took."""
        self.feed: Feed | None = None

    def fail(self, error: PartitionFailed) -> None:
        """Fail everyone who waits, and tell those who map the files."""
        self.partition.close(error)
        if self.feed is not None:
            self.feed.tell_status()


class Store(StoreView):
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
        super().__init__(options.partitions)
        self._journal = journal
        self._options = options
        self._clock = clock or SystemClock()
        self._on_crash = on_crash
        self._running: dict[str, _Running] = {}

    async def start(self) -> None:
        """Recover all partitions and begin to follow the log; see `StoreView.start`."""
        kept_map = self._options.data_path / "partitions.json"
        self._map.check_unchanged(kept_map)
        try:
            await self._map.agree(self._journal)
            replica = replica_name(self._options.data_path)
            only = self._options.only
            for name in self._map.names if only is None else (only,):
                running = self._running[name] = await self._start_partition(name, replica)
                self._partitions[name] = running.partition
            self._map.keep(kept_map)
        except BaseException as error:
            await self.stop()
            if isinstance(error, JournalError):
                raise JournalUnavailable(f"can't recover without the journal: {error}") from error
            raise

    async def stop(self) -> None:
        """Stop everything; who waits gets an error. Files stay for the next start."""
        running, self._running = self._running, {}
        self._partitions.clear()
        self._by_resource.clear()
        for one in running.values():
            if one.feed is not None:
                one.feed.stop()
            one.partition.close(PartitionFailed("the store was stopped"))
            try:
                await one.scope.stop()
            except TaskCrashed:
                # It was logged, and told to `on_crash`, when it happened.
                _log.debug("partition %s had crashed", one.partition.name)
            finally:
                one.partition.environment.close()

    async def checkpoint(self) -> None:
        """Write a checkpoint of every partition now."""
        for one in tuple(self._running.values()):
            await one.checkpointer.write()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what is to be known of each partition, for metrics and operators."""
        return {name: _status(one) for name, one in self._running.items()}

    def press(self, *, memory: Collection[str], log: bool) -> None:
        """See `StoreView.press`: compact sooner, and write checkpoints, so that the log goes."""
        for name, one in self._running.items():
            one.housekeeper.pressed = "" in memory or name in memory
            one.checkpointer.pressed = log

    async def _start_partition(self, name: str, replica: str) -> _Running:
        options = self._options
        partition: Partition | None = None

        def on_crash(crash: TaskCrashed) -> None:
            # Whichever task it was, the applier among its siblings is cancelled now: nobody may
            # take the partition for one that runs.
            failure = PartitionFailed(f"partition {name} stopped: {crash}")
            if name in self._running:
                self._running[name].fail(failure)
            elif partition is not None:
                partition.close(failure)
            if self._on_crash is not None:
                self._on_crash(crash)

        scope = TaskScope(f"storage-{name}", on_crash=on_crash)
        codec = Codec(name, options.sealers)
        port = JournalPort(self._journal, name, scope, self._clock.monotonic_s, replica, codec)
        checkpoints = options.data_path / "checkpoints" / name
        places = Places(options.memory_path / name, checkpoints, options.sealers)
        began_s = self._clock.monotonic_s()
        recovered = await recover(places, port, map_bytes=options.map_bytes)
        recovery = (recovered.source, self._clock.monotonic_s() - began_s)
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
                sealer=places.sealer,
            )
            partition.start(scope, recovered.tail)
            if recovered.tail == 0:
                await partition.commit((Init(os.urandom(16)),), INIT_SECONDS)
            housekeeper = Housekeeper(partition, self._clock, options.retention)
            running = _Running(partition, checkpointer, housekeeper, scope, recovery)
            if options.shared:
                running.feed = Feed(partition, self._clock, lambda: _told(running))
                await running.feed.start(scope)
            scope.spawn(housekeeper.run(), name=f"housekeeping-{name}")
            if options.plain_bytes_max is not None:
                compressing = Compressing(partition, self._clock, options.plain_bytes_max)
                scope.spawn(compressing.run(), name=f"compressing-{name}")
            scope.spawn(checkpointer.run(), name=f"checkpoints-{name}")
        except BaseException:
            await asyncio.gather(scope.stop(), return_exceptions=True)
            environment.close()
            raise
        state = state_hash(partition.position, types)
        what = (name, recovered.source, partition.revision, state)
        _log.info("partition %s: %s, revision %d, state %s", *what)
        return running


def _status(one: _Running) -> dict[str, Any]:
    return {
        **partition_status(one.partition),
        "recovered_from": one.recovery[0],
        "recovery_s": one.recovery[1],
        "checkpoint": one.checkpointer.last_sequence,
        "checkpoint_error": one.checkpointer.last_error,
        "checkpoint_failures": one.checkpointer.failures,
        "checkpoint_bytes": one.checkpointer.last_bytes,
        "checkpoint_s": one.checkpointer.last_seconds,
        "checkpoint_at_ms": one.checkpointer.written_at_ms,
        "checkpoint_due_since_ms": one.checkpointer.due_since_ms,
    }


def _told(one: _Running) -> dict[str, Any]:
    """Return what those who map a partition are told of it."""
    partition = one.partition
    stopped, full = str(partition.failure or ""), str(partition.full or "")
    return {**_status(one), "stopped": stopped, "full": full}

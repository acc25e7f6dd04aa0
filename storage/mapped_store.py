"""The store of a worker: it maps what storage processes keep, and writes to the journal itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from journal.engine import Journal
from journal.errors import JournalError
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskCrashed, TaskScope
from storage.codec import Codec
from storage.errors import JournalUnavailable, PartitionFailed
from storage.journal_port import JournalPort
from storage.mapped_partition import MappedPartition
from storage.store import StoreOptions
from storage.store_view import StoreView, partition_status
from storage.types_table import TypeTable

_log = logging.getLogger(__name__)

_OF_THE_CHECKPOINTS: Final[dict[str, Any]] = {
    "recovered_from": "",
    "recovery_s": 0.0,
    "checkpoint": 0,
    "checkpoint_error": "",
    "checkpoint_failures": 0,
    "checkpoint_bytes": 0,
    "checkpoint_s": 0.0,
    "checkpoint_at_ms": 0,
    "checkpoint_due_since_ms": 0,
}
_OF_THE_KEEPER: Final = (*_OF_THE_CHECKPOINTS, "bytes", "cut_off")


class MappedStore(StoreView):
    """All partitions of a replica that other processes keep.

    Args of the constructor:
        journal: where commits go, and who knows the tail.
        options: as those of the keepers; only where the files are, partitions and indexes matter.
        name: of this process, for those who look at the keeper's status.
        clock: for pauses and snapshot ages.
        on_crash: hears when a partition can't be followed any more.
    """

    def __init__(
        self,
        journal: Journal,
        options: StoreOptions,
        name: str,
        *,
        clock: Clock | None = None,
        on_crash: Callable[[TaskCrashed], None] | None = None,
    ) -> None:
        super().__init__(options.partitions)
        self._journal = journal
        self._options = options
        self._name = name
        self._clock = clock or SystemClock()
        self._on_crash = on_crash
        self._running: dict[str, tuple[MappedPartition, TaskScope]] = {}

    async def start(self) -> None:
        """Map all partitions once their keepers are there, and follow them.

        Raises:
            JournalUnavailable: the journal can't be asked now.
        """
        try:
            for name in self._map.names:
                self._running[name] = await self._start_partition(name)
            for partition, _ in self._running.values():
                await partition.mapped.wait()
        except BaseException as error:
            await self.stop()
            if isinstance(error, JournalError):
                raise JournalUnavailable(f"can't start without the journal: {error}") from error
            raise
        self._partitions.update((name, one[0]) for name, one in self._running.items())

    async def stop(self) -> None:
        """Stop everything; who waits gets an error."""
        running, self._running = self._running, {}
        self._partitions.clear()
        self._by_resource.clear()
        for partition, scope in running.values():
            partition.close(PartitionFailed("the store was stopped"))
            await asyncio.gather(scope.stop(), return_exceptions=True)
            partition.unmap()

    @property
    def ready(self) -> bool:
        """Whether all partitions follow their keepers and have come as far as the journal had."""
        return super().ready and len(self._partitions) == len(self._map.names)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what is to be known of each partition: from here, and from its keeper."""
        return {name: _status(one) for name, (one, _) in self._running.items()}

    def press(self, *, memory: Collection[str], log: bool) -> None:
        """Nothing: the keepers look for themselves."""

    async def _start_partition(self, name: str) -> tuple[MappedPartition, TaskScope]:
        options = self._options
        partition: MappedPartition

        def on_crash(crash: TaskCrashed) -> None:
            partition.close(PartitionFailed(f"partition {name} stopped: {crash}"))
            if self._on_crash is not None:
                self._on_crash(crash)

        scope = TaskScope(f"mapped-{name}", on_crash=on_crash)
        # The keeper alone holds the log.
        codec = Codec(name, options.sealers)
        port = JournalPort(self._journal, name, scope, self._clock.monotonic_s, "", codec)
        types = TypeTable(options.indexes)
        directory = options.memory_path / name
        partition = MappedPartition(name, directory, types, port, self._clock)
        partition.joining["name"] = self._name
        partition.start(scope, await port.tail())
        return partition, scope


def _status(partition: MappedPartition) -> dict[str, Any]:
    if not partition.mapped.is_set():
        return {**_UNKNOWN, "failure": str(partition.failure or "")}
    keeper = partition.keeper
    mappers = keeper.get("mappers", [])
    return {
        **_UNKNOWN,
        **partition_status(partition),
        **{key: keeper[key] for key in _OF_THE_KEEPER if key in keeper},
        "watchers_anywhere": sum(mapper.get("watchers", 0) for mapper in mappers),
        "mappers": mappers,
    }


_UNKNOWN: Final[dict[str, Any]] = {
    "ready": False,
    "identity": "",
    "revision": 0,
    "journal_tail": 0,
    "timestamp_ms": 0,
    "compact_revision": 0,
    "state_hash": "",
    "objects": {},
    "changes": 0,
    "bytes": 0,
    "spare_bytes": 0,
    "object_bytes": 0,
    "plain_bytes": 0,
    "watchers": 0,
    "evictions": 0,
    "open_scans": 0,
    **_OF_THE_CHECKPOINTS,
}

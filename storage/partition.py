"""One partition's replica: a single applier fed by the log, and all who read and wait.

Life of a commit: it is encoded with an id of its own and sent; the log brings it back with all
others, the applier decides it, and by its id the outcome finds the future that waits. Whether the
journal's acknowledgement or the entry itself arrives first makes no difference.

Invariants:
    - Everything here runs on one event loop; `_apply` and what follows it are not interrupted, so
      tables, counts, watchers and `revision` always agree for whoever runs in between.
    - An entry that can't be applied stops this partition for good, loudly; others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from journal.engine import Batch
from journal.errors import CorruptStream, JournalError, SequenceAhead, SequenceTrimmed
from runtime.clock import Clock
from runtime.tasks import TaskScope
from storage.applier import Applier, Entry
from storage.environment import Environment, Txn
from storage.errors import PartitionFailed, StorageFull
from storage.journal_port import JournalPort
from storage.partition_view import PartitionView
from storage.position import Position
from storage.reads import Views
from storage.txn import Op, Outcome
from storage.types_table import TypeTable

_log = logging.getLogger(__name__)

ENTRIES_PER_PASS: Final = 256
BYTES_PER_PASS: Final = 4 << 20
RETRY_SECONDS: Final = 0.5
_FATAL: Final = (SequenceTrimmed, SequenceAhead, CorruptStream)


class Partition(PartitionView):
    """A recovered replica of one stream; `start` makes it follow the log.

    Attributes:
        environment: its files.
        on_applied: called with the revision after each step.
        log_bytes: of all entries applied in this process.
    """

    def __init__(
        self,
        name: str,
        environment: Environment,
        types: TypeTable,
        port: JournalPort,
        clock: Clock,
    ) -> None:
        super().__init__(name, Views(environment, types), port, clock)
        self.environment = environment
        self.on_applied: Callable[[int], None] | None = None
        self.log_bytes = 0
        self._applier = Applier(environment, types, port.codec.decode)
        # Between two passes all reads see the same: they share a transaction, which ends before the
        # next pass begins, so that it never keeps the applier from using pages again.
        self._latest: Txn | None = None
        position = self._applier.position
        self.hub.publish((), position.applied_sequence, position.compact_revision)

    @property
    def position(self) -> Position:
        """How far the replica has come."""
        return self._applier.position

    def start(self, scope: TaskScope, target: int) -> None:
        """Follow the log; ready once `target` is applied."""
        self._loop = asyncio.get_running_loop()
        self.target = self.tail_known = target
        scope.spawn(self._run_apply(), name=f"apply-{self.name}")
        scope.spawn(self._tail_check.run(), name=f"tail-{self.name}")
        scope.spawn(self.hub.run_catch_up(), name=f"catch-up-{self.name}")

    def close(self, error: PartitionFailed) -> None:
        """Fail everyone who waits; the environment stays open."""
        super().close(error)
        self._end_latest()

    def _latest_snapshot(self) -> Txn:
        txn = self._latest
        if txn is None:
            txn = self._latest = self.environment.read()
        return txn

    def _end_latest(self) -> None:
        txn, self._latest = self._latest, None
        if txn is not None:
            txn.abort()

    def commit(self, ops: Sequence[Op], timeout_s: float) -> asyncio.Future[Outcome]:
        """See `PartitionView.commit`."""
        self._check()
        self.port.check_available()
        commit = self._commits.begin(self._loop, ops, timeout_s)
        try:
            self.port.submit(commit.future, commit.record, commit.id, timeout_s)
        except BaseException:
            self._commits.discard(commit)
            raise
        return commit.future

    @contextmanager
    def rewriting(self) -> Iterator[Txn]:
        """Change how something is stored, not what it says, in a transaction between two passes.

        Raises:
            StorageFull: no space; nothing was changed.
        """
        self._end_latest()
        with self.environment.write() as txn:
            yield txn

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply entries in one pass, and tell everyone.

        Raises:
            StorageFull: no space; may be tried again. Otherwise as `Applier.apply`.
        """
        self._end_latest()
        commits = self._commits
        applied = self._applier.apply(entries, commits.under_way)
        position = self._applier.position
        self.log_bytes += sum([len(entry.record) for entry in entries])
        if commits.under_way:
            commits.settle(applied.outcomes)
        self.hub.publish(applied.events, position.applied_sequence, position.compact_revision)
        self._waiters.release(position.applied_sequence)
        self.tail_known = max(self.tail_known, position.applied_sequence)
        if self.on_applied is not None:
            self.on_applied(position.applied_sequence)

    async def _run_apply(self) -> None:
        try:
            while True:
                try:
                    await self._follow()
                except _FATAL:
                    raise
                except JournalError as error:
                    _log.warning("partition %s: reading the log failed: %s", self.name, error)
                    await self._clock.sleep(RETRY_SECONDS)
        except Exception as error:
            self.close(PartitionFailed(f"partition {self.name} stopped: {error}"))
            raise

    async def _follow(self) -> None:
        async with self.port.reading(self.revision + 1) as log:
            async for batches in log:
                for entries in passes(batches):
                    await self._apply_when_space(entries)
                    # Others get their turn between passes, however long the backlog.
                    await asyncio.sleep(0)

    async def _apply_when_space(self, entries: Sequence[Entry]) -> None:
        while True:
            try:
                self.apply(entries)
            except StorageFull as error:
                if self.full is None:
                    _log.exception("partition %s: applying pauses", self.name)
                self.full = error
                await self._clock.sleep(RETRY_SECONDS)
            else:
                if self.full is not None:
                    _log.warning("partition %s: applying goes on", self.name)
                    self.full = None
                return


def passes(batches: Iterable[Batch]) -> Iterable[list[Entry]]:
    """Cut batches into what is applied in one LMDB transaction: bounded in entries and bytes."""
    entries: list[Entry] = []
    size_bytes = 0
    for first_sequence, timestamp_ms, records in batches:
        for sequence, record in enumerate(records, first_sequence):
            entries.append(Entry(sequence, timestamp_ms, record))
            size_bytes += len(record)
            if len(entries) >= ENTRIES_PER_PASS or size_bytes >= BYTES_PER_PASS:
                yield entries
                entries, size_bytes = [], 0
    if entries:
        yield entries

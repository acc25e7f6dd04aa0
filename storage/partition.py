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
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from journal.engine import Batch
from journal.errors import CorruptStream, JournalError, SequenceAhead, SequenceTrimmed
from runtime.clock import Clock
from runtime.tasks import TaskScope
from storage.applier import Applier, Entry, Position
from storage.commits import Commits
from storage.environment import Environment, Txn
from storage.errors import (
    Compacted,
    JournalUnavailable,
    PartitionFailed,
    RevisionTimeout,
    StorageFull,
)
from storage.journal_port import JournalPort
from storage.reads import HistoryPage, Views, read_history, state_hash, value_at
from storage.record import Record
from storage.scan import SnapshotPool
from storage.txn import Op, Outcome
from storage.types_table import TypeTable
from storage.waiters import Deadlines, RevisionWaiters, TailCheck
from storage.walks import count_keys, key_prefix
from storage.watch_hub import WatchHub

_log = logging.getLogger(__name__)

ENTRIES_PER_PASS: Final = 256
BYTES_PER_PASS: Final = 4 << 20
RETRY_SECONDS: Final = 0.5
_FATAL: Final = (SequenceTrimmed, SequenceAhead, CorruptStream)


class Partition:
    """A recovered replica of one stream; `start` makes it follow the log.

    Attributes:
        name: the partition's.
        hub: its watchers.
        snapshots: its open scans.
        ready: whether it has applied what the journal held when it started.
        target: what the journal held when it started.
        failure: why it stopped, None while it runs.
        full: why applying pauses, None if it does not.
    """

    def __init__(
        self,
        name: str,
        environment: Environment,
        types: TypeTable,
        port: JournalPort,
        clock: Clock,
    ) -> None:
        self.name = name
        self.environment = environment
        self.types = types
        self.views = Views(environment, types)
        self.snapshots = SnapshotPool(clock.monotonic_s, self.check_retained)
        self.hub = WatchHub(self._read_history, clock.monotonic_s)
        self.port = port
        self.tail_known = 0
        self.failure: PartitionFailed | None = None
        self.full: StorageFull | None = None
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop  # of `start`
        self._applier = Applier(environment, types)
        self._waiters = RevisionWaiters()
        self._tail_check = TailCheck(self._ask_tail)
        self._deadlines = Deadlines()
        self._commits = Commits()
        # Between two passes all reads see the same: they share a transaction, which ends before the
        # next pass begins, so that it never keeps the applier from using pages again.
        self._latest: Txn | None = None
        self.target = 0
        position = self._applier.position
        self.hub.publish((), position.applied_sequence, position.compact_revision)

    @property
    def position(self) -> Position:
        """How far the replica has come."""
        return self._applier.position

    @property
    def revision(self) -> int:
        """The state that reads see."""
        return self.hub.revision

    @property
    def compact_revision(self) -> int:
        """The oldest state that reads can ask for."""
        return self.hub.compact_revision

    @property
    def ready(self) -> bool:
        """Whether it has applied what the journal held when it started."""
        return self.failure is None and self.revision >= self.target

    def start(self, scope: TaskScope, target: int) -> None:
        """Follow the log; ready once `target` is applied."""
        self._loop = asyncio.get_running_loop()
        self.target = self.tail_known = target
        scope.spawn(self._run_apply(), name=f"apply-{self.name}")
        scope.spawn(self._tail_check.run(), name=f"tail-{self.name}")
        scope.spawn(self.hub.run_catch_up(), name=f"catch-up-{self.name}")

    def close(self, error: PartitionFailed) -> None:
        """Fail everyone who waits; the environment stays open."""
        if self.failure is None:
            self.failure = error
        self._waiters.fail(error)
        self._tail_check.fail(error)
        self._commits.fail(error)
        self.hub.close()
        self.snapshots.close()
        self._end_latest()

    def _end_latest(self) -> None:
        txn, self._latest = self._latest, None
        if txn is not None:
            txn.abort()

    def commit(self, ops: Sequence[Op], timeout_s: float) -> asyncio.Future[Outcome]:
        """Append a transaction; the result is its outcome, once it is applied here.

        Raises:
            TransactionInvalid, TransactionTooLarge, JournalUnavailable: nothing was written.
            CommitTimeout: from the result; it may be applied, now or later.
        """
        self._check()
        self.port.check_available()
        commit = self._commits.begin(self._loop, ops, timeout_s)
        try:
            self.port.submit(commit.future, commit.record, commit.id, timeout_s)
        except BaseException:
            self._commits.discard(commit)
            raise
        return commit.future

    async def fresh(self, timeout_s: float) -> int:
        """Wait until everything acknowledged before this call is applied; return the revision.

        Raises:
            JournalUnavailable: the journal did not tell its tail in time.
            RevisionTimeout: it did, but the replica did not get there.
        """
        self._check()
        self.port.check_available()
        loop = self._loop
        deadline_s = loop.time() + timeout_s
        try:
            tail = await self._deadlines.wait(self._tail_check.join(), timeout_s)
        except TimeoutError as error:
            raise JournalUnavailable(
                f"the journal did not tell its tail within {timeout_s} s"
            ) from error
        if tail > self.revision:
            await self.wait_for(tail, deadline_s - loop.time())
        return self.revision

    async def wait_for(self, revision: int, timeout_s: float) -> None:
        """Wait until a revision is applied.

        Raises:
            RevisionTimeout: it was not in time. PartitionFailed: it never will be.
        """
        if revision <= self.revision:
            return
        self._check()
        try:
            await self._deadlines.wait(self._waiters.add(revision), timeout_s)
        except TimeoutError as error:
            raise RevisionTimeout(revision, self.revision) from error

    def get(self, resource: str, namespace: str, name: str, revision: int | None) -> Record | None:
        """Return an object, of now or as of a retained revision.

        Raises:
            Compacted: the revision is no longer retained. RevisionTimeout: it lies ahead.
        """
        if revision is not None:
            self.check_retained(revision)
        entry = self.types.find(resource)
        if entry is None:
            return None
        key = entry.object_key(namespace, name)
        txn = self._latest
        if txn is None:
            txn = self._latest = self.environment.read()
        if revision is None:
            value = txn.get(key, db=self.environment.objects)
        else:
            value = value_at(self.views, txn, key, revision)
        return None if value is None else self.environment.values.parse(resource, key, value)

    def check_retained(self, revision: int) -> None:
        """Refuse a revision that can't be read.

        Raises:
            Compacted: it is gone. RevisionTimeout: it is not there yet; `wait_for` it first.
        """
        if revision < self.compact_revision:
            raise Compacted(revision, self.compact_revision)
        if revision > self.revision:
            raise RevisionTimeout(revision, self.revision)

    def count(self, resource: str, namespace: str | None) -> int:
        """Return how many objects there are: known for a resource, counted in a namespace."""
        entry = self.types.find(resource)
        if entry is None:
            return 0
        if namespace is None:
            return entry.count
        prefix = key_prefix(entry, namespace)
        txn = self.environment.read()
        try:
            return count_keys(self.views, txn, prefix, prefix)
        finally:
            txn.abort()

    def state_hash(self) -> str:
        """Return a digest of all objects and the revision; it reads everything."""
        txn = self.environment.read()
        try:
            return state_hash(self.views, txn, self.revision)
        finally:
            txn.abort()

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
        if commits.under_way:
            commits.settle(applied.outcomes)
        self.hub.publish(applied.events, position.applied_sequence, position.compact_revision)
        self._waiters.release(position.applied_sequence)
        self.tail_known = max(self.tail_known, position.applied_sequence)

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

    async def _ask_tail(self) -> int:
        tail = await self.port.tail()
        self.tail_known = max(self.tail_known, tail)
        return tail

    def _read_history(self, after: int, count_max: int, resources: Collection[str]) -> HistoryPage:
        txn = self.environment.read()
        try:
            return read_history(self.views, txn, after, count_max, resources)
        finally:
            txn.abort()

    def _check(self) -> None:
        if self.failure is not None:
            # A new one each time: one raised often would gather the tracebacks of all.
            raise PartitionFailed(str(self.failure))


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

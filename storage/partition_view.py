"""What every replica of a partition offers to those who read and wait, whoever keeps it.

Two keep one: `storage/partition.py` applies the log itself, `storage/mapped_partition.py` maps the
files of a process that does.

Invariants:
    - Everything here runs on one event loop, and moving on is not interrupted, so snapshot, counts,
      watchers and `revision` always agree for whoever runs in between.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from runtime.clock import Clock
from storage.commits import Commits
from storage.environment import Txn
from storage.errors import (
    Compacted,
    JournalUnavailable,
    PartitionFailed,
    RevisionTimeout,
    StorageFull,
)
from storage.journal_port import JournalPort
from storage.position import Position
from storage.reads import HistoryPage, Views, read_history, value_at
from storage.record import Record
from storage.scan import SnapshotPool
from storage.state_hash import walked_hash
from storage.txn import Op, Outcome
from storage.waiters import Deadlines, RevisionWaiters, TailCheck
from storage.walks import count_keys, key_prefix
from storage.watch_hub import WatchHub


class PartitionView(ABC):
    """A replica of one stream.

    Attributes:
        name: the partition's.
        views: its tables.
        types: its resources.
        hub: its watchers.
        snapshots: its open scans.
        target: what the journal held when it started.
        tail_known: the last of the journal's entries that it has heard of.
        failure: why it stopped, None while it runs.
        full: why applying pauses, None if it does not.
    """

    def __init__(self, name: str, views: Views, port: JournalPort, clock: Clock) -> None:
        self.name = name
        self.views = views
        self.types = views.types
        self.snapshots = SnapshotPool(clock.monotonic_s, self.check_retained)
        self.hub = WatchHub(self._read_history, clock.monotonic_s)
        self.port = port
        self.tail_known = self.target = 0
        self.failure: PartitionFailed | None = None
        self.full: StorageFull | None = None
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop  # of `start`
        self._waiters = RevisionWaiters()
        self._tail_check = TailCheck(self._ask_tail)
        self._deadlines = Deadlines()
        self._commits = Commits(port.codec.encode)

    @property
    @abstractmethod
    def position(self) -> Position:
        """How far the replica has come."""

    @abstractmethod
    def commit(self, ops: Sequence[Op], timeout_s: float) -> asyncio.Future[Outcome]:
        """Append a transaction; the result is its outcome, once it is applied here.

        Raises:
            TransactionInvalid, TransactionTooLarge, JournalUnavailable: nothing was written.
            CommitTimeout: from the result; it may be applied, now or later.
        """

    @abstractmethod
    def _latest_snapshot(self) -> Txn:
        """Return a snapshot at `revision`, shared by all that read between two steps."""

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

    def close(self, error: PartitionFailed) -> None:
        """Fail everyone who waits; the environment stays open."""
        if self.failure is None:
            self.failure = error
        self._waiters.fail(error)
        self._tail_check.fail(error)
        self._commits.fail(error)
        self.hub.close()
        self.snapshots.close()

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
        txn = self._latest_snapshot()
        if revision is None:
            value = txn.get(key, db=self.views.environment.objects)
        else:
            value = value_at(self.views, txn, key, revision)
        if value is None:
            return None
        return self.views.environment.values.parse(resource, key, value)

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
        txn = self.views.begin()
        try:
            return count_keys(self.views, txn, prefix, prefix)
        finally:
            self.views.end(txn)

    def state_hash(self) -> str:
        """Return the hash of the state by reading all of it; `state_hash.state_hash` is quick."""
        txn = self.views.begin()
        try:
            return walked_hash(self.views.environment, txn)
        finally:
            self.views.end(txn)

    async def _ask_tail(self) -> int:
        tail = await self.port.tail()
        self.tail_known = max(self.tail_known, tail)
        return tail

    def _read_history(self, after: int, count_max: int, resources: Collection[str]) -> HistoryPage:
        txn = self.views.begin()
        try:
            return read_history(self.views, txn, after, count_max, resources)
        finally:
            self.views.end(txn)

    def _check(self) -> None:
        if self.failure is not None:
            # A new one each time: one raised often would gather the tracebacks of all.
            raise PartitionFailed(str(self.failure))

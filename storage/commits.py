"""Commits under way: what was sent, who waits for its outcome, and until when.

A commit costs one future and one entry here; one timer looks at the deadlines of all.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence

from storage.applier import Sent
from storage.codec import Encode
from storage.errors import CommitTimeout
from storage.txn import Op, Outcome
from storage.waiters import SWEEP_COUNT_MIN, SWEEP_SECONDS


class Commit(Sent):
    """One transaction that was sent.

    Attributes:
        id: of the transaction, by which its outcome is known.
        future: of who waits; done before the outcome: they gave up.
    """

    __slots__ = ("deadline_s", "future", "id")

    def __init__(
        self,
        transaction_id: bytes,
        record: bytes,
        ops: tuple[Op, ...],
        future: asyncio.Future[Outcome],
        deadline_s: float,
    ) -> None:
        super().__init__(record, ops)
        self.id = transaction_id
        self.future = future
        self.deadline_s = deadline_s


class Commits:
    """All commits of one partition that have no outcome yet.

    Attributes:
        under_way: by transaction id.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self.under_way: dict[bytes, Commit] = {}
        # Unique to this object's life, so that ids never repeat in any log.
        self._id_prefix = os.urandom(8)
        self._next_id = 0
        self._armed = False

    def begin(self, loop: asyncio.AbstractEventLoop, ops: Sequence[Op], timeout_s: float) -> Commit:
        """Return a new commit; its future fails with CommitTimeout when its time is up.

        Raises:
            TransactionInvalid: it can't be written. SealUnavailable: not now.
        """
        self._next_id += 1
        transaction_id = self._id_prefix + self._next_id.to_bytes(8, "big")
        record = self._encode(ops, transaction_id)
        future: asyncio.Future[Outcome] = loop.create_future()
        commit = Commit(transaction_id, record, tuple(ops), future, loop.time() + timeout_s)
        self.under_way[transaction_id] = commit
        if not self._armed:
            self._armed = True
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        return commit

    def settle(self, outcomes: Iterable[tuple[bytes, Outcome]]) -> None:
        """Tell those who wait what became of their transactions."""
        under_way = self.under_way
        for transaction_id, outcome in outcomes:
            commit = under_way.pop(transaction_id, None)
            if commit is not None and not commit.future.done():
                commit.future.set_result(outcome)

    def discard(self, commit: Commit) -> None:
        """Forget a commit that was not sent."""
        del self.under_way[commit.id]

    def fail(self, error: Exception) -> None:
        """Give everyone an error: no outcome will come."""
        failed, self.under_way = self.under_way, {}
        for commit in failed.values():
            if not commit.future.done():
                commit.future.set_exception(CommitTimeout(f"the outcome is unknown: {error}"))

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drop commits that are late, or that nobody waits for any more."""
        now_s = loop.time()
        ended = [
            commit
            for commit in self.under_way.values()
            if commit.deadline_s <= now_s or commit.future.done()
        ]
        for commit in ended:
            del self.under_way[commit.id]
            if not commit.future.done():
                commit.future.set_exception(CommitTimeout("no outcome in time; it may still come"))
        self._armed = bool(self.under_way)
        if self._armed:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)


class Acknowledged:
    """Commits that the journal has numbered and this process has not come to yet.

    Those who give up are dropped when, with them, there are twice as many as when it was done last:
    with a replica that does not move on, they must not gather.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Commit]] = []
        self._sweep_at = SWEEP_COUNT_MIN

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, sequence: int, commit: Commit) -> None:
        """Keep a commit until its entry is reached."""
        if len(self._heap) >= self._sweep_at:
            self._heap = [item for item in self._heap if not item[1].future.done()]
            heapq.heapify(self._heap)
            self._sweep_at = max(SWEEP_COUNT_MIN, 2 * len(self._heap))
        heapq.heappush(self._heap, (sequence, commit))

    def take(self, revision: int) -> Iterator[tuple[int, Commit]]:
        """Yield those up to a revision, and forget them."""
        while self._heap and self._heap[0][0] <= revision:
            yield heapq.heappop(self._heap)

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()

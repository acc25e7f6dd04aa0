"""What storage needs of a journal: cheap appends, and to hear soon that it is away.

A journal that is away for a moment (a restart) is waited for; one that stays away is reported at
once to those who come, so that they can answer 503 instead of hanging until their deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from journal.engine import Batch, Journal
from journal.errors import (
    BadRequest,
    JournalError,
    JournalFull,
    NoQuorum,
    Overloaded,
    RecordTooLarge,
    TooManyConnections,
)
from runtime.tasks import TaskScope
from storage.codec import Codec
from storage.errors import (
    CommitTimeout,
    JournalUnavailable,
    StorageError,
    TransactionTooLarge,
)

AWAY_SECONDS_MAX: Final = 2.0
_NOTHING_WRITTEN: Final = (JournalFull, NoQuorum, Overloaded, TooManyConnections, BadRequest)


class JournalPort:
    """One partition's stream of a journal."""

    def __init__(
        self,
        journal: Journal,
        stream: str,
        scope: TaskScope,
        monotonic_s: Callable[[], float],
        replica: str,
        codec: Codec | None = None,
    ) -> None:
        self.stream = stream
        self.codec = codec or Codec(stream, None)
        """How transactions are written in it."""
        self.replica = replica
        """The name under which the journal keeps the log for us."""
        self._journal = journal
        self._scope = scope
        self._monotonic_s = monotonic_s
        self._away_since_s: float | None = None
        self._away_after = 0
        # Those that speak to servers have forms of append without a task; other engines have not.
        self._submit_for: Callable[..., None] | None = getattr(journal, "submit_for", None)
        self._submit: Callable[..., asyncio.Future[int]] | None = getattr(journal, "submit", None)
        self._learn: Callable[[str, int], None] | None = getattr(journal, "learn", None)
        # Where each stream has servers of its own, one may be away and others not.
        self._connected_to: Callable[[str], bool] | None = getattr(journal, "connected_to", None)
        self._returns_of: Callable[[str], int] | None = getattr(journal, "returns_of", None)

    def check_available(self) -> None:
        """Refuse work while the journal has been away for too long.

        Raises:
            JournalUnavailable: there is no connection, and there has not been for a while.
        """
        if self._is_connected():
            self._away_since_s = None
            return
        now_s = self._monotonic_s()
        # Nobody may have asked while it was there: the connections tell one absence from the next.
        connections = self._connections()
        if self._away_since_s is None or connections != self._away_after:
            self._away_since_s, self._away_after = now_s, connections
        if now_s - self._away_since_s >= AWAY_SECONDS_MAX:
            raise JournalUnavailable(f"the journal is away; nothing was sent to {self.stream!r}")

    def _is_connected(self) -> bool:
        if self._connected_to is not None:
            return self._connected_to(self.stream)
        return bool(getattr(self._journal, "connected", True))

    def _connections(self) -> int:
        if self._returns_of is not None:
            return self._returns_of(self.stream)
        return int(getattr(self._journal, "connections", 0))

    def submit(
        self, waiter: asyncio.Future[Any], record: bytes, key: bytes, deadline_s: float
    ) -> None:
        """Append one record; `waiter` finds it in the log, or gets what a failure means.

        Raises:
            StorageError: it failed at once.
        """
        try:
            if self._submit_for is not None:
                self._submit_for(waiter, self.stream, record, key, deadline_s, translate)
            else:
                self._scope.spawn(self._append(waiter, record, key), name=f"append-{self.stream}")
        except JournalError as error:
            raise translate(error) from error

    def append(self, record: bytes, key: bytes, deadline_s: float) -> asyncio.Future[int]:
        """Append one record; the result is its sequence, a JournalError what went wrong.

        Raises:
            StorageError: it failed at once.
        """
        try:
            if self._submit is not None:
                return self._submit(self.stream, (record,), key, deadline_s)
            appended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            name = f"append-{self.stream}"
            self._scope.spawn(self._append_and_tell(appended, record, key), name=name)
        except JournalError as error:
            raise translate(error) from error
        return appended

    async def _append(self, waiter: asyncio.Future[Any], record: bytes, key: bytes) -> None:
        try:
            await self._journal.append(self.stream, (record,), key)
        except JournalError as error:
            if not waiter.done():
                waiter.set_exception(translate(error))

    async def _append_and_tell(
        self, appended: asyncio.Future[int], record: bytes, key: bytes
    ) -> None:
        try:
            appended.set_result(await self._journal.append(self.stream, (record,), key))
        except JournalError as error:
            appended.set_exception(error)

    @asynccontextmanager
    async def reading(self, from_sequence: int) -> AsyncIterator[AsyncIterator[list[Batch]]]:
        """Give the stream's batches, endlessly; the subscription ends with the block."""
        batches = self._journal.read(self.stream, from_sequence)
        try:
            yield batches
        finally:
            # Left to the garbage collector, a generator would hold its subscription until then.
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()

    async def record_at(self, sequence: int) -> bytes:
        """Return one record that the stream holds."""
        async with self.reading(sequence) as log:
            async for batches in log:
                first_sequence, _, records = batches[0]
                return records[sequence - first_sequence]
        raise AssertionError("the log has ended")

    async def tail(self) -> int:
        """Return the last durable sequence."""
        return await self._journal.tail(self.stream)

    def learn(self, sequence: int) -> None:
        """Take note of a durable sequence that was not heard of from the journal itself.

        An append that has to be sent again is known to come after it, so that the journal's memory
        of keys need not reach back any further.
        """
        if self._learn is not None:
            self._learn(self.stream, sequence)

    async def hold(self, before: int) -> tuple[int, int]:
        """Have the log kept for this replica from a sequence on; return its bounds.

        To be said again, or the journal takes the replica for gone after a while.
        """
        return await self._journal.hold(self.stream, self.replica, before)

    async def trim(self, before: int) -> None:
        """Have the journal forget what lies before a sequence, but for other replicas' needs."""
        await self._journal.trim(self.stream, before)


def translate(error: JournalError) -> StorageError:
    """Return what a failed append means to whoever commits."""
    if isinstance(error, RecordTooLarge):
        return TransactionTooLarge(str(error))
    if isinstance(error, _NOTHING_WRITTEN):
        return JournalUnavailable(f"nothing was written: {error}")
    return CommitTimeout(f"the outcome is unknown: {error}")

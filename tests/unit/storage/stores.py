"""What the tests of stores share: a journal with moods, and shorthands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from journal.engine import Batch
from journal.errors import JournalError
from journal.memory import MemoryEngine
from storage.partition import Partition
from storage.partition_map import MAP_STREAM
from storage.store import Store
from storage.txn import ABSENT, Committed
from tests.unit.storage.replicas import put


class Moody(MemoryEngine):
    """A journal that refuses, or does not answer, when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: JournalError | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.connected = True
        self.connections = 1
        self.tails_asked = 0
        self.push_first = False

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
    ) -> int:
        if self.refusal is not None:
            raise self.refusal
        sequence = await super().append(stream, records, idempotency_key, resent_after=resent_after)
        if self.push_first:
            await self.answers.wait()
        return sequence

    async def read(self, stream: str, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        async for batches in super().read(stream, from_sequence):
            if not self.push_first and stream != MAP_STREAM:
                await self.answers.wait()
            yield batches

    async def tail(self, stream: str) -> int:
        self.tails_asked += 1
        await self.answers.wait()
        if self.refusal is not None:
            raise self.refusal
        return await super().tail(stream)


async def create(store: Store, name: str, **details: str) -> Committed:
    """Create a pod."""
    outcome = await store.commit((put(name, expected=ABSENT, **details),), 5)  # type: ignore[arg-type]
    assert isinstance(outcome, Committed)
    return outcome


def default(store: Store) -> Partition:
    """Return the partition all tests use."""
    partition = store.partition_of("pods")
    assert isinstance(partition, Partition)
    return partition

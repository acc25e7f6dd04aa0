"""What the tests of mapped stores share: a keeper and its mappers in one process.

A process can open an environment only once, so mappers share the keeper's here; the socket between
them is real, and real processes are for the integration tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from journal.memory import MemoryEngine
from runtime.clock import Clock
from storage import mapped_partition
from storage.environment import EnvironmentReplaced, Identity
from storage.mapped_partition import MappedPartition
from storage.mapped_store import MappedStore
from storage.store import Store
from tests.unit.storage.replicas import SharedEnvironment, options
from tests.unit.storage.stores import default

TIMEOUT_S = 20.0


class Keepers:
    """The store that keeps the files now, if one does."""

    def __init__(self, path: Path, journal: MemoryEngine) -> None:
        self.path = path
        self.journal = journal
        self.store: Store | None = None

    async def start(self) -> Store:
        """Keep the files, from now on."""
        self.store = store = Store(self.journal, options(self.path, shared=True))
        await store.start()
        await store.wait_ready()
        return store

    async def stop(self) -> None:
        """Keep them no more."""
        if self.store is not None:
            await self.store.stop()
            self.store = None

    def map(self, _path: Path, identity: Identity, *, map_bytes: int) -> SharedEnvironment:
        """Map the files, as MappedEnvironment does."""
        if self.store is None:
            raise EnvironmentReplaced("nobody keeps it")
        environment = default(self.store).environment
        assert (environment.identity, environment.map_bytes) == (identity, map_bytes)
        return SharedEnvironment(environment)


@pytest.fixture
def keepers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keepers:
    """Nobody yet, over a memory journal."""
    made = Keepers(tmp_path, MemoryEngine())
    monkeypatch.setattr(mapped_partition, "MappedEnvironment", made.map)
    return made


@asynccontextmanager
async def mapping(
    keepers: Keepers, journal: MemoryEngine | None = None, clock: Clock | None = None
) -> AsyncIterator[MappedStore]:
    """Run a keeper, and a store that maps what it keeps."""
    await keepers.start()
    store = MappedStore(journal or keepers.journal, options(keepers.path), "test", clock=clock)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await store.start()
            await store.wait_ready()
        yield store
    finally:
        await store.stop()
        await keepers.stop()


def mapped(store: MappedStore) -> MappedPartition:
    """Return the partition all tests use."""
    partition = store.partition_of("pods")
    assert isinstance(partition, MappedPartition)
    return partition

"""The engines under the contract, each as a harness factory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from journal.client import JournalClient
from journal.disk import Environment
from journal.engine import Journal, Limits
from journal.jetstream import JetStreamJournal
from journal.local import LocalEngine
from journal.memory import MemoryEngine
from journal.nats_options import NatsOptions
from journal.service import serve
from runtime.clock import SimulatedClock
from tests.contract.journal_suite.append_cases import CASES as APPEND_CASES
from tests.contract.journal_suite.bounds_cases import CASES as BOUNDS_CASES
from tests.contract.journal_suite.harness import KEYS_REMEMBERED, Case, Harness
from tests.contract.journal_suite.hold_cases import CASES as HOLD_CASES
from tests.contract.journal_suite.read_cases import CASES as READ_CASES

ALL_CASES: list[Case] = [*APPEND_CASES, *READ_CASES, *BOUNDS_CASES, *HOLD_CASES]

# Small, so that the cases cross segments, leave the tail cache and fill groups.
SMALL = Limits(
    segment_bytes=128 << 10,
    allocation_bytes=64 << 10,
    group_bytes_max=64 << 10,
    tail_cache_bytes=32 << 10,
    read_chunk_bytes=16 << 10,
    pending_bytes_max=1 << 20,
    pending_count_max=64,
    key_window=KEYS_REMEMBERED,
)


@asynccontextmanager
async def memory_harness() -> AsyncIterator[Harness]:
    """The memory engine."""
    clock = SimulatedClock()
    yield Harness(MemoryEngine(clock, KEYS_REMEMBERED), clock, None)


@asynccontextmanager
async def local_harness(directory: Path) -> AsyncIterator[Harness]:
    """The local engine, in process."""
    clock = SimulatedClock()
    environment = Environment(SMALL, clock)
    engines = [await LocalEngine.open(directory, environment)]

    async def reopen() -> Journal:
        await engines[-1].close()
        engines.append(await LocalEngine.open(directory, environment))
        return engines[-1]

    try:
        yield Harness(engines[0], clock, reopen)
    finally:
        await engines[-1].close()


@asynccontextmanager
async def client_harness(directory: Path) -> AsyncIterator[Harness]:
    """The client, over a Unix socket, to a service over the local engine."""
    clock = SimulatedClock()
    environment = Environment(SMALL, clock)
    address = f"unix:{directory}/s"
    engine = await LocalEngine.open(directory / "data", environment)
    service = await serve(engine, address)

    async def reopen() -> Journal:
        nonlocal engine, service
        await service.stop()
        await engine.close()
        engine = await LocalEngine.open(directory / "data", environment)
        service = await serve(engine, address)
        return client

    client = JournalClient(address)
    await client.start()
    try:
        yield Harness(client, clock, reopen)
    finally:
        await client.close()
        await service.stop()
        await engine.close()


@asynccontextmanager
async def jetstream_harness(address: str, prefix: str, replicas: int) -> AsyncIterator[Harness]:
    """The JetStream engine, over servers that run at `address`; streams of its own by `prefix`."""
    clock = SimulatedClock()
    options = NatsOptions(
        prefix=prefix,
        replicas=replicas,
        key_window=KEYS_REMEMBERED,
        mark_every=8,
        note_every=32,
    )
    journals = [JetStreamJournal(address, options, clock=clock)]

    async def reopen() -> Journal:
        await journals[-1].close()
        journals.append(JetStreamJournal(address, options, clock=clock))
        await journals[-1].start()
        return journals[-1]

    await journals[0].start()
    try:
        yield Harness(journals[0], clock, reopen)
    finally:
        await journals[-1].close()

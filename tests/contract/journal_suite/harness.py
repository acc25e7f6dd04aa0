"""What a contract case is given, and how all cases are found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TypeAlias

from journal.engine import Batch, Journal
from runtime.clock import SimulatedClock

KEYS_REMEMBERED = 64
"""Harnesses configure their engines with this key window."""


@dataclass
class Harness:
    """An engine under test.

    Attributes:
        journal: the engine, empty at first.
        clock: the clock its timestamps come from.
        reopen: close and open it again over the same storage; None if nothing survives that.
    """

    journal: Journal
    clock: SimulatedClock
    reopen: Callable[[], Awaitable[Journal]] | None


Factory: TypeAlias = Callable[[], AbstractAsyncContextManager[Harness]]
Case: TypeAlias = Callable[[Harness], Awaitable[None]]


def key() -> bytes:
    """Return a fresh idempotency key."""
    return os.urandom(16)


async def read_until(journal: Journal, stream: str, start: int, last: int) -> list[Batch]:
    """Read from `start` until the batch that holds `last`."""
    found: list[Batch] = []
    async with asyncio.timeout(10), aclosing(journal.read(stream, start)) as reading:
        async for batches in reading:
            found += batches
            if found[-1].last_sequence >= last:
                return found
    raise AssertionError("read ended")


async def read_once(journal: Journal, stream: str, start: int) -> list[Batch]:
    """Return what the first turn of a read yields."""
    async with asyncio.timeout(10), aclosing(journal.read(stream, start)) as reading:
        return await anext(reading)


def records_of(batches: list[Batch]) -> list[bytes]:
    """Return the records in their order."""
    return [record for batch in batches for record in batch.records]


def run_case(case: Case, factory: Factory) -> None:
    """Run one case against a fresh engine."""

    async def run() -> None:
        async with factory() as harness, asyncio.timeout(30):
            await case(harness)

    asyncio.run(run())

"""Which writes are let through when storage is short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apiserver.quota import OP_BYTES, QuotaGate
from journal.memory import MemoryEngine
from kube.status import StatusError
from runtime.clock import SimulatedClock
from storage import alarms as al
from storage.alarms import Alarm, Level, Quotas
from storage.space import Paths, SpaceWatch
from storage.store import Store
from storage.txn import ABSENT, ANY, Delete, Put
from tests.unit.storage.replicas import running_store

_NO_RESERVE = Quotas(memory_reserve_bytes=0)


def _put(name: str, size_bytes: int, *, deleting: bool = False, expected: int = ANY) -> Put:
    mark = b',"deletionTimestamp":"2026-01-01T00:00:00Z"' if deleting else b""
    body = b'{"metadata":{"resourceVersion":""%s},"a":"%s"}' % (mark, b"x" * size_bytes)
    return Put("pods", "default", name, b"", body, body.index(b'""') + 1, expected)


@asynccontextmanager
async def _gate(
    path: Path, quotas: Quotas = _NO_RESERVE
) -> AsyncIterator[tuple[Store, SpaceWatch, QuotaGate]]:
    clock = SimulatedClock()
    journal = MemoryEngine(clock)
    async with running_store(path, journal, clock) as store:
        watch = SpaceWatch(store, journal, Paths(path, path), quotas, clock)
        watch.look()
        gate = QuotaGate(store, watch, 1)
        # From now on it knows how much is left, and does not look by itself.
        gate.admit((Delete("pods", "default", "none"),))
        yield store, watch, gate


def _set(watch: SpaceWatch, level: Level) -> None:
    watch.alarms = (Alarm(al.MEMORY_SPACE, level, "little is left"),)


def _refuses(gate: QuotaGate, op: Put | Delete) -> bool:
    refused: StatusError | None = None
    try:
        gate.admit((op,))
    except StatusError as error:
        refused = error
    if refused is None:
        return False
    assert (refused.code, refused.reason) == (507, "InsufficientStorage")
    # Clients of Go would send it again, ten times.
    assert not refused.headers
    return True


def test_read_only_refuses_what_adds_and_lets_through_what_does_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with _gate(tmp_path) as (store, watch, gate):
            await store.commit((_put("a", 5000),), 5)
            assert not _refuses(gate, _put("b", 10, expected=ABSENT))
            _set(watch, Level.READ_ONLY)
            assert _refuses(gate, _put("b", 10, expected=ABSENT))
            assert _refuses(gate, _put("b", 10))
            assert _refuses(gate, _put("a", 5001 + OP_BYTES))
            assert not _refuses(gate, _put("a", 5000 + OP_BYTES))
            assert not _refuses(gate, _put("a", 10))
            assert not _refuses(gate, Delete("pods", "default", "a"))
            assert gate.refused == {al.MEMORY_SPACE: 3}

    asyncio.run(run())


def test_deletes_only_lets_through_what_helps_an_object_go(tmp_path: Path) -> None:
    async def run() -> None:
        async with _gate(tmp_path) as (store, watch, gate):
            await store.commit((_put("a", 5000),), 5)
            _set(watch, Level.DELETES_ONLY)
            assert _refuses(gate, _put("a", 5000))
            assert not _refuses(gate, _put("a", 4999))
            assert not _refuses(gate, _put("a", 5000, deleting=True))
            assert _refuses(gate, _put("a", 50_000, deleting=True))
            assert not _refuses(gate, Delete("pods", "default", "a"))

    asyncio.run(run())


def test_a_quota_of_objects_is_exact_and_lets_objects_grow(tmp_path: Path) -> None:
    async def run() -> None:
        quotas = Quotas(memory_reserve_bytes=0, objects_of={"pods": 3})
        async with _gate(tmp_path, quotas) as (store, watch, gate):
            for number in range(3):
                gate.admit((_put(f"p{number}", 10, expected=ABSENT),))
                await store.commit((_put(f"p{number}", 10),), 5)
            with pytest.raises(StatusError, match="the quota is 3"):
                gate.admit((_put("p3", 10, expected=ABSENT),))
            assert not _refuses(gate, _put("p1", 90_000))
            await store.commit((Delete("pods", "default", "p0"),), 5)
            watch.look()
            assert not _refuses(gate, _put("p3", 10, expected=ABSENT))

    asyncio.run(run())


def test_a_burst_between_two_looks_does_not_pass_a_quota(tmp_path: Path) -> None:
    """Nobody looks but the gate, by what it has let through."""

    async def run() -> None:
        limit_bytes = 4 << 20
        quotas = Quotas(memory_reserve_bytes=0, memory_bytes=limit_bytes)
        async with _gate(tmp_path, quotas) as (store, _, gate):
            for number in range(1000):
                op = _put(f"p{number}", 20_000, expected=ABSENT)
                if _refuses(gate, op):
                    break
                await store.commit((op,), 5)
            used_bytes = sum(one.used_bytes for one in store.figures())
            assert limit_bytes <= used_bytes < limit_bytes * 1.1
            assert gate.warning

    asyncio.run(run())


def test_an_alarm_of_one_partition_leaves_the_others_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with _gate(tmp_path) as (store, watch, gate):
            home = store.partition_of("pods").name
            watch.alarms = (Alarm(al.MEMORY_SPACE, Level.READ_ONLY, "x", "another"),)
            assert not _refuses(gate, _put("b", 10, expected=ABSENT))
            watch.alarms = (Alarm(al.MEMORY_SPACE, Level.READ_ONLY, "x", home),)
            assert _refuses(gate, _put("b", 10, expected=ABSENT))

    asyncio.run(run())

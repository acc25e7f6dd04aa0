"""The follower reads while somebody looks, keeps up with the replica, forgets when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest

from apiserver.console import follower as module
from apiserver.console.follower import Follower
from journal.memory import MemoryEngine
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from storage.store import Store, StoreOptions
from storage.txn import ANY, Delete, Put

_HEAD = b'{"metadata":{"resourceVersion":"'
_WAIT_S_MAX = 10.0


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Store, Follower]]:
    """Run a follower of an empty replica."""
    options = StoreOptions(directory / "memory", directory / "data")
    async with Store(MemoryEngine(), options) as store, TaskScope("test") as scope:
        follower = Follower(store, SystemClock())
        task = scope.spawn(follower.run(), name="follower")
        try:
            yield store, follower
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def put(store: Store, resource: str, name: str, **more: object) -> None:
    """Store an object."""
    body = orjson.dumps({"metadata": {"resourceVersion": "", "name": name}, **more})
    namespace = "a" if resource == "pods" else ""
    await store.commit((Put(resource, namespace, name, b"\0\0", body, len(_HEAD), ANY),), 5)


async def until(fact: Callable[[], bool]) -> None:
    """Return when a fact holds."""
    async with asyncio.timeout(_WAIT_S_MAX):
        while not fact():  # noqa: ASYNC110 - facts of others have no event
            await asyncio.sleep(0.01)


def test_nothing_is_read_while_nobody_looks(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as (store, follower):
            await put(store, "nodes", "n")
            await asyncio.sleep(0.05)
            assert follower.book.cells == []

    asyncio.run(run())


def test_what_there_is_and_what_happens_is_known_while_somebody_looks(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as (store, follower):
            for number in range(300):
                await put(store, "nodes", f"n{number}")
            with follower.looking() as viewer:
                await until(lambda: follower.complete == {"nodes", "pods"})
                assert follower.book.node_counts()["total"] == 300
                assert len(viewer.rows) == 300
                await put(store, "pods", "p", spec={"nodeName": "n0"})
                await until(lambda: follower.book.pod_counts()["total"] == 1)
                await put(store, "nodes", "more")
                await until(lambda: follower.book.node_counts()["total"] == 301)
                await store.commit((Delete("pods", "a", "p", ANY),), 5)
                await store.commit((Delete("nodes", "", "more", ANY),), 5)
                await until(lambda: follower.book.pod_counts()["total"] == 0)
                await until(lambda: follower.book.node_counts()["total"] == 300)

    asyncio.run(run())


def test_all_is_forgotten_when_nobody_has_looked_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.5)

    async def run() -> None:
        async with running(tmp_path) as (store, follower):
            await put(store, "nodes", "n")
            with follower.looking():
                await until(lambda: "nodes" in follower.complete)
            await until(lambda: follower.book.cells == [] and not follower.complete)
            with follower.looking():
                await until(lambda: follower.book.node_counts()["total"] == 1)

    asyncio.run(run())


def test_an_object_that_nobody_has_foreseen_ends_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.1)

    async def run() -> None:
        async with running(tmp_path) as (store, follower):
            await put(store, "nodes", "odd", status={"conditions": [7]})
            with follower.looking():
                await asyncio.sleep(0.3)
                await store.commit((Delete("nodes", "", "odd", ANY),), 5)
                await put(store, "nodes", "well")
                await until(lambda: follower.book.node_counts()["total"] == 1)

    asyncio.run(run())

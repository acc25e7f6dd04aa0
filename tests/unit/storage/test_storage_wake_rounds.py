"""Wakes of many watchers come in rounds that keep a distance; of a few they come at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from storage.watch_hub import ROUND_SECONDS_MAX, ROUND_WATCHERS_MIN
from storage.watcher import Scope, Watcher
from tests.unit.storage.replicas import Replica, put


class _Reader:
    """Reads one watcher and keeps the batches as they came."""

    def __init__(self, watcher: Watcher) -> None:
        self.batches: list[list[int]] = []
        self.has_two = asyncio.Event()
        self._watcher = watcher

    async def run(self) -> None:
        while True:
            events = await self._watcher.next_batch()
            self.batches.append([event.revision for event in events])
            if len(self.batches) == 2:
                self.has_two.set()


@asynccontextmanager
async def _reading(path: Path, count: int) -> AsyncIterator[tuple[Replica, list[_Reader]]]:
    replica = Replica(path / "replica")
    hub = replica.partition.hub
    readers = [_Reader(hub.watch(Scope("pods"), hub.revision, 100)) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hub.run_catch_up())]
        tasks += [group.create_task(reader.run()) for reader in readers]
        await _turns()
        try:
            yield replica, readers
        finally:
            for task in tasks:
                task.cancel()
            hub.close()
            replica.close()


async def _turns() -> None:
    """Let whoever can run now do so; no time passes that a round could be waiting for."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_few_watchers_are_woken_by_each_pass(tmp_path: Path) -> None:
    async def run() -> None:
        async with _reading(tmp_path, ROUND_WATCHERS_MIN - 1) as (replica, readers):
            for name in "abc":
                replica.run(put(name))
                await _turns()
            assert all(reader.batches == [[1], [2], [3]] for reader in readers)

    asyncio.run(run())


def test_what_gathers_between_rounds_of_many_comes_in_one_batch(tmp_path: Path) -> None:
    async def run() -> None:
        async with _reading(tmp_path, 10 * ROUND_WATCHERS_MIN) as (replica, readers):
            replica.run(put("a"))
            await _turns()
            assert all(reader.batches == [[1]] for reader in readers)
            for name in "bcd":
                replica.run(put(name))
            await _turns()
            assert all(reader.batches == [[1]] for reader in readers)
            async with asyncio.timeout(100 * ROUND_SECONDS_MAX):
                for reader in readers:
                    await reader.has_two.wait()
            assert all(reader.batches == [[1], [2, 3, 4]] for reader in readers)

    asyncio.run(run())


def test_closing_between_rounds_leaves_no_timer(tmp_path: Path) -> None:
    async def run() -> None:
        async with _reading(tmp_path, 10 * ROUND_WATCHERS_MIN) as (replica, _):
            replica.run(put("a"))
            await _turns()
            replica.run(put("b"))
            timer = replica.partition.hub._round_timer
            assert timer is not None
        assert timer.cancelled()

    asyncio.run(run())


def test_a_time_limit_that_moves_is_kept_by_one_timer(tmp_path: Path) -> None:
    async def run() -> None:
        replica = Replica(tmp_path / "replica")
        hub = replica.partition.hub
        watcher = hub.watch(Scope("pods"), hub.revision, 100)
        async with asyncio.timeout(20):
            assert await watcher.next_batch(0.01) == []
            waiting = asyncio.ensure_future(watcher.next_batch(3600))
            await _turns()
            replica.run(put("a"))
            assert [event.revision for event in await waiting] == [1]
            # An earlier limit than the timer's is kept as well.
            assert await watcher.next_batch(0.01) == []
        watcher.close()
        assert watcher._timer is None
        replica.close()

    asyncio.run(run())

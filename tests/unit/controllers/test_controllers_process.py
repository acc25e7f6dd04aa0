"""The socket of controllers: to connect is to know that they are ready, to ask is to be told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import orjson

from controllers.process import accept_connections
from controllers.workqueue import WorkQueue, queue_figures, run_worker
from runtime import unix_sockets
from runtime.tasks import TaskScope

_S_MAX = 5.0


async def ask(path: Path, question: bytes) -> bytes:
    """Ask at a socket, which may be there in a moment."""
    async with asyncio.timeout(_S_MAX):
        while True:
            try:
                return await unix_sockets.ask(path, question, _S_MAX, 1 << 20)
            except FileNotFoundError:
                await asyncio.sleep(0.01)


def test_who_asks_is_told_and_others_are_let_go(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "some.sock"
        async with TaskScope("test") as scope:
            task = scope.spawn(accept_connections(path, lambda: b"figures"), name="readiness")
            assert await ask(path, b"f") == b"figures"
            assert await ask(path, b"x") == b""
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()  # as whoever looks whether we are ready does
            assert await ask(path, b"f") == b"figures"
            assert path.stat().st_mode & 0o077 == 0
            task.cancel()

    asyncio.run(run())


def test_queues_are_told_of_by_what_their_workers_are_called() -> None:
    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue()
        done = asyncio.Event()

        async def work(key: str) -> float | None:
            if key == "bad":
                raise ValueError(key)
            if key == "last":
                done.set()
            return 60.0 if key == "again" else None

        async with TaskScope("test") as scope:
            tasks = [
                scope.spawn(run_worker(queue, work), name=f"figures of a test {number}")
                for number in range(2)
            ]
            for key in ("good", "bad", "again", "last"):
                queue.add(key)
            await done.wait()
            for task in tasks:
                task.cancel()
        told = queue_figures()["figures of a test"]
        assert told == {"waiting": 0, "delayed": 2, "worked": 4, "failed": 1}
        assert json.loads(orjson.dumps(queue_figures()))

    asyncio.run(run())

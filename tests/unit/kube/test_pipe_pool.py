"""A pool of pipes: its limit, its turns, and connections that end while they lie ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kube.access import Access
from kube.pipe import NobodyListens, Unreachable
from kube.pipe_pool import PipePool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Server:
    """Answers; `answers_max` is after how many a connection is closed without a word."""

    def __init__(self, answers_max: int = 1000) -> None:
        self.answers_max = answers_max
        self.connections = 0
        self.most = self.now = 0
        self.paths: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self.answers_max
        try:
            while line := await reader.readline():
                await reader.readuntil(b"\r\n\r\n")
                if not left:
                    return
                left -= 1
                self.now += 1
                self.most = max(self.most, self.now)
                await asyncio.sleep(0)
                self.now -= 1
                self.paths.append(line.split()[1])
                writer.write(OK)
        finally:
            writer.close()


def _with_pool(
    server: _Server, use: Callable[[PipePool], Awaitable[None]], size_max: int = 2
) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            access = Access(f"http://127.0.0.1:{port}")
            pool = PipePool(access, "test", 5.0, size_max, idle_s=0.02)
            try:
                await use(pool)
            finally:
                pool.close()

    asyncio.run(asyncio.wait_for(run(), 10))


async def _ask(pool: PipePool, method: str, path: str = "/x") -> bytes:
    return (await pool.request(method, path, b"", "", "")).body


def test_no_more_pipes_are_open_than_the_limit_and_turns_are_taken_in_order() -> None:
    server = _Server()

    async def use(pool: PipePool) -> None:
        asked = (_ask(pool, "POST", f"/{number}") for number in range(50))
        assert await asyncio.gather(*asked) == [b"ok"] * 50

    _with_pool(server, use)
    assert (server.connections, server.most) == (2, 2)
    numbers = [int(path[1:]) for path in server.paths]
    assert all(abs(at - number) <= 2 for at, number in enumerate(numbers))


def test_one_that_gives_up_waiting_takes_nobody_elses_turn() -> None:
    async def use(pool: PipePool) -> None:
        first = asyncio.ensure_future(_ask(pool, "POST"))
        gone = asyncio.ensure_future(_ask(pool, "POST"))
        last = asyncio.ensure_future(_ask(pool, "POST"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await asyncio.gather(first, last) == [b"ok", b"ok"]
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await _ask(pool, "POST") == b"ok"

    _with_pool(_Server(), use, size_max=1)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_may_be_repeated_is_sent_again_when_a_connection_ended_meanwhile(method: str) -> None:
    async def use(pool: PipePool) -> None:
        assert await _ask(pool, method) == b"ok"
        assert await _ask(pool, method) == b"ok"

    _with_pool(_Server(answers_max=1), use)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_not_be_repeated_is_not(method: str) -> None:
    async def use(pool: PipePool) -> None:
        assert await _ask(pool, method) == b"ok"
        with pytest.raises(Unreachable):
            await _ask(pool, method)
        assert await _ask(pool, method) == b"ok"

    _with_pool(_Server(answers_max=1), use)


def test_pipes_that_nobody_uses_are_closed_and_made_again() -> None:
    server = _Server()

    async def use(pool: PipePool) -> None:
        await asyncio.gather(_ask(pool, "POST"), _ask(pool, "POST"))
        assert len(pool) == 2
        while len(pool):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        assert await asyncio.gather(_ask(pool, "POST"), _ask(pool, "POST")) == [b"ok", b"ok"]

    _with_pool(server, use)
    assert server.connections == 4


def test_where_nobody_listens_nothing_was_done() -> None:
    async def use(pool: PipePool) -> None:
        with pytest.raises(NobodyListens):
            await _ask(pool, "PUT")

    async def run() -> None:
        server = await asyncio.start_server(_Server().serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await use(PipePool(Access(f"http://127.0.0.1:{port}"), "test", 5.0, 1))

    asyncio.run(run())

"""The connection: kept alive while it is used, closed when it was idle for too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from apiserver.protocol import ApiProtocol, frame, unframe

IDLE_S = 0.4
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def _connected() -> AsyncIterator[
    tuple[asyncio.StreamReader, asyncio.StreamWriter, ServerState]
]:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"ws": "none", "lifespan": "off", "timeout_keep_alive": IDLE_S}
    config = uvicorn.Config(_app, log_config=None, **options)
    state = ServerState()

    def connection() -> ApiProtocol:
        return ApiProtocol(config=config, server_state=state, app_state={}, _loop=loop)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(30):
                yield reader, writer, state
        finally:
            writer.close()
            await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(REQUEST)
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"ok"


def test_a_connection_in_use_outlives_the_idle_limit_and_an_idle_one_does_not() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with _connected() as (reader, writer, state):
            started_s = loop.time()
            while loop.time() < started_s + 2 * IDLE_S:
                await _ask(reader, writer)
            asked_s = loop.time()
            assert await reader.read() == b""
            assert IDLE_S * 0.9 < loop.time() - asked_s < 10 * IDLE_S
            assert not state.connections

    asyncio.run(run())


def test_all_requests_of_a_connection_share_one_idle_timer() -> None:
    async def run() -> None:
        async with _connected() as (reader, writer, state):
            await _ask(reader, writer)
            (connection,) = state.connections
            timer = connection.timeout_keep_alive_task
            assert timer is not None
            await _ask(reader, writer)
            assert connection.timeout_keep_alive_task is timer
            gone = asyncio.Event()
            connection.when_gone(gone.set)
            writer.close()
            await gone.wait()
            assert timer.cancelled()

    asyncio.run(run())


def test_requests_sent_together_are_answered_in_order() -> None:
    async def run() -> None:
        async with _connected() as (reader, writer, _):
            writer.write(REQUEST * 3)
            for _ in range(3):
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"ok"

    asyncio.run(run())


def test_a_framed_chunk_is_taken_apart_again() -> None:
    for chunk in (b"a", b"\r\n", b"x" * 70_000):
        assert unframe(frame(chunk)) == chunk

"""The connection: kept alive while used, closed when idle for too long; headers have limits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from uvicorn.server import ServerState

from apiserver.cycle import frame, unframe
from apiserver.protocol import HEAD_BYTES_MAX, ApiProtocol
from tests.unit.apiserver.serving import served

IDLE_S = 0.4
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    shown = [value for name, value in scope["headers"] if name == b"show"]
    headers = [(b"content-length", b"2"), (b"shown", b",".join(shown))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def _connected() -> AbstractAsyncContextManager[
    tuple[asyncio.StreamReader, asyncio.StreamWriter, ServerState]
]:
    return served(_app, timeout_keep_alive=IDLE_S)


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


def test_what_follows_a_chunked_body_is_no_header() -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: test\r\nShow: header\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\nShow: trailer\r\n\r\n"
    )

    async def run() -> None:
        async with _connected() as (reader, writer, _):
            for _ in range(2):
                writer.write(request)
                assert b"shown: header\r\n" in await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"ok"

    asyncio.run(run())


async def _is_cut_off(start: bytes) -> bool:
    """Send `start` and then headers without end; tell whether the server stops taking them."""
    line = b"a: " + b"b" * 60_000 + b"\r\n"
    async with _connected() as (_, writer, _state):
        writer.write(start)
        try:
            for _ in range(32 * HEAD_BYTES_MAX // len(line)):
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            return True
        return False


def test_endless_headers_are_cut_off() -> None:
    assert asyncio.run(_is_cut_off(b"GET / HTTP/1.1\r\nHost: test\r\n"))


def test_endless_trailers_are_cut_off() -> None:
    start = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    assert asyncio.run(_is_cut_off(start))


def test_headers_just_over_the_limit_get_upstreams_answer() -> None:
    async def run() -> None:
        async with _connected() as (reader, writer, _):
            writer.write(b"GET / HTTP/1.1\r\na: " + b"b" * HEAD_BYTES_MAX)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
            assert b"\r\nconnection: close\r\n" in answer
            assert answer.endswith(b"\r\n\r\n431 Request Header Fields Too Large")

    asyncio.run(run())


def test_a_long_body_is_not_taken_for_headers() -> None:
    async def run() -> None:
        size = 2 * HEAD_BYTES_MAX
        async with _connected() as (reader, writer, _):
            writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(b"x" * size)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")

    asyncio.run(run())


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_connection_that_is_lost_is_free_without_the_garbage_collector(
    *, is_answered: bool
) -> None:
    async def lose() -> weakref.ref[ApiProtocol]:
        async with _connected() as (reader, writer, state):
            await _ask(reader, writer)
            (connection,) = state.connections
            assert isinstance(connection, ApiProtocol)
            gone = asyncio.Event()
            connection.when_gone(gone.set)
            if not is_answered:
                writer.write(REQUEST)
            writer.close()
            await gone.wait()
            return weakref.ref(connection)

    async def run() -> None:
        left = await lose()
        for _ in range(5):
            await asyncio.sleep(0)
        assert left() is None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


def test_who_asks_too_late_hears_at_once_that_the_client_has_gone() -> None:
    async def run() -> None:
        async with _connected() as (reader, writer, state):
            await _ask(reader, writer)
            (connection,) = state.connections
            assert isinstance(connection, ApiProtocol)
            gone, heard = asyncio.Event(), asyncio.Event()
            connection.when_gone(gone.set)
            writer.close()
            await gone.wait()
            connection.when_gone(heard.set)
            assert heard.is_set()
            connection.limit_send_buffer(1 << 16)  # of no effect, and no failure

    asyncio.run(run())

"""One request: its task, what becomes of an app that fails, and bodies that come late."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from apiserver.cycle import Signal
from tests.unit.apiserver.serving import served

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
OK = [(b"content-length", b"2")]


async def _answer(send: Any, body: bytes = b"ok") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": OK})
    await send({"type": "http.response.body", "body": body})


async def _raises(_scope: Any, _receive: Any, _send: Any) -> None:
    raise ValueError("a bug")


async def _says_nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    pass


@pytest.mark.parametrize("app", [_raises, _says_nothing])
def test_an_app_that_does_not_answer_is_a_500_and_the_end_of_the_connection(app: Any) -> None:
    async def run() -> None:
        async with served(app) as (reader, writer, state):
            writer.write(GET)
            told = await reader.read()
            assert told.startswith(b"HTTP/1.1 500 ")
            assert b"Internal Server Error" in told
            assert not state.tasks

    asyncio.run(run())


def test_an_app_that_fails_in_the_middle_of_its_answer_breaks_the_connection() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"9")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise ValueError("a bug")

    async def run() -> None:
        async with served(app) as (reader, writer, state):
            writer.write(GET)
            told = await reader.read()
            assert told.startswith(b"HTTP/1.1 200 ")
            assert b"500" not in told
            assert not state.tasks

    asyncio.run(run())


def test_a_body_that_comes_late_is_waited_for_and_pipelined_requests_keep_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        await _answer(send, body or scope["path"].encode())

    async def run() -> None:
        async with served(app) as (reader, writer, state):
            writer.write(b"POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(0.02)
            assert len(state.tasks) == 1
            writer.write(b"x")
            await asyncio.sleep(0.02)
            writer.write(b"y" + GET.replace(b"/ ", b"/b ") + GET.replace(b"/ ", b"/c "))
            bodies = []
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n")
                bodies.append(await reader.readexactly(2))
            assert bodies == [b"xy", b"/b", b"/c"]
            await asyncio.sleep(0)
            assert not state.tasks

    asyncio.run(run())


def test_a_signal_is_kept_for_who_comes_later_and_wakes_who_waits() -> None:
    async def run() -> None:
        signal = Signal()
        signal.set()
        signal.set()
        await signal.wait()
        signal.clear()
        waiting = asyncio.create_task(signal.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        signal.set()
        signal.set()
        await waiting
        signal.clear()
        cancelled = asyncio.create_task(signal.wait())
        await asyncio.sleep(0)
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled
        signal.set()
        await signal.wait()

    asyncio.run(run())

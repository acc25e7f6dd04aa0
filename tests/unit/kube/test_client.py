"""The HTTP client: what becomes of answers that are no success."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from kube.access import Access
from kube.client import ApiClient, ClientLimits, Unreachable
from kube.status import StatusError

GONE = {"kind": "Status", "code": 404, "reason": "NotFound", "message": 'pods "a" not found'}
BUSY = {"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "later"}
LIMITS = ClientLimits(retries_max=2, pause_s_min=0.001, pause_s_max=0.01)


def _answer(code: int, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


@asynccontextmanager
async def _client_of(answers: Sequence[bytes]) -> AsyncIterator[tuple[ApiClient, list[bytes]]]:
    """Run a server that gives these answers in turn; yield a client and what it sent."""
    left, asked = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked.append(line)
            await reader.readuntil(b"\r\n\r\n")
            if not left:
                break
            writer.write(left.pop(0))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with ApiClient(Access(f"http://127.0.0.1:{port}"), limits=LIMITS) as client:
            yield client, asked


def _refusal_of(*answers: bytes) -> tuple[StatusError, int]:
    """Return how a GET is refused after these answers, and how often it was sent."""

    async def run() -> tuple[StatusError, int]:
        async with _client_of(answers) as (client, asked):
            with pytest.raises(StatusError) as refused:
                await client.request("GET", "/api/v1/pods/a")
            return refused.value, len(asked)

    return asyncio.run(run())


def test_a_refusal_is_the_status_that_was_sent() -> None:
    error, sent = _refusal_of(_answer(404, GONE))
    assert (error.code, error.reason, error.message) == (404, "NotFound", GONE["message"])
    assert sent == 1


def test_a_refusal_without_a_status_shows_its_text() -> None:
    error, _ = _refusal_of(_answer(400, b"400 Bad Request"))
    assert (error.code, error.message) == (400, "400 Bad Request")


def test_a_refusal_that_says_when_to_come_back_is_retried_so_often() -> None:
    busy = _answer(429, BUSY, "Retry-After: 0")
    error, sent = _refusal_of(busy, busy, busy, busy)
    assert (error.code, sent) == (429, 3)


def test_a_busy_server_that_does_not_say_when_is_not_asked_again() -> None:
    error, sent = _refusal_of(_answer(429, BUSY), _answer(200, {}))
    assert (error.code, sent) == (429, 1)


def test_a_retry_that_succeeds_is_the_answer() -> None:
    async def run() -> None:
        answers = [_answer(503, b"starting", "Retry-After: 1"), _answer(200, {"kind": "Pod"})]
        async with _client_of(answers) as (client, asked):
            assert await client.request("GET", "/api/v1/pods/a") == {"kind": "Pod"}
            assert len(asked) == 2

    asyncio.run(run())


@pytest.mark.parametrize("answers", [[], [_answer(200, b"{")], [_answer(200, b"[]")]])
def test_an_answer_that_does_not_come_or_is_none_leaves_the_outcome_open(
    answers: list[bytes],
) -> None:
    async def run() -> None:
        async with _client_of(answers) as (client, _):
            with pytest.raises(Unreachable):
                await client.request("POST", "/api/v1/pods", {})

    asyncio.run(run())


def test_a_server_that_is_gone_without_a_word_is_noticed() -> None:
    async def run() -> None:
        async with _client_of([_answer(200, {})]) as (client, _):
            await client.request("GET", "/api/v1/pods/a")
            assert client._session is not None
            pool = client._session.connector._conns
            ((kept, *_),) = pool.values()
            sock = kept[0].transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60

    asyncio.run(run())


def test_an_answer_that_nobody_reads_is_let_go_by_and_a_refusal_is_not() -> None:
    async def run() -> None:
        answers = [_answer(200, b"no JSON at all"), _answer(404, GONE)]
        async with _client_of(answers) as (client, _):
            await client.send("DELETE", "/api/v1/pods", {})
            with pytest.raises(StatusError, match="not found"):
                await client.send("DELETE", "/api/v1/pods", {})

    asyncio.run(run())

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
        try:
            while line := await reader.readline():
                asked.append(line)
                await reader.readuntil(b"\r\n\r\n")
                if not left:
                    break
                writer.write(left.pop(0))
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with ApiClient(Access(f"http://127.0.0.1:{port}"), limits=LIMITS) as client:
            yield client, asked


METHODS = ("GET", "POST")
"""Reads and writes go by connections of different kinds."""


def _refusal_of(method: str, *answers: bytes) -> tuple[StatusError, int]:
    """Return how a request is refused after these answers, and how often it was sent."""

    async def run() -> tuple[StatusError, int]:
        async with _client_of(answers) as (client, asked):
            with pytest.raises(StatusError) as refused:
                await client.request(method, "/api/v1/pods/a")
            return refused.value, len(asked)

    return asyncio.run(run())


@pytest.mark.parametrize("method", METHODS)
def test_a_refusal_is_the_status_that_was_sent(method: str) -> None:
    error, sent = _refusal_of(method, _answer(404, GONE))
    assert (error.code, error.reason, error.message) == (404, "NotFound", GONE["message"])
    assert sent == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_refusal_without_a_status_shows_its_text(method: str) -> None:
    error, _ = _refusal_of(method, _answer(400, b"400 Bad Request"))
    assert (error.code, error.message) == (400, "400 Bad Request")


@pytest.mark.parametrize("method", METHODS)
def test_a_refusal_that_says_when_to_come_back_is_retried_so_often(method: str) -> None:
    busy = _answer(429, BUSY, "Retry-After: 0")
    error, sent = _refusal_of(method, busy, busy, busy, busy)
    assert (error.code, sent) == (429, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_busy_server_that_does_not_say_when_is_not_asked_again(method: str) -> None:
    error, sent = _refusal_of(method, _answer(429, BUSY), _answer(200, {}))
    assert (error.code, sent) == (429, 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_retry_that_succeeds_is_the_answer(method: str) -> None:
    async def run() -> None:
        answers = [_answer(503, b"starting", "Retry-After: 1"), _answer(200, {"kind": "Pod"})]
        async with _client_of(answers) as (client, asked):
            assert await client.request(method, "/api/v1/pods/a") == {"kind": "Pod"}
            assert len(asked) == 2

    asyncio.run(run())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answers", [[], [_answer(200, b"{")], [_answer(200, b"[]")]])
def test_an_answer_that_does_not_come_or_is_none_leaves_the_outcome_open(
    answers: list[bytes], method: str
) -> None:
    async def run() -> None:
        async with _client_of(answers) as (client, _):
            with pytest.raises(Unreachable):
                await client.request(method, "/api/v1/pods", {})

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


def test_a_write_is_tried_again_until_somebody_listens() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_answer(201, {"kind": "Pod"}, "Connection: close"))
        writer.close()

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        limits = ClientLimits(retries_max=100, pause_s_min=0.01, pause_s_max=0.01)
        async with ApiClient(Access(f"http://127.0.0.1:{port}"), limits=limits) as client:
            asked = asyncio.ensure_future(client.request("POST", "/api/v1/pods", {}))
            await asyncio.sleep(0)
            async with await asyncio.start_server(serve, "127.0.0.1", port):
                assert await asked == {"kind": "Pod"}
        few = ClientLimits(retries_max=1, pause_s_min=0.001)
        async with ApiClient(Access(f"http://127.0.0.1:{port}"), limits=few) as client:
            with pytest.raises(Unreachable, match="POST /api/v1/pods: no connection"):
                await client.request("POST", "/api/v1/pods", {})

    asyncio.run(run())


def test_a_write_that_is_not_answered_in_time_ends_and_its_connection_is_not_used_again() -> None:
    async def run() -> None:
        connections = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            try:
                await reader.readuntil(b"\r\n\r\n")
                if len(connections) > 1:
                    writer.write(_answer(200, {"n": len(connections)}))
                await reader.read()
            except ConnectionResetError:
                pass  # how the client goes when it waits no longer
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            access = Access(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            async with ApiClient(access, limits=LIMITS) as client:
                with pytest.raises(Unreachable, match="no answer within"):
                    await client.request("PATCH", "/x", {}, timeout_s=0.05)
                assert await client.request("PATCH", "/x", {}) == {"n": 2}

    asyncio.run(run())


class _Token:
    def __init__(self) -> None:
        self.token = "t0"

    def refused(self) -> None:
        self.token = "t1"


def test_a_write_says_the_token_of_now_and_everything_is_encoded_as_urls_want_it() -> None:
    async def run() -> list[bytes]:
        heads = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in (_answer(401, b"no"), _answer(200, {})):
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            access = Access(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token="old")
            async with ApiClient(access, limits=LIMITS, credential=_Token()) as client:
                with pytest.raises(StatusError):
                    await client.request("POST", "/a b/ü", query={"fieldManager": "x&y z"})
                await client.request("POST", "/a:b%20c", accept="application/x")
        return heads

    first, second = asyncio.run(run())
    assert first.startswith(b"POST /a%20b/%C3%BC?fieldManager=x%26y%20z HTTP/1.1\r\n")
    assert second.startswith(b"POST /a:b%20c HTTP/1.1\r\n")
    assert b"Bearer t0\r\n" in first
    assert b"Bearer t1\r\n" in second
    assert b"Accept: application/x\r\n" in second
    assert b"old" not in first + second
    assert b"Content-Type" not in first

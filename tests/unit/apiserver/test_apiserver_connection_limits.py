"""What a connection does not put up with: half requests, endless heads, answers not taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from apiserver.protocol import HEAD_BYTES_MAX, ApiProtocol

LIMIT_S = 0.3
LARGE = 16 << 20
CHUNK = b"x" * (128 << 10)
HEAD = b"POST /a HTTP/1.1\r\nHost: test\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


class Impatient(ApiProtocol):
    """A connection whose patience a test can wait for."""

    read_timeout_s = LIMIT_S
    write_timeout_s = LIMIT_S


class App:
    """Answers with the body and notes what it was asked.

    `/slow` waits until told to go on, `/large` has an answer of its own, `/endless` never ends.
    """

    def __init__(self) -> None:
        self.heads: list[list[tuple[bytes, bytes]]] = []
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if message["type"] != "http.request":
            return
        self.heads.append(list(scope["headers"]))
        self.asked.set()
        if scope["path"] == "/slow":
            await self.go_on.wait()
        if scope["path"] == "/large":
            body = b"b" * LARGE
        endless = scope["path"] == "/endless"
        headers = [] if endless else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        (connection,) = scope["extensions"].values()
        connection.when_gone(self.ended.set)
        while endless and not self.ended.is_set():
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": body})


class Client:
    """A connection to the app."""

    def __init__(self, app: App, state: ServerState, streams: tuple[Any, Any]) -> None:
        self.app = app
        self.state = state
        self.reader: asyncio.StreamReader = streams[0]
        self.writer: asyncio.StreamWriter = streams[1]

    async def rest(self) -> bytes:
        """Return what comes until the server closes or resets the connection."""
        received = b""
        try:
            while part := await self.reader.read(1 << 20):
                received += part
        except ConnectionResetError:
            pass
        return received


@asynccontextmanager
async def _connected(*, idle_s: float = 30.0, read_s: float = LIMIT_S) -> AsyncIterator[Client]:
    loop = asyncio.get_running_loop()
    app, state = App(), ServerState()
    options: dict[str, Any] = {"ws": "none", "lifespan": "off", "timeout_keep_alive": idle_s}
    config = uvicorn.Config(app, log_config=None, **options)

    def connection() -> ApiProtocol:
        protocol = Impatient(config, state, {}, loop)
        protocol.read_timeout_s = read_s
        return protocol

    server = await loop.create_server(connection, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        streams = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        try:
            async with asyncio.timeout(30):
                yield Client(app, state, streams)
        finally:
            streams[1].close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n\r\n",
        b"PO",
        HEAD[:-2],
        HEAD + b"Content-Length: 9\r\n",
        HEAD + b"Content-Length: 9\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"0\r\nX: y",
    ],
)
def test_a_request_that_is_not_whole_in_time_is_closed_without_an_answer(sent: bytes) -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(sent)
            assert await client.rest() == b""
            assert not client.app.heads
            await asyncio.sleep(0)
            assert not client.state.connections

    asyncio.run(run())


def test_bytes_that_drip_do_not_stretch_the_time_for_a_request() -> None:
    async def run() -> None:
        async with _connected() as client:
            closed = asyncio.ensure_future(client.rest())
            for byte in HEAD * 1_000:
                client.writer.write(bytes([byte]))
                await asyncio.wait([closed], timeout=LIMIT_S / 10)
                if closed.done():
                    break
            assert closed.done()
            assert await closed == b""

    asyncio.run(run())


def test_blank_lines_do_not_keep_an_idle_connection_open() -> None:
    async def run() -> None:
        async with _connected(idle_s=LIMIT_S) as client:
            client.writer.write(HEAD + b"Content-Length: 2\r\n\r\nok\r\n\r\n")
            assert (await client.rest()).endswith(b"ok")
            assert not client.state.connections

    asyncio.run(run())


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        HEAD + b"X: ",
        CHUNKED + b"0\r\nX: ",
        CHUNKED + b"1;",
    ],
)
def test_a_head_or_trailer_without_end_is_refused_with_431(start: bytes) -> None:
    async def run() -> None:
        async with _connected(read_s=30.0) as client:
            client.writer.write(start + b"a" * (HEAD_BYTES_MAX + (256 << 10)))
            received = await client.rest()
            assert received.startswith(b"HTTP/1.1 431 ")
            assert received.endswith(b"\r\n\r\n431 Request Header Fields Too Large")
            assert not client.app.heads

    asyncio.run(run())


def test_a_large_body_is_no_large_head() -> None:
    async def run() -> None:
        async with _connected(read_s=30.0) as client:
            body = b"b" * (2 * HEAD_BYTES_MAX)
            head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            client.writer.write(head + body)
            assert (await client.rest()).endswith(body)

    asyncio.run(run())


def test_trailers_do_not_become_headers() -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(
                HEAD
                + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"2\r\nok\r\n0\r\nImpersonate-User: root\r\n\r\n"
            )
            assert (await client.rest()).endswith(b"ok")
            ((*names,),) = [[name for name, _ in head] for head in client.app.heads]
            assert names == [b"host", b"connection", b"transfer-encoding"]

    asyncio.run(run())


def test_what_follows_a_request_and_is_none_does_not_answer_it() -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(
                b"POST /slow HTTP/1.1\r\nContent-Length: 2\r\n\r\nok" + b"\0 no request\r\n\r\n"
            )
            await client.app.asked.wait()
            client.app.go_on.set()
            received = await client.rest()
            assert received.startswith(b"HTTP/1.1 200 ")
            assert received.endswith(b"ok")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET /\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505 HTTP Version Not Supported"),
        (b"GET /%zz HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (HEAD + b"Expect: miracles\r\n\r\n", b"417 Expectation Failed"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", b"400 Bad Request"),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400 Bad Request"),
        (HEAD + b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\na", b"400 "),
    ],
)
def test_a_request_that_http_forbids_reaches_no_verb(head: bytes, answer: bytes) -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(head)
            received = await client.rest()
            assert received.startswith(b"HTTP/1.1 " + answer)
            assert not client.app.heads

    asyncio.run(run())


@pytest.mark.parametrize("more", [b"", b"Content-Length: 0\r\n"])
def test_an_upgrade_that_is_not_granted_closes_the_connection_after_the_answer(
    more: bytes,
) -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + more + b"\r\n")
            received = await client.rest()
            assert received.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in received

    asyncio.run(run())


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
            await client.app.ended.wait()
            assert not client.state.connections

    asyncio.run(run())


def test_a_closing_connection_does_not_wait_for_its_client_for_ever() -> None:
    async def run() -> None:
        async with _connected() as client:
            client.writer.write(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
            await client.app.ended.wait()
            assert len(await client.rest()) < LARGE

    asyncio.run(run())


def test_a_slow_client_that_goes_on_reading_is_not_cut_off() -> None:
    async def run() -> None:
        async with _connected() as client:
            loop = asyncio.get_running_loop()
            client.writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
            ends_s = loop.time() + 4 * LIMIT_S
            while loop.time() < ends_s:
                await client.reader.readexactly(256 << 10)
                await asyncio.sleep(LIMIT_S / 10)
            assert not client.app.ended.is_set()

    asyncio.run(run())

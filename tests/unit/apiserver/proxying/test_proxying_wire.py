"""HTTP/1.1 towards backends: heads, bodies, failures, and connections that are used again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from apiserver.proxying.wire import HEAD_BYTES_MAX, Address, BackendFailed, Backends
from apiserver.simulated import SimulatedNetworks

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def _with_server(serve: Serve, use: Callable[[Address], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        served: list[asyncio.Future[None]] = []

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ended = asyncio.get_running_loop().create_future()
            served.append(ended)
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await serve(reader, writer)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                ended.set_result(None)

        server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(10):
                await use(Address("127.0.0.1", port))
                await asyncio.gather(*served)
        finally:
            server.close()

    asyncio.run(run())


def _answering(*answers: bytes) -> Serve:
    """Answer each request of a connection in turn, then close it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return serve


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["length", "chunks after an interim answer", "until it closes", "none"],
)
def test_a_body_is_read_however_it_is_framed(answer: bytes, body: bytes) -> None:
    async def use(address: Address) -> None:
        connection = await Backends().dial(address)
        await connection.send(b"GET", _ASK)
        head = await connection.head()
        assert head.code in (200, 204)
        assert await connection.body(100) == body
        connection.abort()

    _with_server(_answering(answer), use)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "EOF"),
        (b"HTTP/1.1 200 OK\r\nA: b", "unexpected EOF"),
        (b"SSH-2.0-server\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * (HEAD_BYTES_MAX + 9), "exceeded 1048576 bytes"),
    ],
    ids=["nothing", "half a head", "another protocol", "half a body", "a head without end"],
)
def test_what_is_no_whole_answer_is_a_failure(answer: bytes, text: str) -> None:
    async def use(address: Address) -> None:
        connection = await Backends().dial(address)
        await connection.send(b"GET", _ASK)

        async def read() -> None:
            await connection.head()
            await connection.body(100)

        with pytest.raises(BackendFailed, match=text):
            await read()
        connection.abort()

    _with_server(_answering(answer), use)


def test_the_length_of_an_answer_to_head_is_no_body() -> None:
    async def use(address: Address) -> None:
        backends = Backends()
        connection = await backends.dial(address)
        await connection.send(b"HEAD", b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await connection.head()).value(b"content-length") == b"3"
        assert await connection.body(100) == b""
        backends.release(connection)
        assert backends.idle(address) is None

    _with_server(_answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), use)


def test_a_granted_upgrade_gives_what_follows_its_head() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"

    async def use(address: Address) -> None:
        connection = await Backends().dial(address)
        await connection.send(b"GET", _ASK)
        assert (await connection.head()).code == 101
        assert connection.upgraded == b"early"
        assert not connection.is_reusable
        connection.abort()

    _with_server(_answering(head + b"early"), use)


def test_a_connection_is_used_again_only_after_a_whole_answer() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"

    async def use(address: Address) -> None:
        backends = Backends()
        first = await backends.dial(address)
        await first.send(b"GET", _ASK)
        await first.head()
        await first.body(100)
        backends.release(first)
        assert backends.idle(address) is first
        await first.send(b"GET", _ASK)
        await first.head()
        backends.release(first)  # its body was not read
        assert backends.idle(address) is None

    _with_server(_answering(whole, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), use)


def test_an_idle_connection_that_the_backend_has_closed_is_not_given_out() -> None:
    async def use(address: Address) -> None:
        backends = Backends()
        connection = await backends.dial(address)
        await connection.send(b"GET", _ASK)
        await connection.head()
        await connection.body(100)
        backends.release(connection)
        assert await connection.reader.read() == b""  # it has closed it
        assert backends.idle(address) is None

    _with_server(_answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), use)


def test_a_backend_that_does_not_listen_is_refused_in_gos_words() -> None:
    async def run() -> None:
        with pytest.raises(BackendFailed) as caught:
            await Backends().dial(Address("127.0.0.1", 1))
        assert str(caught.value) == "dial tcp 127.0.0.1:1: connect: connection refused"

    asyncio.run(run())


@pytest.mark.parametrize(("host", "shown"), [("10.128.0.7", "10.128.0.7"), ("::1", "[::1]")])
def test_nobody_is_dialled_where_pods_are_simulated(host: str, shown: str) -> None:
    async def run() -> None:
        backends = Backends(SimulatedNetworks(("10.128.0.0/9", "::/64")))
        with pytest.raises(BackendFailed) as caught:
            await backends.dial(Address(host, 80))
        assert str(caught.value) == f"dial tcp {shown}:80: connect: connection refused"

    asyncio.run(run())


def test_names_and_addresses_of_others_are_dialled() -> None:
    networks = SimulatedNetworks(("10.128.0.0/9",))
    for host in ("10.127.0.1", "::1", "localhost", "10.128.0.7.example"):
        networks.check(host, 80)


def test_what_follows_a_whole_answer_is_dropped_with_its_connection() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nSet-Cookie: evil\r\n\r\nevil"

    async def use(address: Address) -> None:
        backends = Backends()
        connection = await backends.dial(address)
        await connection.send(b"GET", _ASK)
        head = await connection.head()
        assert not head.value(b"set-cookie")
        assert await connection.body(100) == b"abc"
        backends.release(connection)
        assert backends.idle(address) is None

    _with_server(_answering(whole + stray), use)


@pytest.mark.parametrize("address", [Address("127.0.0.1", 70_000), Address("a b\0", 1)])
def test_an_address_that_is_none_is_a_failure(address: Address) -> None:
    async def run() -> None:
        with pytest.raises(BackendFailed, match="dial tcp"):
            await Backends().dial(address)

    asyncio.run(run())

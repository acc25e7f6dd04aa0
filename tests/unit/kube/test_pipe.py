"""A pipe: answers in pieces, in a row, and what is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kube.access import Access
from kube.client import Unreachable
from kube.pipe import NobodyListens, Pipe

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _ask(answerer: Answerer, count: int = 1) -> list[tuple[int, bytes, float]]:
    async def run() -> list[tuple[int, bytes, float]]:
        server = await asyncio.start_server(answerer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            pipe = Pipe(Access(f"http://127.0.0.1:{port}", token="t"), "test")
            try:
                return [
                    tuple(await pipe.request("PUT", "/x", b"body", "text/plain"))
                    for _ in range(count)
                ]
            finally:
                pipe.close()

    return asyncio.run(asyncio.wait_for(run(), 10))


def test_a_pipe_takes_answers_in_any_pieces_and_is_used_again() -> None:
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        try:
            for code in (b"201", b"409"):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Authorization: Bearer t" in head
                assert await reader.readexactly(4) == b"body"
                text = b"HTTP/1.1 %b X\r\nContent-Length: 3\r\nRetry-After: 2\r\n\r\nabc" % code
                for at in range(len(text)):
                    writer.write(text[at : at + 1])
                    await writer.drain()
        finally:
            writer.close()

    assert _ask(answer, 2) == [(201, b"abc", 2.0), (409, b"abc", 2.0)]
    assert len(connections) == 1


def test_a_pipe_by_a_socket_waits_for_its_server_as_for_any(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def run() -> None:
        path = tmp_path / "s"
        pipe = Pipe(Access("http://localhost", token="t", socket=str(path)), "test")
        with pytest.raises(NobodyListens, match=str(path)):
            await pipe.request("PUT", "/x", b"body", "text/plain")
        async with await asyncio.start_unix_server(answer, path):
            assert (await pipe.request("PUT", "/x", b"body", "text/plain")).body == b"ok"
        pipe.close()
        with pytest.raises(NobodyListens):  # it has left its socket behind
            await pipe.request("PUT", "/x", b"body", "text/plain")

    asyncio.run(asyncio.wait_for(run(), 10))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_unreachable(text: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(text)
        writer.close()

    with pytest.raises(Unreachable):
        _ask(answer)


def test_a_pipe_takes_chunks_and_what_is_said_in_between() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        writer.close()

    assert _ask(answer) == [(200, b"abcde", -1.0)]

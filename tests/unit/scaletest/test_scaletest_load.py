"""Writes that are many: what is sent again, what counts as an error, against a server of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from kube.access import Access
from kube.client import ApiClient
from runtime.clock import SystemClock
from scaletest.load import Errors, Load, Write

Answers = Callable[[str, str, int], tuple[int, str]]


@asynccontextmanager
async def _server(answers: Answers) -> Any:
    """Serve HTTP by a function of method, path and how often both were asked; gives an access."""
    asked: dict[tuple[str, str], int] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                length = int(head.lower().partition("content-length:")[2].split()[0])
                await reader.readexactly(length)
                times = asked[method, path] = asked.get((method, path), 0) + 1
                code, headers = answers(method, path, times)
                if not code:
                    return
                writer.write(
                    f"HTTP/1.1 {code} X\r\n{headers}Content-Length: 2\r\n\r\n{{}}".encode()
                )
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Access(f"http://127.0.0.1:{port}", token="t")


def _send(answers: Answers, writes: list[Write], connections: int = 3) -> tuple[int, Errors]:
    errors = Errors()
    seen: list[int] = []

    async def send() -> int:
        async with _server(answers) as access:
            load = Load(access, SystemClock(), errors, connections)
            return await load.send(iter(writes), seen.append)

    done = asyncio.run(send())
    assert seen == list(range(1, done + 1))
    return done, errors


def _creates(count: int) -> list[Write]:
    return [Write("POST", f"/things/{number}", b"{}") for number in range(count)]


def test_all_writes_are_sent_once() -> None:
    done, errors = _send(
        lambda _method, _path, times: (201 if times == 1 else 500, ""), _creates(50)
    )
    assert (done, errors.total) == (50, 0)


def test_what_is_refused_for_the_moment_is_sent_again_and_is_no_error() -> None:
    done, errors = _send(
        lambda _method, _path, times: (429, "Retry-After: 0\r\n") if times == 1 else (201, ""),
        _creates(3),
    )
    assert (done, errors.total, errors.deliberate) == (3, 0, 3)


def test_a_write_whose_answer_was_lost_may_be_there_already() -> None:
    done, errors = _send(
        lambda _method, _path, times: (0, "") if times == 1 else (409, ""), _creates(2)
    )
    assert (done, errors.total) == (2, 0)
    gone = [Write("DELETE", "/things/1")]
    assert _send(lambda _method, _path, _times: (404, ""), gone)[0] == 1


def test_a_refusal_is_an_error_and_is_not_repeated() -> None:
    writes = [Write("POST", "/api/v1/nodes", b"{}")] * 4
    done, errors = _send(
        lambda _method, _path, times: (403, "") if times <= 4 else (201, ""), writes
    )
    assert done == 0
    assert dict(errors.counts) == {"POST nodes: 403 {}": 4}


def test_kinds_of_errors_are_kept_within_bounds() -> None:
    errors = Errors()
    for number in range(10_000):
        errors.add(f"error {number}")
    assert errors.total == 10_000
    assert len(errors.counts) == Errors.KINDS_MAX + 1


def test_writes_are_asked_for_as_connections_are_free() -> None:
    """Millions of writes must not stand in memory."""
    made = 0
    most_ahead = 0
    sent = 0

    def answers(_method: str, _path: str, _times: int) -> tuple[int, str]:
        nonlocal sent
        sent += 1
        return 201, ""

    def writes() -> Iterator[Write]:
        nonlocal made, most_ahead
        for write in _creates(100):
            made += 1
            most_ahead = max(most_ahead, made - sent)
            yield write

    async def send() -> None:
        async with _server(answers) as access:
            await Load(access, SystemClock(), Errors(), 4).send(writes(), lambda _done: None)

    asyncio.run(send())
    assert made == 100
    assert most_ahead <= 5


def test_a_long_answer_is_let_go_by_and_its_size_is_said() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = orjson.dumps({"items": ["x" * 1000] * 1000})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def run() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with ApiClient(Access(f"http://127.0.0.1:{port}")) as client:
                return await client.skim("/api/v1/pods", {"limit": "5"})

    assert asyncio.run(run()) == 1_003_011

"""Answers made part by part: what is still to be made, and clients who go before the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from apiserver.exchange import ClientGone, Exchange
from apiserver.parts import Part, respond_parts
from runtime.clock import SystemClock
from runtime.turns import Turns

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "http_version": "1.1",
    "query_string": b"",
    "headers": [],
}


async def _answer(parts: Iterator[Part], connection: Any = None) -> bytes:
    """Drive an answer under a plain ASGI server, and return its body."""
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    extensions = {"ultraplane.protocol": connection} if connection is not None else {}
    exchange = Exchange({**SCOPE, "extensions": extensions}, receive, send, 1)
    server: Any = SimpleNamespace(clock=SystemClock(), list_steps=Turns(1))
    await respond_parts(server, exchange, b"text/plain", parts)
    return b"".join(sent)


def test_parts_still_to_be_made_come_in_their_order_from_a_thread() -> None:
    threads: list[threading.Thread] = []

    def late() -> bytes:
        threads.append(threading.current_thread())
        return b"late"

    assert asyncio.run(_answer(iter([b"a", late, b"b", late]))) == b"alateblate"
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("part", [b"", b"x" * 50_000, lambda: b""])
def test_work_for_a_client_that_has_gone_ends(part: Part) -> None:
    connection = SimpleNamespace(is_lost=False)
    taken = 0

    def parts() -> Iterator[Part]:
        nonlocal taken
        while True:
            taken += 1
            assert taken < 10, "nobody is left to be answered"
            connection.is_lost = taken == 3
            yield b""
            yield part

    with pytest.raises(ClientGone):
        asyncio.run(_answer(parts(), connection))
    assert taken == 3

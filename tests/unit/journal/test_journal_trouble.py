"""Trouble on one side of a connection stays there: unreadable files, deaf or brief services."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from journal import client, client_session, stream_log
from journal.client import JournalClient
from journal.engine import Limits
from journal.errors import JournalError
from journal.protocol import PROTOCOL_VERSION, READ, WELCOME, Kind, encode
from runtime.clock import SystemClock
from tests.contract.journal_suite.harness import key
from tests.unit.journal.service_setup import raw_connection, running_service, until


class HastyClock(SystemClock):
    """Notes how long it was to sleep, and does not."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def fake_service(address: str, *, welcomes: bool, hangs_up: bool) -> AsyncIterator[None]:
    """Accept connections, answer HELLO or not, then hang up, or read nothing more."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(11)
        if welcomes:
            writer.write(encode(Kind.WELCOME, WELCOME.pack(PROTOCOL_VERSION, 8 << 20)))
        if hangs_up:
            writer.close()

    server = await asyncio.start_unix_server(serve, address.removeprefix("unix:"), limit=1024)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def test_a_file_that_can_not_be_read_fails_its_reader_and_not_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, offset: int, length: int) -> bytes:
        raise OSError(5, os.strerror(5))

    async def run() -> None:
        limits = Limits(tail_cache_bytes=1)
        async with (
            running_service(tmp_path, limits) as setup,
            JournalClient(setup.address) as journal,
        ):
            for _ in range(3):
                await journal.append("pods", [bytes(100)], key())
            with monkeypatch.context() as patched:
                patched.setattr(stream_log, "read_bytes", broken)
                async with asyncio.timeout(10), aclosing(journal.read("pods", 1)) as reading:
                    with pytest.raises(JournalError, match=r"reading .*/pods/0+1\.log at byte 256"):
                        await anext(reading)
            assert setup.service.scope.crash is None
            async with asyncio.timeout(10), aclosing(journal.read("pods", 1)) as reading:
                assert (await anext(reading))[0].first_sequence == 1

    asyncio.run(run())


def test_stopping_while_a_reader_is_blocked_starts_nothing_for_it(tmp_path: Path) -> None:
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: complaints.append(context)
        )
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            for _ in range(4):
                await setup.engine.append("pods", [bytes(4 << 20)], key())
            await raw.greet()
            raw.send(Kind.READ, READ.pack(1, 1, 1 << 31) + b"pods")
            (connection,) = setup.service._connections
            await until(lambda: not connection.writable)
            stopping = asyncio.ensure_future(setup.service.stop())
            while await raw.receive() is not None:
                pass
            await stopping

    asyncio.run(run())
    assert complaints == []


def test_a_service_that_hangs_up_again_and_again_is_not_hammered(tmp_path: Path) -> None:
    """Each attempt sends everything unanswered: pauses grow though connecting succeeds."""

    async def run() -> None:
        clock = HastyClock()
        address = f"unix:{tmp_path}/s"
        async with (
            fake_service(address, welcomes=True, hangs_up=True),
            JournalClient(address, clock=clock) as journal,
        ):
            await until(lambda: journal.connections >= 10)
        assert clock.pauses_s[0] <= client.BACKOFF_SECONDS_MIN
        assert clock.pauses_s[8] >= client.BACKOFF_SECONDS_MAX / 2

    asyncio.run(run())


def test_what_a_deaf_service_does_not_take_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that passed its deadline leaves the budget, but not the socket's buffer."""
    monkeypatch.setattr(client_session, "UNSENT_BYTES_MAX", 4 << 20)

    async def run() -> None:
        address = f"unix:{tmp_path}/s"
        async with (
            fake_service(address, welcomes=True, hangs_up=False),
            JournalClient(address, deadline_s=0.01) as journal,
        ):
            await journal.wait_connected()
            given_up = [journal.submit("pods", [bytes(1 << 20)], key()) for _ in range(8)]
            await until(lambda: journal.connections == 2)
            await asyncio.gather(*given_up, return_exceptions=True)

    asyncio.run(run())


def test_a_service_that_never_greets_is_left_without_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS_MAX", 0.01)
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: complaints.append(context)
        )
        clock = HastyClock()
        address = f"unix:{tmp_path}/s"
        async with (
            fake_service(address, welcomes=False, hangs_up=False),
            JournalClient(address, clock=clock),
        ):
            await until(lambda: len(clock.pauses_s) >= 3)
        gc.collect()

    asyncio.run(run())
    assert complaints == []

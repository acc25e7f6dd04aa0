"""A service over a disk whose fsync can be held, and raw connections to it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from journal.disk import Environment, FileOps
from journal.engine import Limits
from journal.local import LocalEngine
from journal.protocol import HELLO, HELLO_MAGIC, PROTOCOL_VERSION, FrameSplitter, Kind, encode
from journal.service import JournalService, serve


@dataclass
class Setup:
    """A running service.

    Attributes:
        gate: while cleared, fsyncs wait.
    """

    service: JournalService
    engine: LocalEngine
    address: str
    gate: threading.Event


@asynccontextmanager
async def running_service(directory: Path, limits: Limits | None = None) -> AsyncIterator[Setup]:
    """Serve an engine in `directory`."""
    gate = threading.Event()
    gate.set()

    def sync(descriptor: int) -> None:
        assert gate.wait(20)
        os.fdatasync(descriptor)

    environment = Environment(limits or Limits(), ops=FileOps(sync=sync))
    engine = await LocalEngine.open(directory / "data", environment)
    address = f"unix:{directory}/s"
    service = await serve(engine, address)
    try:
        yield Setup(service, engine, address, gate)
    finally:
        gate.set()
        async with asyncio.timeout(20):
            await service.stop()
            await engine.close()


class RawConnection:
    """Speaks frames, without the client's help."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._splitter = FrameSplitter()
        self._frames: list[tuple[int, bytes]] = []

    def send(self, kind: int, payload: bytes) -> None:
        """Send one frame."""
        self.writer.write(encode(Kind(kind), payload))

    async def receive(self) -> tuple[int, bytes] | None:
        """Return the next frame, None at the connection's end."""
        while not self._frames:
            async with asyncio.timeout(10):
                data = await self._reader.read(65536)
            if not data:
                return None
            self._frames += self._splitter.feed(data)
        return self._frames.pop(0)

    async def greet(self) -> None:
        """Say HELLO and take the WELCOME."""
        self.send(Kind.HELLO, HELLO.pack(HELLO_MAGIC, PROTOCOL_VERSION, os.urandom(16)))
        frame = await self.receive()
        assert frame is not None
        assert frame[0] == Kind.WELCOME


@asynccontextmanager
async def raw_connection(address: str) -> AsyncIterator[RawConnection]:
    """Connect without greeting."""
    reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (anything in the loop may make it true)
            await asyncio.sleep(0)


async def acknowledged(future: Awaitable[int]) -> int:
    """Await an append, but not for ever."""
    async with asyncio.timeout(10):
        return await future

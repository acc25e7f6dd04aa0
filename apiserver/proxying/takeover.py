"""A client's connection taken over, and passed on byte by byte until either side ends.

Invariants: what either side has not taken is bounded by its buffers, as reading from the other
stops meanwhile; whatever ends, both connections are closed, at the latest when a side that takes
nothing more has had its time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from apiserver.protocol import ApiProtocol
from apiserver.proxying.wire import CHUNK_BYTES
from runtime.tasks import TaskScope

_LINGER_S_MAX: Final = 10.0
_KEEP_ALIVE_S: Final = 15


class _Successor(asyncio.StreamReaderProtocol):
    """Reads and writes the connection as a stream; `before` hears of its end."""

    def __init__(self, before: ApiProtocol, reader: asyncio.StreamReader) -> None:
        super().__init__(reader, loop=before.loop)
        self._before = before

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(exc)
        self._before.connection_lost(exc)


class TakenOver:
    """The client's side of an upgraded connection."""

    def __init__(self, connection: ApiProtocol) -> None:
        loop = connection.loop
        self.reader = asyncio.StreamReader(limit=CHUNK_BYTES, loop=loop)
        transport = connection.transport
        protocol = _Successor(connection, self.reader)
        early = connection.take_over(protocol)
        protocol.connection_made(transport)
        if early:
            self.reader.feed_data(early)
        if connection.is_lost:
            self.reader.feed_eof()
        self.writer = asyncio.StreamWriter(transport, protocol, self.reader, loop)
        keep_alive(self.writer)

    async def write(self, data: bytes) -> None:
        """Write, waiting while the client is slow.

        Raises:
            OSError: the client has gone.
        """
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Close, once the client has taken what was written."""
        close_soon(self.writer)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until there are no more, or nobody takes them."""
    # A connection that ends says so by one of these, which of them is a matter of timing.
    with suppress(OSError, RuntimeError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


async def until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until one has ended; end the others."""
    async with TaskScope("passing on") as scope:
        tasks = [scope.spawn(one, name="direction") for one in coroutines]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def close_soon(writer: asyncio.StreamWriter) -> None:
    """Close a connection; what is written may be taken still, but not for ever."""
    transport = writer.transport
    if not transport.is_closing():
        transport.close()
    asyncio.get_running_loop().call_later(_LINGER_S_MAX, transport.abort)


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the kernel find out when the other side is no more: an idle session never writes."""
    connected = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_S)

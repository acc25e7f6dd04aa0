"""The journal's network face: accepts connections, and stops in order.

Stopping: no new connections, no new requests; what was received is committed and answered;
then the connections are closed. The engine is its owner's to close.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, Final

from journal.connection import Connection
from journal.local import LocalEngine
from journal.protocol import Address, TcpAddress, UnixAddress, parse_address
from runtime.tasks import TaskScope

_log = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 256
DRAIN_SECONDS_MAX: Final = 10.0
SOCKET_MASK: Final = 0o177
"""A Unix socket is its owner's alone: the protocol has no authentication."""


class JournalService:
    """Serves one engine on one address. Made by `serve`."""

    def __init__(self, engine: LocalEngine, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self.engine = engine
        self.scope = TaskScope("journal-service", on_crash=lambda _crash: self.stop_requested.set())
        self.stop_requested = asyncio.Event()
        """Set when a task of the service failed (`scope.crash`), or by who wants it to end."""
        self._connections: dict[Connection, None] = {}
        self._connections_max = connections_max
        self._clients: dict[bytes, Connection] = {}
        """The newest connection of each client."""
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def start(self, address: Address) -> None:
        """Listen.

        Raises:
            OSError: the address can't be had.
        """
        loop = asyncio.get_running_loop()
        match address:
            case UnixAddress(path):
                mask = os.umask(SOCKET_MASK)
                try:
                    self._server = await loop.create_unix_server(self._connect, path)
                finally:
                    os.umask(mask)
            case TcpAddress(host, port):
                self._server = await loop.create_server(self._connect, host, port)
        _log.info("journal listens on %s", address)

    @property
    def tcp_port(self) -> int:
        """The port in use, for an address with port 0."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop in order: finish the commits under way, answer them, hang up."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.stop_reading()
        try:
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                await self.engine.drain()
        except TimeoutError:
            _log.error("appends still wait for the disk after %s s", DRAIN_SECONDS_MAX)
        for connection in list(self._connections):
            connection.close()
        await self.scope.stop()
        # A client that takes no bytes must not hold up the end.
        for _ in range(100):
            if not self._connections:
                break
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def on_open(self, connection: Connection) -> bool:
        """Count a connection; return whether it may stay."""
        self._connections[connection] = None
        return not self._stopping and len(self._connections) <= self._connections_max

    def on_greeted(self, connection: Connection, client: bytes) -> None:
        """End the connection that the client had before, read or not.

        The client has given it up; what it sent there last it sends again, and only that may count.
        """
        older = self._clients.get(client)
        self._clients[client] = connection
        if older is not None:
            older.abort()

    def on_closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)
        if self._clients.get(connection.client) is connection:
            del self._clients[connection.client]

    def to_json(self) -> dict[str, Any]:
        """Return the service's and every stream's counters."""
        return {
            "connections": len(self._connections),
            "appendsUnderWay": sum(held.appends_under_way for held in self._connections),
            "streams": self.engine.to_json(),
            "disk": self.engine.disk(),
        }

    def _connect(self) -> Connection:
        return Connection(self)


async def serve(engine: LocalEngine, address: str) -> JournalService:
    """Serve `engine` on `unix:/path` or `tcp:host:port`; return the started service.

    Raises:
        ValueError: a malformed address. OSError: it can't be had.
    """
    service = JournalService(engine)
    await service.start(parse_address(address))
    return service

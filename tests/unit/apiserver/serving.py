"""An app behind the API server's connections, and one client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from apiserver.protocol import ApiProtocol

SECONDS_MAX = 30


@asynccontextmanager
async def served(
    app: Any, **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, ServerState]]:
    """Serve `app` with uvicorn's `options`; give a connection to it, and the server's state."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off", **options)
    state = ServerState()

    def connection() -> ApiProtocol:
        return ApiProtocol(config=config, server_state=state, app_state={}, _loop=loop)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                yield reader, writer, state
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

"""Ways to ask whether a process is ready; each answer costs one connection.

A probe returns "" when the process is ready, else why it is not. It never raises for a process
that is not there yet.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

from runtime.unix_sockets import short_path

Probe: TypeAlias = Callable[[], Awaitable[str]]

_PROBE_TIMEOUT_S: Final = 5.0
_HEAD_BYTES_MAX: Final = 4096


def accepts_connections(address: str) -> Probe:
    """Ready means that "unix:/path" or "tcp:host:port" can be connected to."""

    async def probe() -> str:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                _, writer = await _connect(address)
        except (OSError, TimeoutError) as error:
            return f"{address}: {error or 'no answer'}"
        await _close(writer)
        return ""

    return probe


def answers_ok(host: str, port: int, path: str, context: ssl.SSLContext) -> Probe:
    """Ready means that an HTTPS GET is answered with 200.

    Args:
        host: address to connect to; the certificate must be valid for it.
        port: where.
        path: what to ask for, such as /readyz.
        context: trust and, where wanted, the client certificate.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> str:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=context, server_hostname=host
                )
                try:
                    writer.write(request)
                    answer = await reader.read(_HEAD_BYTES_MAX)
                finally:
                    await _close(writer)
        except (OSError, TimeoutError) as error:
            return f"https://{host}:{port}{path}: {error or 'no answer'}"
        status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
        return "" if status.split(" ")[1:2] == ["200"] else f"{path} answers {status!r}"

    return probe


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        with short_path(Path(rest)) as name:
            return await asyncio.open_unix_connection(name)
    host, _, port = rest.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def _close(writer: asyncio.StreamWriter) -> None:
    # The answer has been read; how the other side ends the connection is of no interest.
    writer.transport.abort()
    await asyncio.sleep(0)

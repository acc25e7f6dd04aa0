"""SPDY in a websocket: how clients forward ports, though a kubelet speaks SPDY alone.

What the messages carry is passed on as it is; nothing here knows what it means.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from apiserver.exchange import Exchange
from apiserver.proxying.client_socket import ClientSocket, check_handshake
from apiserver.proxying.forward import Onward, open_upgrade, refuse_upgrade
from apiserver.proxying.takeover import close_soon, until_one_ends
from apiserver.proxying.websocket import CloseCode, Opcode
from apiserver.proxying.wire import BackendConnection, BackendFailed, Backends
from kube import spdy

PREFIX: Final = "SPDY/3.1+"
_SUFFIX: Final = ".k8s.io"
_STREAM_PROTOCOL: Final = b"x-stream-protocol-version"
_MESSAGE_BYTES: Final = 32 << 10


def tunnelled(protocols: list[str]) -> list[str]:
    """Return the protocols that a client wants to speak inside of a websocket."""
    return [
        one.removeprefix(PREFIX)
        for one in protocols
        if one.startswith(PREFIX) and one.endswith(_SUFFIX)
    ]


async def tunnel(
    exchange: Exchange, backends: Backends, onward: Onward, protocols: list[str]
) -> None:
    """Pass on what a websocket carries, as an upgraded connection to a backend.

    Args:
        exchange: the client's request, for a websocket.
        backends: who dials.
        onward: where to.
        protocols: what the client would speak there.

    Raises:
        StatusError: 400. BackendFailed, ClientGone: as `pass_upgrade_on`.
    """
    check_handshake(exchange)
    upgrade = [(b"Upgrade", spdy.PROTOCOL)]
    upgrade += [(b"X-Stream-Protocol-Version", one.encode("latin-1")) for one in protocols]
    asked = replace(
        onward,
        method=b"POST",
        headers=(*onward.headers, *upgrade),
        without=b"sec-websocket-",
    )
    connection, head = await open_upgrade(exchange, backends, asked)
    if connection.upgraded is None:
        await refuse_upgrade(exchange, connection, head)
        return
    if spdy.PROTOCOL.lower() not in head.value(b"upgrade").lower():
        connection.abort()
        raise BackendFailed("unable to upgrade: missing upgrade headers in response")
    spoken = head.value(_STREAM_PROTOCOL).strip().decode("latin-1")
    client = ClientSocket(exchange, PREFIX + spoken if spoken in protocols else "")
    try:
        await until_one_ends(_inwards(client, connection), _outwards(client, connection))
    finally:
        client.close()
        close_soon(connection.writer)


async def _inwards(client: ClientSocket, connection: BackendConnection) -> None:
    async for frame in client.frames():
        if frame.opcode is Opcode.TEXT:
            client.close(CloseCode.PROTOCOL_ERROR, "only binary messages are carried")
            return
        try:
            await connection.write(frame.data)
        except BackendFailed:
            return


async def _outwards(client: ClientSocket, connection: BackendConnection) -> None:
    data = connection.upgraded or b""
    while True:
        if data and not await client.send(data):
            return
        try:
            data = await connection.reader.read(_MESSAGE_BYTES)
        except (OSError, RuntimeError):
            return
        if not data:
            return

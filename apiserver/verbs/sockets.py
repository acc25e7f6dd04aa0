"""Answers that come by websocket where a client asks for one: watches and logs, as upstream's.

An outlet stands where a verb writes: the exchange itself, or one of these. Until something is
written there is no websocket, so that refusals are ordinary answers. What a client sends is passed
over, but for its wish to end.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from apiserver.exchange import ClientGone, Exchange
from apiserver.protocol import ApiProtocol
from apiserver.proxying.client_socket import ClientSocket, check_handshake, offered
from apiserver.proxying.forward import first_header, is_upgrade
from apiserver.proxying.websocket import Opcode
from kube import status as st
from runtime.tasks import TaskScope

_BINARY: Final = "binary.k8s.io"
_BASE64: Final = "base64.binary.k8s.io"


class Outlet(Protocol):
    """What a stream is written to: the members of an exchange that a watch uses."""

    code: int
    gzips_parts: bool

    @property
    def connection(self) -> ApiProtocol | None:
        """See Exchange."""
        ...

    @property
    def takes_more(self) -> bool:
        """See Exchange."""
        ...

    async def start(self, code: int, content_type: bytes, *, gzips_parts: bool = False) -> None:
        """See Exchange."""
        ...

    async def start_as(self, code: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """See Exchange."""
        ...

    async def write(self, chunk: bytes) -> None:
        """See Exchange."""
        ...

    async def write_framed(self, framed: bytes) -> None:
        """See Exchange."""
        ...

    def write_at_once(self, framed: bytes) -> None:
        """See Exchange."""
        ...

    def settled(self) -> None:
        """See Exchange."""
        ...

    async def finish(self) -> None:
        """See Exchange."""
        ...


def wants_socket(exchange: Exchange) -> bool:
    """Tell whether a request asks for a websocket."""
    return is_upgrade(exchange) and first_header(exchange, b"upgrade").lower() == b"websocket"


def unframed(framed: bytes) -> bytes:
    """Return the data of one chunk of HTTP's chunked encoding."""
    size, _, rest = framed.partition(b"\r\n")
    return rest[: int(size, 16)]


class SocketOutlet:
    """A websocket as an outlet; made by `watch_outlet` and `log_outlet`.

    Args of the constructor:
        exchange: the request.
        scope: where what the client sends is read.
        protocol: the subprotocol, "" for none.
        messages: cuts what is written into messages.
        greets: whether an empty message comes first, as upstream's logs have it.
    """

    gzips_parts = False

    def __init__(
        self,
        exchange: Exchange,
        scope: TaskScope,
        protocol: str,
        messages: Callable[[bytes], list[tuple[Opcode, bytes]]],
        *,
        greets: bool = False,
    ) -> None:
        self.connection = exchange.connection
        self._exchange = exchange
        self._scope = scope
        self._protocol = protocol
        self._messages = messages
        self._greets = greets
        self._socket: ClientSocket | None = None

    @property
    def code(self) -> int:
        """The answer's status so far, 0 for none."""
        return self._exchange.code

    @code.setter
    def code(self, code: int) -> None:
        self._exchange.code = code

    @property
    def takes_more(self) -> bool:
        """Never: what is written waits for the client."""
        return False

    async def start(self, code: int, content_type: bytes, *, gzips_parts: bool = False) -> None:
        """Become a websocket."""
        await self._open()

    async def start_as(self, code: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Become a websocket."""
        await self._open()

    async def _open(self) -> None:
        self._socket = socket = ClientSocket(self._exchange, self._protocol)
        self._scope.spawn(_pass_over(socket), name="what a watcher sends")
        if self._greets:
            await self.write(b"")

    async def write(self, chunk: bytes) -> None:
        """Send what is written, in messages.

        Raises:
            ClientGone: it has gone.
        """
        for opcode, data in self._messages(chunk):
            await self._send(opcode, data)

    async def write_framed(self, framed: bytes) -> None:
        """Send what was framed for HTTP; see `write`."""
        await self.write(unframed(framed))

    def write_at_once(self, framed: bytes) -> None:
        """Never: see `takes_more`."""
        raise AssertionError("a websocket takes nothing at once")

    def settled(self) -> None:
        """See Exchange."""
        self._exchange.settled()

    async def finish(self) -> None:
        """Close the websocket."""
        if self._socket is not None:
            self._socket.close()

    async def _send(self, opcode: Opcode, data: bytes) -> None:
        assert self._socket is not None
        if not await self._socket.send(data, opcode):
            raise ClientGone


@asynccontextmanager
async def watch_outlet(exchange: Exchange) -> AsyncIterator[SocketOutlet]:
    """Give the outlet of a watch: each event is a text message.

    Raises:
        StatusError: 400, it is no handshake.
    """
    check_handshake(exchange)
    protocols = offered(exchange)
    if len(protocols) > 1:
        raise st.bad_request("websocket: bad protocol")
    async with _scope() as scope:
        yield SocketOutlet(exchange, scope, protocols[0] if protocols else "", _lines)


@asynccontextmanager
async def log_outlet(exchange: Exchange) -> AsyncIterator[SocketOutlet]:
    """Give the outlet of a log: its parts are messages, binary or base64 in text.

    Raises:
        StatusError: 400, it is no handshake, or offers no subprotocol that there is.
    """
    check_handshake(exchange)
    protocols = offered(exchange)
    protocol = next((one for one in protocols if one in (_BINARY, _BASE64)), "")
    if protocols and not protocol:
        raise st.bad_request(
            f"unable to negotiate protocol: client supports [{' '.join(protocols)}], server allows "
            f"[ {_BASE64} {_BINARY}]"
        )
    messages = _in_base64 if protocol == _BASE64 else _as_it_is
    async with _scope() as scope:
        yield SocketOutlet(exchange, scope, protocol, messages, greets=True)


@asynccontextmanager
async def _scope() -> AsyncIterator[TaskScope]:
    async with TaskScope("websocket") as scope:
        try:
            yield scope
        finally:
            await scope.stop()


async def _pass_over(socket: ClientSocket) -> None:
    async for _ in socket.frames():
        pass


def _lines(chunk: bytes) -> list[tuple[Opcode, bytes]]:
    return [(Opcode.TEXT, line + b"\n") for line in chunk.split(b"\n") if line]


def _in_base64(chunk: bytes) -> list[tuple[Opcode, bytes]]:
    return [(Opcode.TEXT, base64.b64encode(chunk))]


def _as_it_is(chunk: bytes) -> list[tuple[Opcode, bytes]]:
    return [(Opcode.BINARY, chunk)]

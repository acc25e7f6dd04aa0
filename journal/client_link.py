"""The client's end of one connection: bytes in and out, no decisions.

A link lives from a successful connect to the loss of the connection and is never reused.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from array import array
from typing import Protocol, cast

from journal.errors import JournalError, ProtocolError, UnsupportedFormat
from journal.protocol import (
    HELLO,
    HELLO_MAGIC,
    ID,
    PROTOCOL_VERSION,
    THREE,
    TWO,
    WELCOME,
    Address,
    FrameSplitter,
    Kind,
    TcpAddress,
    UnixAddress,
    decode_appended,
    decode_error,
    decode_failed,
    encode,
    watch_peer,
)

_log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who is told of what the service says."""

    def on_appended(self, numbers: array[int]) -> None:
        """Appends are durable: alternating ids and first sequences."""
        ...

    def on_failed(self, identity: int, error: JournalError) -> None:
        """A request or subscription failed."""
        ...

    def on_frames(self, identity: int, next_sequence: int, data: bytes) -> None:
        """A subscription got frames, up to before `next_sequence`."""
        ...

    def on_answer(self, identity: int, answer: tuple[int, int] | bytes) -> None:
        """A request was answered: RESULT's two numbers or TEXT's JSON."""
        ...


class ClientLink(asyncio.Protocol):
    """Speaks journal/protocol.py with the service."""

    def __init__(self, receiver: Receiver, client: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.welcome: asyncio.Future[int] = loop.create_future()
        """The largest append the service takes, once it has answered HELLO."""
        self.lost: asyncio.Future[JournalError | None] = loop.create_future()
        """Done when the connection is; holds what the service said on hanging up, if anything."""
        self._receiver = receiver
        self._client = client
        self._splitter = FrameSplitter()
        self._transport: asyncio.Transport | None = None
        self._reason: JournalError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        watch_peer(self._transport)
        # The session bounds what is under way, and `expire` what has piled up here beyond that.
        self._transport.set_write_buffer_limits(high=1 << 30)
        self.write(encode(Kind.HELLO, HELLO.pack(HELLO_MAGIC, PROTOCOL_VERSION, self._client)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._transport = None
        if self._reason is None and exc is not None:
            self._reason = JournalError(f"connection lost: {exc}")
        if not self.welcome.done():
            self.welcome.set_exception(
                self._reason or JournalError("the service hung up before it said WELCOME")
            )
        if not self.lost.done():
            self.lost.set_result(self._reason)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        try:
            for kind, payload in self._splitter.feed(data):
                self._dispatch(kind, payload)
        except (struct.error, UnicodeDecodeError, ProtocolError, UnsupportedFormat) as error:
            self._reason = ProtocolError(f"the journal service sent a malformed frame: {error}")
            _log.error("%s", self._reason)
            self.close()

    def write(self, data: bytes) -> None:
        """Send; dropped if the connection is lost (what matters is sent again on the next)."""
        if self._transport is not None:
            self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        """How much the service has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _dispatch(self, kind: int, payload: bytes) -> None:
        receiver = self._receiver
        match kind:
            case Kind.APPENDED:
                receiver.on_appended(decode_appended(payload))
            case Kind.FRAMES:
                identity, next_sequence = TWO.unpack_from(payload)
                receiver.on_frames(identity, next_sequence, payload[TWO.size :])
            case Kind.RESULT:
                identity, first, last = THREE.unpack(payload)
                receiver.on_answer(identity, (first, last))
            case Kind.TEXT:
                (identity,) = ID.unpack_from(payload)
                receiver.on_answer(identity, payload[ID.size :])
            case Kind.FAILED:
                receiver.on_failed(*decode_failed(payload))
            case Kind.WELCOME:
                version, append_bytes_max = WELCOME.unpack_from(payload)
                if version != PROTOCOL_VERSION:
                    raise UnsupportedFormat(f"protocol version {version}")
                if not self.welcome.done():
                    self.welcome.set_result(append_bytes_max)
            case Kind.ERROR:
                self._reason = decode_error(payload)
            case _:
                raise ProtocolError(f"unknown kind {kind}")


async def connect(
    address: Address, receiver: Receiver, client: bytes, timeout_s: float
) -> ClientLink:
    """Connect and greet; return the link once the service has answered.

    Args:
        address: of the service.
        receiver: is told of what it says.
        client: 16 bytes, the same for all links of one client; a new link ends the one before.
        timeout_s: how long it may take.

    Raises:
        OSError: nobody listens, or no answer in time (TimeoutError).
        JournalError: the service refused the connection.
    """
    loop = asyncio.get_running_loop()
    link = ClientLink(receiver, client)
    try:
        async with asyncio.timeout(timeout_s):
            match address:
                case UnixAddress(path):
                    await loop.create_unix_connection(lambda: link, path)
                case TcpAddress(host, port):
                    await loop.create_connection(lambda: link, host, port)
            await asyncio.shield(link.welcome)
    except BaseException:
        link.close()
        link.welcome.cancel()  # or the loop complains of what its connection's end sets
        if link.welcome.done() and not link.welcome.cancelled():
            link.welcome.exception()  # looked at, or the loop complains of it
        raise
    return link

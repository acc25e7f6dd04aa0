"""HTTP/1.1 towards a backend: dialing it, one request after another, an upgraded connection.

Invariants: nothing is read ahead of who takes it but what the stream's limit lets in; a head is
bounded, and so is every wait for a connection; a connection is used again only if its last answer
was whole and both sides would keep it. Texts of failures are those of Go's net package, as clients
know them.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import httptools

from apiserver.simulated import NOTHING_SIMULATED, SimulatedNetworks

DIAL_S_MAX: Final = 30.0
HEAD_BYTES_MAX: Final = 1 << 20
CHUNK_BYTES: Final = 64 << 10
_IDLE_S_MAX: Final = 30.0
_IDLE_MAX: Final = 256
_IDLE_PER_ADDRESS_MAX: Final = 8
_NO_BODY: Final = frozenset({204, 304})


class BackendFailed(Exception):
    """A backend could not be reached, or has not answered as HTTP demands; the text says how."""


class Address(NamedTuple):
    """Where a backend is, and how it is spoken to.

    Attributes:
        tls: None: without.
        server_name: whom the certificate must name, "" for the host.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""

    @property
    def authority(self) -> str:
        """`host:port`, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "http" if self.tls is None else "https"


class Head(NamedTuple):
    """The beginning of an answer; header names are as they came."""

    code: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]

    def value(self, name: bytes) -> bytes:
        """Return the first value of a header, given in lower case; b"" if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), b"")


class BackendConnection:
    """A connection to a backend.

    Attributes:
        upgraded: what came after the head of a granted upgrade; None: none was granted.
    """

    def __init__(
        self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.address = address
        self.reader = reader
        self.writer = writer
        self.upgraded: bytes | None = None
        self._begin(b"")

    def _begin(self, method: bytes) -> None:
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._parts: deque[bytes] = deque()
        self._is_headed = self._is_whole = self._is_framed = self._keeps = False
        self._is_stray = False
        self._code = self._head_bytes = 0

    # What the parser calls -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin an answer; an interim one (1xx) may have come before."""
        if self._is_headed:
            # More than was asked for: whose answer would that be?
            self._is_stray, self._keeps = True, False
        else:
            self._headers, self._reason = [], b""

    def on_status(self, reason: bytes) -> None:
        """Take the reason phrase."""
        if not self._is_stray:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are dropped."""
        if not self._is_headed:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """End the head, unless it is an interim one."""
        code = self._parser.get_status_code()
        if self._is_stray or (code < 200 and code != 101):
            return
        self._is_headed = True
        self._code = code
        names = {name.lower() for name, _ in self._headers}
        has_no_body = self._method == b"HEAD" or code in _NO_BODY
        self._is_framed = has_no_body or bool(names & {b"content-length", b"transfer-encoding"})
        self._keeps = self._parser.should_keep_alive() and self._method != b"HEAD"
        if self._method == b"HEAD":
            self._is_whole = True  # the parser would wait for what its length announces

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._method != b"HEAD" and not self._is_stray:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """End the answer, unless it is an interim one."""
        self._is_whole = self._is_headed or self._is_stray

    # ------------------------------------------------------------------------------------------

    async def send(self, method: bytes, head: bytes) -> None:
        """Send a request's head.

        Raises:
            BackendFailed: it has gone.
        """
        self._begin(method)
        await self.write(head)

    async def write(self, data: bytes) -> None:
        """Send a part of a body, waiting while the backend is slow.

        Raises:
            BackendFailed: it has gone.
        """
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (OSError, RuntimeError) as error:
            raise BackendFailed(f"write tcp {self.address.authority}: {_why(error)}") from error

    async def head(self) -> Head:
        """Wait for the head of the answer.

        Raises:
            BackendFailed: none has come, or none that can be read.
        """
        while not self._is_headed:
            data = await self._read()
            if not data:
                raise BackendFailed("EOF" if not self._head_bytes else "unexpected EOF")
            self._head_bytes += len(data)
            self._feed(data)
            if not self._is_headed and self._head_bytes > HEAD_BYTES_MAX:
                raise BackendFailed("net/http: server response headers exceeded 1048576 bytes")
        return Head(self._code, self._reason, self._headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            BackendFailed: it ends before it is whole.
        """
        while True:
            while self._parts:
                yield self._parts.popleft()
            if self._is_whole:
                return
            data = await self._read()
            if not data:
                if self._is_framed:
                    raise BackendFailed("unexpected EOF")
                return
            self._feed(data)

    async def body(self, bytes_max: int) -> bytes:
        """Return the whole body, or its first `bytes_max` bytes.

        Raises:
            BackendFailed: as `chunks`.
        """
        parts, length = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            length += len(chunk)
            if length >= bytes_max:
                break
        return b"".join(parts)[:bytes_max]

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent here."""
        return (
            self._is_whole
            and self._keeps
            and self.upgraded is None
            and not self.writer.transport.is_closing()
            and not self.reader.at_eof()
        )

    def abort(self) -> None:
        """End the connection at once; what was written may be lost."""
        self.writer.transport.abort()

    async def _read(self) -> bytes:
        try:
            return await self.reader.read(CHUNK_BYTES)
        except (OSError, RuntimeError) as error:
            raise BackendFailed(f"read tcp {self.address.authority}: {_why(error)}") from error

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self._is_whole:
                self._keeps = False  # what follows a whole answer harms nobody but its sender
                return
            raise BackendFailed(f"malformed HTTP response: {error}") from error


class Backends:
    """Dials backends, and keeps idle connections for whoever asks the same one again."""

    def __init__(self, simulated: SimulatedNetworks = NOTHING_SIMULATED) -> None:
        self._simulated = simulated
        self._idle: dict[Address, deque[tuple[BackendConnection, float]]] = {}
        self._count = 0

    async def dial(self, address: Address) -> BackendConnection:
        """Return a new connection.

        Raises:
            BackendFailed: there is none to be had.
        """
        where = f"dial tcp {address.authority}"
        name = (address.server_name or address.host) if address.tls is not None else None
        try:
            self._simulated.check(address.host, address.port)
            async with asyncio.timeout(DIAL_S_MAX):
                reader, writer = await asyncio.open_connection(
                    address.host,
                    address.port,
                    ssl=address.tls,
                    server_hostname=name,
                    limit=CHUNK_BYTES,
                )
        except TimeoutError as error:
            raise BackendFailed(f"{where}: i/o timeout") from error
        except ssl.SSLCertVerificationError as error:
            why = f"tls: failed to verify certificate: x509: {error.verify_message}"
            raise BackendFailed(why) from error
        except ssl.SSLError as error:
            raise BackendFailed(f"tls: {error.reason or error}") from error
        except (OSError, ValueError, OverflowError, RuntimeError) as error:
            raise BackendFailed(f"{where}: {_why(error)}") from error
        return BackendConnection(address, reader, writer)

    def idle(self, address: Address) -> BackendConnection | None:
        """Return an idle connection that seems to be open still, None if there is none."""
        kept = self._idle.get(address)
        now_s = asyncio.get_running_loop().time()
        while kept:
            connection, since_s = kept.pop()
            self._count -= 1
            if not kept:
                del self._idle[address]
            if connection.is_reusable and now_s - since_s < _IDLE_S_MAX:
                return connection
            connection.abort()
        return None

    def release(self, connection: BackendConnection) -> None:
        """Take a connection back whose request has ended, however it did."""
        if not connection.is_reusable:
            connection.abort()
            return
        now_s = asyncio.get_running_loop().time()
        self._drop_old(now_s)
        kept = self._idle.setdefault(connection.address, deque())
        if len(kept) >= _IDLE_PER_ADDRESS_MAX:
            kept.popleft()[0].abort()
            self._count -= 1
        kept.append((connection, now_s))
        self._count += 1

    def close(self) -> None:
        """Close all idle connections."""
        for kept in self._idle.values():
            for connection, _ in kept:
                connection.abort()
        self._idle.clear()
        self._count = 0

    def _drop_old(self, now_s: float) -> None:
        for address, kept in list(self._idle.items()):
            while kept and (now_s - kept[0][1] >= _IDLE_S_MAX or self._count >= _IDLE_MAX):
                kept.popleft()[0].abort()
                self._count -= 1
            if not kept:
                del self._idle[address]


def _why(error: Exception) -> str:
    """Return what Go would say of it."""
    number = error.errno if isinstance(error, OSError) else None
    match number:
        case errno.ECONNREFUSED:
            return "connect: connection refused"
        case errno.EHOSTUNREACH:
            return "connect: no route to host"
        case errno.ENETUNREACH:
            return "connect: network is unreachable"
        case errno.ECONNRESET:
            return "connection reset by peer"
        case errno.EPIPE:
            return "write: broken pipe"
        case _:
            return str(error) or type(error).__name__

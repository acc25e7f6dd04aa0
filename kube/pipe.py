"""A connection for many small writes: one request at a time, at a fraction of a client's cost.

A fleet of 100,000 nodes writes thousands of times a second, and a general client takes longer for a
request than the server does. A pipe is used by one task at a time; kube/pipe_pool.py hands
out pipes to many. What went wrong in transport is `Unreachable`:
the write may have been carried out, unless it is `NobodyListens`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from kube.access import Access

PROBES: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""The other machine is asked after 30 s of silence, as clients of Go do, and three times."""
NOBODY: Final = (ConnectionRefusedError, FileNotFoundError)
"""What connecting fails with where nobody listens; a socket's path may not be there yet."""
_ANSWER_BYTES_MAX: Final = 16 << 20
_HEAD_BYTES_MAX: Final = 64 << 10
_CONNECT_S: Final = 5.0
_TIMEOUT_S: Final = 60.0


class Unreachable(Exception):
    """No answer came in time; what was asked for may have been done. Contrast StatusError, an
    answer.
    """


class NobodyListens(Unreachable):
    """The server's machine refused the connection: nothing was done."""


class Answer(NamedTuple):
    """What the server says.

    Attributes:
        retry_after_s: when it asks to come back; negative: it does not, or by a date.
    """

    code: int
    body: bytes
    retry_after_s: float = -1.0


class _Connection(asyncio.Protocol):
    """Reads answers; `answer` is of the request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = 0
        self._again_s = -1.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.close()  # nobody asked for anything
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"no answer of HTTP/1.1: {error}")
            self.close()

    # What the parser calls ---------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._grow(len(name) + len(value), _HEAD_BYTES_MAX)
        if len(name) == 11 and name.lower() == b"retry-after":
            self._again_s = float(value) if value.isdigit() else -1.0

    def on_headers_complete(self) -> None:
        """Count the body's bytes from here on."""
        self._size = 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._grow(len(body), _ANSWER_BYTES_MAX)
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the answer to whoever waits, unless it only says that one will come."""
        code, body, again_s = self._parser.get_status_code(), self._body, self._again_s
        self._body, self._size, self._again_s = [], 0, -1.0
        if code < 200:
            return
        answer, self.answer = self.answer, None
        if not self._parser.should_keep_alive():
            self.close()
        if answer is not None and not answer.done():
            text = body[0] if len(body) == 1 else b"".join(body)
            answer.set_result(Answer(code, text, again_s))

    def _grow(self, size: int, size_max: int) -> None:
        self._size += size
        if self._size > size_max:
            raise ValueError("it is too long")

    # -------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail(str(exc or "the connection was closed"))

    def close(self) -> None:
        """Close the connection; whoever waits is told that nothing came."""
        if self.transport is not None:
            if self.answer is None:
                self.transport.close()
            else:
                self.transport.abort()
        self.transport = None
        self._fail("the connection was closed")

    def _fail(self, reason: str) -> None:
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_exception(Unreachable(reason))


class Pipe:
    """See the module's head.

    Args of the constructor:
        access: where the server is, and as whom it is asked.
        user_agent: what stands before its slash is who manages what is written.
        connect_s: how long connecting may take, in seconds.
        timeout_s: how long an answer may take; None: whoever asks sees to it.
    """

    def __init__(
        self,
        access: Access,
        user_agent: str,
        *,
        connect_s: float = _CONNECT_S,
        timeout_s: float | None = _TIMEOUT_S,
    ) -> None:
        parts = urlsplit(access.server)
        self._socket = access.socket
        is_secure = parts.scheme == "https"
        self._tls: ssl.SSLContext | bool | None = (access.tls or True) if is_secure else None
        self._prefix = parts.path.rstrip("/")
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if is_secure else 80)
        self._connect_s = connect_s
        self._timeout_s = timeout_s
        heads = [f"Host: {parts.netloc}", f"User-Agent: {user_agent}"]
        if access.token:
            heads.append(f"Authorization: Bearer {access.token}")
        self._lines = "\r\n".join(heads) + "\r\n"
        self._connection: _Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and self._connection.transport is not None

    async def request(
        self, method: str, path: str, body: bytes, media_type: str, more: str = ""
    ) -> Answer:
        """Send one request and return the answer, whatever it says.

        Args:
            method: GET, POST, ...
            path: what is asked for, encoded for URLs, with its query.
            body: what is sent.
            media_type: what the body is.
            more: lines of headers, each with its end.

        Raises:
            Unreachable: none came.
        """
        connection = self._connection
        if connection is None or connection.transport is None:
            connection = self._connection = await self._connect()
        transport = connection.transport
        if transport is None:
            raise Unreachable("the connection was closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        connection.answer = answer
        content = f"Content-Type: {media_type}\r\n" if body else ""
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._lines}{more}"
            f"{content}Content-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        limit_s = self._timeout_s
        timer = None if limit_s is None else loop.call_later(limit_s, connection.close)
        try:
            return await answer
        except asyncio.CancelledError:
            # What would come now would be taken for the answer to the next request.
            connection.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                if self._socket:
                    _, near = await loop.create_unix_connection(_Connection, self._socket)
                    return near
                transport, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._tls
                )
        except NOBODY as error:
            raise NobodyListens(f"no connection to {self._where()}: {error}") from error
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"no connection to {self._where()}: {error}") from error
        sock = transport.get_extra_info("socket")
        for level, option, value in PROBES:
            sock.setsockopt(level, option, value)
        return connection

    def _where(self) -> str:
        return self._socket or self._host


def refusal(what: str, answer: Answer) -> Unreachable:
    """Return the error of a write that the server did not take, so that it is tried again."""
    text = answer.body[:300].decode(errors="replace")
    return Unreachable(f"{what} is refused: {answer.code} {text}")

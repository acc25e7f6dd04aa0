"""A connection for many small writes: one request at a time, at a fraction of a client's cost.

A fleet of 100,000 nodes writes thousands of times a second, and a general client takes longer for a
request than the server does. A pipe is used by one task; many tasks have a pipe each. As with
kube.client, what went wrong in transport is `Unreachable`: the write may have been carried out.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from kube.access import Access
from kube.client import Unreachable

_ANSWER_BYTES_MAX: Final = 16 << 20
_CONNECT_S: Final = 5.0
_TIMEOUT_S: Final = 60.0


class Answer(NamedTuple):
    """What the server says.

    Attributes:
        retry_after_s: when it asks to come back; 0: it does not.
    """

    code: int
    body: bytes
    retry_after_s: float = 0.0


class _Connection(asyncio.Protocol):
    """Reads answers; `answer` is of the request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self._held = b""
        self._head: tuple[int, int, float] | None = None
        self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class

    def data_received(self, data: bytes) -> None:
        self._held = held = self._held + data if self._held else data
        if self._head is None:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                self._check(len(held))
                return
            try:
                self._head = self._read_head(held[:end])
            except ValueError as error:
                self._fail(f"no answer of HTTP/1.1: {error}")
                return
            self._held = held = held[end + 4 :]
            self._check(self._head[1])
        code, length, again_s = self._head
        if len(held) < length:
            return
        self._head, self._held = None, b""
        answer, self.answer = self.answer, None
        if self._is_last:
            self.close()
        if answer is not None and not answer.done():
            answer.set_result(Answer(code, held[:length], again_s))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail(str(exc or "the connection was closed"))

    def close(self) -> None:
        """Close the connection; whoever waits is told that nothing came."""
        if self.transport is not None:
            self.transport.abort()
        self.transport = None
        self._fail("the connection was closed")

    def _read_head(self, head: bytes) -> tuple[int, int, float]:
        lines = head.lower().split(b"\r\n")
        code, length, again_s = int(lines[0].split(b" ", 2)[1]), -1, 0.0
        for line in lines[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            elif line.startswith(b"retry-after:"):
                again_s = float(line[12:])
            elif line.startswith(b"connection:") and b"close" in line:
                self._is_last = True
        if length < 0:
            raise ValueError("its length is not said")
        return code, length, again_s

    def _check(self, size: int) -> None:
        if size > _ANSWER_BYTES_MAX:
            self._fail("the answer is too long")
            self.close()

    def _fail(self, reason: str) -> None:
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_exception(Unreachable(reason))


class Pipe:
    """See the module's head.

    Args of the constructor:
        access: where the server is, and as whom it is asked.
        user_agent: what stands before its slash is who manages what is written.
    """

    def __init__(self, access: Access, user_agent: str) -> None:
        parts = urlsplit(access.server)
        self._access = access
        self._prefix = parts.path.rstrip("/")
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if access.tls is not None else 80)
        heads = [f"Host: {parts.netloc}", f"User-Agent: {user_agent}"]
        if access.token:
            heads.append(f"Authorization: Bearer {access.token}")
        self._lines = "\r\n".join(heads)
        self._connection: _Connection | None = None

    async def request(self, method: str, path: str, body: bytes, media_type: str) -> Answer:
        """Send one request and return the answer, whatever it says.

        Raises:
            Unreachable: none came.
        """
        connection = self._connection
        if connection is None or connection.transport is None:
            connection = self._connection = await self._connect()
        transport = connection.transport
        if transport is None:
            raise Unreachable(f"{method} {path}: the connection was closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        connection.answer = answer
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._lines}\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        timer = loop.call_later(_TIMEOUT_S, connection.close)
        try:
            return await answer
        except asyncio.CancelledError:
            # What would come now would be taken for the answer to the next request.
            connection.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._access.tls
                )
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"no connection to {self._host}: {error}") from error
        return connection


def refusal(what: str, answer: Answer) -> Unreachable:
    """Return the error of a write that the server did not take, so that it is tried again."""
    text = answer.body[:300].decode(errors="replace")
    return Unreachable(f"{what} is refused: {answer.code} {text}")

"""The HTTP connection: uvicorn's httptools protocol with limits, peer identity and a short cut.

What it adds to uvicorn, and why:

- a request that is not whole in time is closed (upstream: 32 s to read the headers, 60 s for the
  whole request), so that half-sent requests pin neither memory nor a task;
- headers have a limit in bytes, and what follows a chunked body (trailers) is no header: it is
  dropped, as whoever let the headers pass has not seen it;
- connections over the limit are closed at once, and idle ones cost one timer, which outlives the
  requests in between: setting one after each answer costs more than looking at the clock;
- the TLS client certificate is read once a connection, when first asked for;
- `respond` writes a whole answer with one write: on the hot path uvicorn's two `send` calls and
  their header checks cost more than the lookup they carry;
- whoever streams an answer can be told at once that the client has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

PROTOCOL_KEY = "ultraplane.protocol"
PEER_UNREAD: Any = object()
HEAD_BYTES_MAX = 1 << 20
"""Upstream's limit of a request's headers (Go's DefaultMaxHeaderBytes)."""
_HEAD_TOO_LARGE = b"431 Request Header Fields Too Large"


class _Trailers(list[tuple[bytes, bytes]]):
    """Takes the headers after a chunked body, and keeps none."""

    def append(self, _header: tuple[bytes, bytes]) -> None:
        """Drop a header."""


class ApiProtocol(HttpToolsProtocol):
    """One client connection.

    Attributes:
        read_timeout_s: a request must be whole this long after its first byte.
        connections_max: connections beyond this many are refused by closing them.
        user: who authentication found behind the client certificate, None before it looked.
    """

    read_timeout_s: ClassVar[float] = 32.0
    connections_max: ClassVar[int] = 20_000

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._peer: Any = PEER_UNREAD
        self.user: Any = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._is_reading = False
        self._head_bytes = 0
        self._idle_since_s: float | None = None
        self._gone: set[Callable[[], None]] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.close()
            return
        # A connection that never sends anything is closed like one that stops half-way.
        self._arm_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm_read_timer()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        for callback in tuple(self._gone):
            callback()
        self._gone.clear()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {PROTOCOL_KEY: self}  # type: ignore[dict-item]
        self._is_reading = True
        self._head_bytes = 0

    def on_chunk_header(self) -> None:
        """A chunk of the body begins; after the last one there may be trailers."""
        self.headers = _Trailers()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_reading = False
        self._disarm_read_timer()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A request that came whole, as most do, needs no timer.
        if self._is_reading:
            if self._read_timer is None:
                self._arm_read_timer()
            # What brought no part of a body is a part of headers or trailers.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_head()

    def _refuse_head(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            head = b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\n"
            close = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(_HEAD_TOO_LARGE)
            self.transport.write(head % _HEAD_TOO_LARGE + close + _HEAD_TOO_LARGE)
        self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since_s = None

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._arm_keep_alive(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        idle_since_s = self._idle_since_s
        if idle_since_s is None:
            return  # busy: the end of its request arms the timer again
        left_s = idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._arm_keep_alive(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _arm_keep_alive(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """The verified client certificate as `ssl.getpeercert` gives it, None if there is none."""
        if self._peer is PEER_UNREAD:
            ssl_object = self.transport.get_extra_info("ssl_object")
            self._peer = (ssl_object.getpeercert() or None) if ssl_object is not None else None
        peer: dict[str, Any] | None = self._peer
        return peer

    def when_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the connection is lost; the result takes that back."""
        self._gone.add(callback)
        return lambda: self._gone.discard(callback)

    def _arm_read_timer(self) -> None:
        self._read_timer = self.loop.call_later(self.read_timeout_s, self._read_timed_out)

    def _disarm_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _read_timed_out(self) -> None:
        self._read_timer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


def respond(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
    """Write a whole answer at once.

    Args:
        cycle: the request's cycle.
        status: HTTP status code.
        head: header lines, each ended by CRLF, without content-length and connection.
        body: the whole body.

    Returns:
        False if the answer has to go the ordinary way (connection is to be closed, HEAD,
        the write buffer is full); nothing was written then.
    """
    if cycle.disconnected:
        return True
    if (
        not cycle.keep_alive
        or cycle.response_started
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (head, b"content-length: %d\r\n\r\n" % len(body), body)
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    cycle.response_complete = True
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    cycle.on_response()
    return True


def whole_body(cycle: RequestResponseCycle) -> bytes | None:
    """Return a request's body if all of it has come, None if it has to be waited for."""
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    return body


def frame(chunk: bytes) -> bytes:
    """Return a part of a streamed answer as a chunk of HTTP/1.1; an empty one would end it."""
    assert chunk
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


def unframe(framed: bytes) -> bytes:
    """Return what `frame` was given."""
    return framed[framed.index(b"\r\n") + 2 : -2]


def write_framed(cycle: RequestResponseCycle, framed: bytes) -> bool:
    """Write a framed part of a streamed answer; False if it has to go the ordinary way."""
    if (
        cycle.flow.write_paused
        or cycle.disconnected
        or not cycle.chunked_encoding
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    cycle.transport.write(framed)
    return True

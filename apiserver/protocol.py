"""The HTTP connection: uvicorn's httptools protocol with limits, peer identity and a short cut.

What it adds to uvicorn, and why:

- a request that is not whole in time is closed (upstream: 32 s to read the headers, 60 s for the
  whole request), so that half-sent requests pin neither memory nor a task; a head, or trailers, of
  more than a megabyte are refused as Go does, whose parser ours would let grow without end;
- a client that does not take its answer is cut off, whatever is written and by whom;
- what follows a request and is none is answered only when nothing else waits to be: as the answer
  to a request before it, a refusal would be a lie;
- trailers of a chunked body are dropped: uvicorn would add them to the headers, where an
  `Impersonate-User` could slip past whoever checked those;
- connections over the limit are closed at once, and idle ones cost one timer, which outlives the
  requests in between: setting one after each answer costs more than looking at the clock;
- the TLS client certificate is read once a connection, when first asked for;
- whoever streams an answer can be told at once that the client has gone;
- a request for an upgrade is served as any other until somebody takes the connection over
  (`take_over`); what the client sends meanwhile waits, and is little.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from apiserver.cycle import Cycle

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

PROTOCOL_KEY = "ultraplane.protocol"
PEER_UNREAD: Any = object()
_ASGI: Final[Any] = {"version": "3.0", "spec_version": "2.3"}
HEAD_BYTES_MAX: Final = (1 << 20) + 4096
"""Go's limit of a request's head: DefaultMaxHeaderBytes and its slop."""
PROGRESS_BYTES_MIN: Final = 64 << 10
"""Whoever takes less than this in `write_timeout_s` while more waits takes nothing."""
_EARLY_BYTES_MAX: Final = 64 << 10
"""What a client may send after a request for an upgrade, before it is answered."""
_RESET: Final = struct.pack("ii", 1, 0)
_BAD_ESCAPE: Final = re.compile("%(?![0-9a-fA-F]{2})")
_BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class RequestRefused(Exception):
    """A request is answered by its connection, before any verb sees it."""


class ApiProtocol(HttpToolsProtocol):
    """One client connection.

    Attributes:
        read_timeout_s: a request must be whole this long after its first byte.
        write_timeout_s: a client that takes nothing of what waits for it so long is cut off.
        connections_max: connections beyond this many are refused by closing them.
        user: who authentication found behind the client certificate, None before it looked.
    """

    read_timeout_s: ClassVar[float] = 32.0
    write_timeout_s: ClassVar[float] = 30.0
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
        self._is_in_head = False
        self._is_unhurried = False
        self._early: bytearray | None = None
        self._is_over = False
        self._is_lost = False
        self._refusal_code = 400
        self._overhead_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_since_s = 0.0
        self._unsent_bytes = 0
        self._idle_since_s: float | None = None
        self._gone: set[Callable[[], None]] = set()
        self._extensions: dict[str, Any] = {PROTOCOL_KEY: self}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.close()
            return
        # A connection that never sends anything is closed like one that stops half-way.
        self._arm_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._disarm_read_timer()
        super().connection_lost(exc)
        for timer in (self.timeout_keep_alive_task, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self.timeout_keep_alive_task = self._stall_timer = None
        for callback in tuple(self._gone):
            callback()
        self._gone.clear()
        self.pipeline.clear()
        if self.cycle is None or self.cycle.response_complete:
            self.forget()  # else whoever answers does it at the end

    def forget(self) -> None:
        """Break the circle of references once the connection is lost and its request is done.

        The garbage collector would find it, but it comes by rarely (apiserver.main), and
        connections may go by the thousand.
        """
        self._extensions.clear()

    # Reading ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._early is not None:
            self._keep_early(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as upgrade:
            # Anybody may ask for one; most answers just do not grant it.
            self._early = bytearray()
            self._keep_early(data[upgrade.args[0] :])
        # A request that came whole, as most do, needs no timer.
        if self._is_reading:
            self._overhead_bytes += len(data)
            if self._overhead_bytes > HEAD_BYTES_MAX:
                self._refusal_code = 431
                self.send_400_response("")
            elif self._read_timer is None and not self._is_unhurried:
                self._arm_read_timer()

    def _keep_early(self, data: bytes) -> None:
        assert self._early is not None
        self._early += data
        if len(self._early) > _EARLY_BYTES_MAX:
            self.flow.pause_reading()

    def take_over(self, successor: asyncio.Protocol) -> bytes:
        """Hand the connection to another protocol; return what the client has sent since its head.

        The successor has to call `connection_lost` here when its own is called: until then the
        connection counts, and its request is under way. Only for a request for an upgrade, all of
        whose answer is the successor's to write.
        """
        assert self._early is not None, "only a request for an upgrade ends the requests"
        early, self._early = bytes(self._early), bytearray()
        self._disarm_read_timer()
        for timer in (self.timeout_keep_alive_task, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self.timeout_keep_alive_task = self._stall_timer = None
        self._is_over = True
        # For whoever waits for answers, when the server stops, this one has been given.
        self.cycle.response_started = self.cycle.response_complete = True
        self.transport.set_protocol(successor)
        self.flow.read_paused = True
        self.flow.resume_reading()
        return early

    @property
    def is_upgrade(self) -> bool:
        """Whether the present request asks for an upgrade, so that it may be taken over."""
        return self._early is not None

    def let_body_take_time(self) -> None:
        """Let the present request's body come as slowly as whoever reads it allows."""
        self._is_unhurried = True
        self._disarm_read_timer()

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {  # type: ignore[typeddict-item]
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": "",
            "headers": self.headers,
            "extensions": self._extensions,
        }
        self._is_reading = self._is_in_head = True
        self._is_unhurried = False
        self._overhead_bytes = 0
        # Blank lines between requests do not end the idle time, but a request does.
        self._idle_since_s = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer
        name = name.lower()
        if name == b"expect":
            if value.lower() != b"100-continue":
                self._refuse(417)
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start to answer; as uvicorn does it, with our refusals and without what is not used."""
        self._is_in_head = False
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                self._refuse(505 if version > "1.1" else 400)
            scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                self._refuse(400)
            path = unquote(path)
        scope["path"], scope["raw_path"] = path, url.path
        scope["query_string"] = url.query or b""
        upgrades = parser.should_upgrade()
        if upgrades and any(n in _BODY_HEADERS and value != b"0" for n, value in self.headers):
            # The parser would take the body for what is spoken after the upgrade.
            self._refuse(400)
        before = self.cycle
        # Nothing is spoken here but HTTP/1.1: after an upgrade no request would be read.
        keep_alive = version == "1.1" and not upgrades and parser.should_keep_alive()
        self.cycle = cycle = Cycle(self, keep_alive=keep_alive)
        if before is None or before.response_complete:
            cycle.start(self.loop, self.tasks, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._is_reading = False
        self._disarm_read_timer()
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _refuse(self, code: int) -> None:
        self._refusal_code = code
        raise RequestRefused(code)

    def send_400_response(self, msg: str) -> None:
        """Refuse what was sent, as it is no request; uvicorn calls this for what it can't parse."""
        self._is_over = True
        self._disarm_read_timer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False  # its answer is the last
                return
            if self.pipeline:
                self.transport.close()
                return
        line = STATUS_LINE[self._refusal_code]
        text = line[len(b"HTTP/1.1 ") : -2]
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(text)
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(b"".join((line, head, length, text)))
        self._close()

    # Writing ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_for_stall()

    def _watch_for_stall(self) -> None:
        self._stalled_since_s = self.loop.time()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        # The timer outlives what set it: one that pauses often costs no timer each time.
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.write_timeout_s, self._end_if_stalled)

    def _end_if_stalled(self) -> None:
        self._stall_timer = None
        if not (self.flow.write_paused or self.transport.is_closing()):
            return
        left_s = self._stalled_since_s + self.write_timeout_s - self.loop.time()
        if left_s > 0:
            self._stall_timer = self.loop.call_later(left_s, self._end_if_stalled)
        elif self.transport.get_write_buffer_size() > self._unsent_bytes - PROGRESS_BYTES_MIN:
            self.cut()
        else:
            self._watch_for_stall()

    def cut(self) -> None:
        """Reset the connection; what was written is dropped, by us and by the kernel."""
        if not self._is_lost:
            # Otherwise the kernel keeps megabytes for a client that is no longer ours.
            connected = self.transport.get_extra_info("socket")
            with suppress(OSError):  # it may be closed, and not yet known to be
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _close(self) -> None:
        """Close when what is written has been taken, but do not wait for that without end."""
        self.transport.close()
        self._watch_for_stall()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._watch_for_stall()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            assert isinstance(cycle, Cycle)
            cycle.start(self.loop, self.tasks, app)
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
        elif not self.transport.is_closing():
            self._close()

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

    @property
    def peer_certificate_der(self) -> bytes:
        """The verified client certificate as it was sent, b"" if there is none."""
        ssl_object = self.transport.get_extra_info("ssl_object")
        return (ssl_object.getpeercert(binary_form=True) or b"") if ssl_object is not None else b""

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone."""
        return self._is_lost

    def limit_send_buffer(self, size_bytes: int) -> None:
        """Let the kernel keep no more than about `size_bytes` of what the client has not taken.

        By itself it lets that grow to 4 MB a connection, which no limit of ours knows of.
        """
        if self._is_lost:
            return
        connected = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it may be closed, and not yet known to be
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes // 2)

    def when_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the connection is lost, now if it is; the result undoes it."""
        if self._is_lost:
            callback()
        else:
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
            self._close()

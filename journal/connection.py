"""One client's connection, on the service's side.

Invariants:
    - All answers of one turn of the event loop go out in one write: acknowledgements first, then
      everything else in its order.
    - Memory is bounded: reading from the socket stops while the connection's appends under way,
      the stream's waiting appends, or the bytes not yet taken by the client pass their limits.
    - A frame that is not the protocol ends this connection, and only this one.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

import orjson

from journal.engine import KEY_BYTES
from journal.errors import (
    BadRequest,
    JournalError,
    Overloaded,
    ProtocolError,
    RecordTooLarge,
    TooManyConnections,
    UnsupportedFormat,
)
from journal.local import LocalEngine
from journal.protocol import (
    APPEND_HEAD,
    CREDIT,
    GREETING,
    HELLO,
    HELLO_MAGIC,
    ID,
    PROTOCOL_VERSION,
    READ,
    RESEND_HEAD,
    THREE,
    TWO,
    WELCOME,
    FrameSplitter,
    Kind,
    decode_hold,
    encode,
    encode_appended,
    encode_error,
    encode_failed,
    watch_peer,
)
from journal.record import check_body
from journal.stream_log import StreamLog
from journal.subscription import Subscription
from runtime.queues import Budget
from runtime.tasks import TaskScope

_log = logging.getLogger(__name__)

SUBSCRIPTIONS_MAX: Final = 256
UNDER_WAY_BYTES_MAX: Final = 16 << 20
UNDER_WAY_COUNT_MAX: Final = 16_384
WRITE_BUFFER_BYTES: Final = 4 << 20
HELLO_SECONDS_MAX: Final = 10.0
"""Whoever says nothing takes the place of somebody who would."""
FRAME_SLACK_BYTES: Final = 2 << 20
"""What a frame may hold besides the largest append: other appends sent with it."""


_Work: TypeAlias = Callable[[StreamLog], Awaitable[None]]


class Host(Protocol):
    """The service a connection belongs to."""

    engine: LocalEngine
    scope: TaskScope

    def on_open(self, connection: Connection) -> bool:
        """Return whether the service takes one more connection."""
        ...

    def on_greeted(self, connection: Connection, client: bytes) -> None:
        """End the connection that the client had before."""
        ...

    def on_closed(self, connection: Connection) -> None:
        """Forget the connection."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return all counters."""
        ...


class Connection(asyncio.Protocol):
    """Speaks journal/protocol.py with one client."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._engine = host.engine
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._splitter = FrameSplitter(host.engine.limits.append_bytes_max + FRAME_SLACK_BYTES)
        self._greeted = False
        self._hello_timer: asyncio.TimerHandle | None = None
        self._under_way = Budget(UNDER_WAY_BYTES_MAX, UNDER_WAY_COUNT_MAX)
        self._subscriptions: dict[int, Subscription] = {}
        self._acknowledged: list[int] = []
        self._answered_bytes = 0
        self._answered_count = 0
        self._outgoing: list[bytes] = []
        self._flush_scheduled = False
        self._holds = 0
        self._touched: set[StreamLog] = set()
        self.writable = True
        self.client = b""
        """The client's name for itself, once it has greeted."""
        self._handlers: dict[int, Callable[[bytes], None]] = {
            Kind.APPEND: self._on_append,
            Kind.READ: self._on_read,
            Kind.CREDIT: self._on_credit,
            Kind.CANCEL: self._on_cancel,
            Kind.BOUNDS: self._on_bounds,
            Kind.TRIM: self._on_trim,
            Kind.STATS: self._on_stats,
            Kind.RESEND: self._on_resend,
            Kind.HOLD: self._on_hold,
        }

    @property
    def peer(self) -> str:
        """Who is at the other end, for the log."""
        if self._transport is None:
            return "nobody"
        return str(self._transport.get_extra_info("peername") or "unix socket")

    @property
    def appends_under_way(self) -> int:
        """How many appends have not been answered."""
        return self._under_way.held_count - self._answered_count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        watch_peer(self._transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._hello_timer = self._loop.call_later(HELLO_SECONDS_MAX, self._check_greeted)
        if not self._host.on_open(self):
            self.reject(TooManyConnections("the journal has all the connections it takes"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop; appends under way are committed all the same."""
        if exc is not None:
            _log.info("journal connection of %s was lost: %s", self.peer, exc)
        self._transport = None
        self.writable = False
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._end_subscriptions()
        self._host.on_closed(self)

    def _check_greeted(self) -> None:
        if not self._greeted:
            self.reject(ProtocolError(f"no HELLO within {HELLO_SECONDS_MAX:g} s"))

    def pause_writing(self) -> None:
        """Called by the event loop: the client takes its answers too slowly."""
        self.writable = False
        self._hold()

    def resume_writing(self) -> None:
        """Called by the event loop: the client has taken most of its answers."""
        self.writable = self._transport is not None
        self._release()
        for subscription in list(self._subscriptions.values()):
            subscription.resume()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._transport is None or self._transport.is_closing():
            return
        try:
            for kind, payload in self._splitter.feed(data):
                self._dispatch(kind, payload)
        except (struct.error, UnicodeDecodeError) as error:
            self.reject(ProtocolError(f"malformed frame: {error}"))
        except (ProtocolError, UnsupportedFormat) as error:
            self.reject(error)
        budgets = [log.committer.budget for log in self._touched]
        self._touched.clear()
        for budget in (self._under_way, *budgets):
            if budget.full:
                self._hold()
                budget.when_half_empty(self._release)

    def send(self, *parts: bytes) -> None:
        """Send with everything else of this turn of the loop."""
        self._outgoing += parts
        self._schedule_flush()

    def reject(self, error: JournalError) -> None:
        """Tell the client why, and hang up."""
        _log.warning("journal connection of %s is closed: %s", self.peer, error)
        self.send(encode_error(error))
        self.close()

    def close(self) -> None:
        """Hang up after what was sent."""
        self._end_subscriptions()
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once, dropping what the client has not taken."""
        if self._transport is not None:
            self._transport.abort()

    def stop_reading(self) -> None:
        """Take no more requests; what is under way goes on."""
        self._hold()

    def _dispatch(self, kind: int, payload: bytes) -> None:
        if not self._greeted:
            self._on_hello(kind, payload)
            return
        handler = self._handlers.get(kind)
        if handler is None:
            raise ProtocolError(f"frame of unknown kind {kind}")
        handler(payload)

    def _on_hello(self, kind: int, payload: bytes) -> None:
        if kind != Kind.HELLO or payload[:4] != HELLO_MAGIC:
            raise ProtocolError("the connection does not begin with a HELLO")
        _, version = GREETING.unpack_from(payload)
        if version != PROTOCOL_VERSION:
            raise UnsupportedFormat(
                f"the client speaks journal protocol {version}, this service {PROTOCOL_VERSION}"
            )
        _, _, self.client = HELLO.unpack(payload)
        self._greeted = True
        self._host.on_greeted(self, self.client)
        append_bytes_max = self._engine.limits.append_bytes_max
        self.send(encode(Kind.WELCOME, WELCOME.pack(PROTOCOL_VERSION, append_bytes_max)))

    def _on_append(self, payload: bytes) -> None:
        log, position = self._target_of(payload)
        end = len(payload)
        while position < end:
            identity, size = APPEND_HEAD.unpack_from(payload, position)
            position += APPEND_HEAD.size
            keyed_body = payload[position : position + size]
            if len(keyed_body) != size or size < KEY_BYTES:
                raise ProtocolError("an APPEND frame is cut off")
            position += size
            self._submit(log, identity, keyed_body)

    def _on_resend(self, payload: bytes) -> None:
        log, position = self._target_of(payload)
        end = len(payload)
        while position < end:
            identity, size, after = RESEND_HEAD.unpack_from(payload, position)
            position += RESEND_HEAD.size
            keyed_body = payload[position : position + size]
            if len(keyed_body) != size or size < KEY_BYTES:
                raise ProtocolError("a RESEND frame is cut off")
            position += size
            self._submit(log, identity, keyed_body, after)

    def _target_of(self, payload: bytes) -> tuple[StreamLog | JournalError, int]:
        """Return the stream an APPEND or RESEND names, and where its appends begin."""
        if not payload:
            raise ProtocolError("an APPEND frame is empty")
        position = 1 + payload[0]
        return self._stream_of(payload[1:position]), position

    def _stream_of(self, name: bytes) -> StreamLog | JournalError:
        """Return the stream, or the reason why nothing can be appended to it."""
        try:
            log = self._engine.stream(name.decode())
        except JournalError as error:
            return error
        self._touched.add(log)
        return log

    def _submit(
        self,
        log: StreamLog | JournalError,
        identity: int,
        keyed_body: bytes,
        resent_after: int | None = None,
    ) -> None:
        self._under_way.take(len(keyed_body))
        done = partial(self._on_done, identity, len(keyed_body))
        if isinstance(log, JournalError):
            done(0, log)
            return
        if len(keyed_body) - KEY_BYTES > self._engine.limits.append_bytes_max:
            done(0, RecordTooLarge(f"an append of {len(keyed_body) - KEY_BYTES} bytes"))
            return
        try:
            count = check_body(keyed_body, KEY_BYTES)
        except BadRequest as error:
            done(0, error)
            return
        log.submit(keyed_body[:KEY_BYTES], keyed_body, count, done, resent_after)

    def _on_done(
        self, identity: int, size_bytes: int, first_sequence: int, error: JournalError | None
    ) -> None:
        self._answered_bytes += size_bytes
        self._answered_count += 1
        if error is None:
            self._acknowledged.append(identity)
            self._acknowledged.append(first_sequence)
        else:
            self._outgoing.append(encode_failed(identity, error))
        if not self._flush_scheduled:
            self._schedule_flush()

    def _on_read(self, payload: bytes) -> None:
        identity, from_sequence, window_bytes = READ.unpack_from(payload)
        try:
            if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
                raise Overloaded(f"a connection has at most {SUBSCRIPTIONS_MAX} subscriptions")
            if identity in self._subscriptions:
                raise ProtocolError(f"subscription {identity} is there already")
            log = self._engine.stream(payload[READ.size :].decode())
        except (Overloaded, BadRequest) as error:
            self.send(encode_failed(identity, error))
            return
        subscription = Subscription(identity, log, from_sequence, window_bytes, self)
        self._subscriptions[identity] = subscription
        scope = self._host.scope
        subscription.start(
            lambda coroutine: scope.spawn(coroutine, name=f"catch-up-{log.name}-{identity}")
        )

    def _on_credit(self, payload: bytes) -> None:
        identity, credit_bytes = CREDIT.unpack(payload)
        subscription = self._subscriptions.get(identity)
        if subscription is not None:  # it may just have failed
            subscription.add_credit(credit_bytes)

    def _on_cancel(self, payload: bytes) -> None:
        (identity,) = ID.unpack(payload)
        subscription = self._subscriptions.pop(identity, None)
        if subscription is not None:
            subscription.end()

    def _on_bounds(self, payload: bytes) -> None:
        (identity,) = ID.unpack_from(payload)
        try:
            log = self._engine.stream(payload[ID.size :].decode())
        except JournalError as error:
            self.send(encode_failed(identity, error))
            return
        self.send(encode(Kind.RESULT, THREE.pack(identity, log.first, log.last)))

    def _on_trim(self, payload: bytes) -> None:
        identity, before = TWO.unpack_from(payload)
        name = payload[TWO.size :].decode()
        self._start(identity, len(payload), name, lambda log: log.trim(before))

    def _on_hold(self, payload: bytes) -> None:
        identity, before, holder, name = decode_hold(payload)
        self._start(identity, len(payload), name, lambda log: log.hold(holder, before))

    def _start(self, identity: int, size_bytes: int, name: str, work: _Work) -> None:
        # Counted as under way, so that a client can't start tasks without end.
        self._under_way.take(size_bytes)
        coroutine = self._run_work(identity, size_bytes, name, work)
        self._host.scope.spawn(coroutine, name=f"files-of-{name}")

    async def _run_work(self, identity: int, size_bytes: int, name: str, work: _Work) -> None:
        """Do what needs the stream's files, and answer with its bounds."""
        try:
            log = self._engine.stream(name)
            await work(log)
        except JournalError as error:
            self.send(encode_failed(identity, error))
        except OSError as error:
            _log.exception("stream %r: its files can't be changed", name)
            self.send(encode_failed(identity, JournalError(f"stream {name!r}: {error}")))
        else:
            self.send(encode(Kind.RESULT, THREE.pack(identity, log.first, log.last)))
        finally:
            self._answered_bytes += size_bytes
            self._answered_count += 1
            self._schedule_flush()

    def _on_stats(self, payload: bytes) -> None:
        (identity,) = ID.unpack(payload)
        self.send(encode(Kind.TEXT, ID.pack(identity) + orjson.dumps(self._host.to_json())))

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._answered_count:
            self._under_way.give(self._answered_bytes, self._answered_count)
            self._answered_bytes = self._answered_count = 0
        parts = self._outgoing
        self._outgoing = []
        if self._acknowledged:
            parts.insert(0, encode_appended(self._acknowledged))
            self._acknowledged = []
        if parts and self._transport is not None and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _end_subscriptions(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.end()
        self._subscriptions.clear()

    def _hold(self) -> None:
        self._holds += 1
        if self._holds == 1 and self._transport is not None:
            self._transport.pause_reading()

    def _release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

"""What the client has under way, apart from any connection: appends, requests, readers.

Invariants:
    - All appends of one turn of the event loop leave in one write.
    - Everything here is unanswered; an answer, a deadline or `fail_all` removes it, once.
    - `attach` sends all of it, appends in their old order and with their old keys; those that may
      have been sent before say so, and after which sequence the journal may have them.

There are no tasks and no waiting here: journal/client.py drives it.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from journal.client_link import ClientLink
from journal.client_reader import ReaderQueue
from journal.engine import KEY_BYTES, Limits, check_append, check_stream_name
from journal.errors import BadRequest, DeadlineExceeded, JournalError, Overloaded
from journal.protocol import APPEND_HEAD, ID, RESEND_HEAD, Kind, encode, encode_append_head
from journal.record import encode_body, encode_keyed_record
from runtime.queues import Budget

UNDER_WAY_BYTES_MAX: Final = 16 << 20
UNDER_WAY_COUNT_MAX: Final = 16_384
COALESCED_BYTES_MAX: Final = 1 << 20
"""Appends of a turn go into one frame up to this size; one append may make it larger."""
UNSENT_BYTES_MAX: Final = 2 * UNDER_WAY_BYTES_MAX
"""What a service that takes nothing may leave in the socket's buffer: what has passed its deadline
is there still, beside what came after it."""
_STREAMS_MAX: Final = 1024
_UNSENT: Final = -1
Translate: TypeAlias = Callable[[JournalError], Exception]


class _Stream:
    """A stream's name, what is known of it, and what is to be sent to it at the turn's end.

    Attributes:
        known: a sequence that is durable, perhaps not the last: an append that is sent for the
            first time now comes after it.
        parts: heads and bodies of an APPEND frame.
        resent: those of a RESEND frame; it goes first.
    """

    __slots__ = ("known", "name", "parts", "resent")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.known = 0
        self.parts: list[bytes] = []
        self.resent: list[bytes] = []


class _Append:
    """An append that has not been answered.

    Attributes:
        after: what was known of the stream when it was first sent; `_UNSENT` before.
        future: of whoever waits; done before the answer: they gave up.
        translate: None: the answer is the future's result. Else whoever waits learns from the log
            itself that the append is there, and only needs to hear of failures, in its own words.
    """

    __slots__ = ("after", "deadline_s", "future", "keyed_body", "stream", "translate")

    def __init__(
        self,
        stream: _Stream,
        keyed_body: bytes,
        future: asyncio.Future[Any],
        deadline_s: float,
        translate: Translate | None,
    ) -> None:
        self.stream = stream
        self.keyed_body = keyed_body
        self.after = _UNSENT
        self.future = future
        self.deadline_s = deadline_s
        self.translate = translate

    def fail(self, error: JournalError) -> None:
        if not self.future.done():
            self.future.set_exception(self.translate(error) if self.translate else error)


class _Request:
    """Any other request that has not been answered; all of them may be repeated."""

    __slots__ = ("deadline_s", "frame", "future")

    def __init__(self, frame: bytes, future: asyncio.Future[Any], deadline_s: float) -> None:
        self.frame = frame
        self.future = future
        self.deadline_s = deadline_s


class ClientSession:
    """Everything unanswered, and the link it is sent on, if there is one."""

    def __init__(self) -> None:
        self.appends = 0
        self.resent = 0
        self.budget = Budget(UNDER_WAY_BYTES_MAX, UNDER_WAY_COUNT_MAX)
        self.link: ClientLink | None = None
        self.problem = "not connected yet"
        """Why there is no connection, for those whose deadline passes."""
        self._loop = asyncio.get_running_loop()
        self._append_bytes_max = Limits().append_bytes_max
        self._next_identity = 1
        self._appends: dict[int, _Append] = {}
        self._requests: dict[int, _Request] = {}
        self._readers: dict[int, ReaderQueue] = {}
        self._streams: dict[str, _Stream] = {}
        self._outgoing: list[_Stream] = []
        self._outgoing_bytes = 0
        self._outgoing_frames: list[bytes] = []
        self._flush_scheduled = False

    def submit(
        self,
        stream: str,
        records: Sequence[bytes],
        key: bytes,
        deadline_s: float,
        resent_after: int | None = None,
    ) -> asyncio.Future[int]:
        """Send an append with those of this turn; see `JournalClient.submit`."""
        check_append(records, key, self._append_bytes_max)
        if resent_after is not None and resent_after < 0:
            raise BadRequest(f"sequences begin at 1, not {resent_after}")
        future: asyncio.Future[int] = self._loop.create_future()
        after = _UNSENT if resent_after is None else resent_after
        append = self._new(stream, key + encode_body(records), future, deadline_s, None)
        append.after = after
        self._start(append)
        return future

    def submit_for(
        self,
        waiter: asyncio.Future[Any],
        stream: str,
        record: bytes,
        key: bytes,
        deadline_s: float,
        translate: Translate,
    ) -> None:
        """Send an append of one record; see `JournalClient.submit_for`."""
        if len(record) + 4 > self._append_bytes_max or len(key) != KEY_BYTES:
            check_append((record,), key, self._append_bytes_max)
        keyed_body = encode_keyed_record(key, record)
        self._start(self._new(stream, keyed_body, waiter, deadline_s, translate))

    def _new(
        self,
        stream: str,
        keyed_body: bytes,
        future: asyncio.Future[Any],
        deadline_s: float,
        translate: Translate | None,
    ) -> _Append:
        state = self._streams.get(stream)
        if state is None:
            state = self._open(stream)
        if self.budget.full:
            raise Overloaded("too many appends are under way to the journal; nothing was sent")
        return _Append(state, keyed_body, future, self._loop.time() + deadline_s, translate)

    def _start(self, append: _Append) -> None:
        identity = self._next_identity
        self._next_identity = identity + 1
        self._appends[identity] = append
        size_bytes = len(append.keyed_body)
        self.budget.take(size_bytes)
        if self.link is not None:
            self._enqueue(identity, append, size_bytes)

    def learn(self, stream: str, sequence: int) -> None:
        """Take note that a sequence of a stream is durable."""
        state = self._streams.get(stream)
        if state is None:
            state = self._open(stream)
        state.known = max(state.known, sequence)

    def request(self, make_frame: Callable[[int], bytes], deadline_s: float) -> asyncio.Future[Any]:
        """Send a request that may be repeated; return its answer's future.

        Args:
            make_frame: makes its frame of the id it gets.
            deadline_s: how long the answer may take.

        Raises:
            Overloaded: too many are under way.
        """
        if len(self._requests) >= UNDER_WAY_COUNT_MAX:
            raise Overloaded("too many requests are under way to the journal")
        identity = self._take_identity()
        frame = make_frame(identity)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._requests[identity] = _Request(frame, future, self._loop.time() + deadline_s)
        self.send(frame)
        return future

    def open_reader(self, stream: str, from_sequence: int) -> ReaderQueue:
        """Subscribe to a stream."""
        reader = ReaderQueue(self._take_identity(), stream, from_sequence)
        self._readers[reader.identity] = reader
        if self.link is not None:
            self.send(reader.encode_read())
        return reader

    def close_reader(self, reader: ReaderQueue) -> None:
        """End a subscription."""
        if self._readers.pop(reader.identity, None) is not None:
            self.send(encode(Kind.CANCEL, ID.pack(reader.identity)))

    def attach(self, link: ClientLink) -> None:
        """Go on over a new connection: send everything unanswered."""
        self.link = link
        for identity, append in list(self._appends.items()):
            if append.future.done():
                # Its caller gave up. It may have been sent before, but need not be again.
                del self._appends[identity]
                self.budget.give(len(append.keyed_body))
                continue
            self.resent += append.after != _UNSENT
            self._enqueue(identity, append, len(append.keyed_body))
        for request in self._requests.values():
            self.send(request.frame)
        for reader in self._readers.values():
            self.send(reader.encode_read())

    def detach(self, problem: str) -> None:
        """The connection is lost; what is unanswered waits for the next."""
        self.link = None
        self.problem = problem
        for stream in self._outgoing:
            stream.parts.clear()
            stream.resent.clear()
        self._outgoing.clear()
        self._outgoing_frames.clear()
        self._outgoing_bytes = 0

    def expire(self) -> None:
        """Give up what has passed its deadline."""
        now_s = self._loop.time()
        reason = "" if self.link is not None else f" ({self.problem})"
        for identity, append in list(self._appends.items()):
            if append.deadline_s <= now_s:
                del self._appends[identity]
                self.budget.give(len(append.keyed_body))
                append.fail(
                    DeadlineExceeded(
                        f"the journal did not answer in time{reason}; "
                        "the append may or may not be applied"
                    )
                )
        for identity, request in list(self._requests.items()):
            if request.deadline_s <= now_s:
                del self._requests[identity]
                _fail(
                    request.future,
                    DeadlineExceeded(f"the journal did not answer in time{reason}"),
                )
        if self.link is not None and self.link.unsent_bytes > UNSENT_BYTES_MAX:
            # A service that takes nothing (stopped, or the peer is gone): connect anew, and send
            # what is still waited for once somebody answers.
            self.link.close()

    def fail_all(self, error: JournalError) -> None:
        """End everything with `error`."""
        for append in self._appends.values():
            self.budget.give(len(append.keyed_body))
            append.fail(error)
        for request in self._requests.values():
            _fail(request.future, error)
        for reader in self._readers.values():
            reader.fail(error)
        self._appends.clear()
        self._requests.clear()
        self._readers.clear()

    def on_appended(self, numbers: array[int]) -> None:
        """Called by the link."""
        appends = self._appends
        size_bytes = count = 0
        append: _Append | None = None
        for index in range(0, len(numbers), 2):
            append = appends.pop(numbers[index], None)
            if append is None:
                continue  # its deadline passed
            size_bytes += len(append.keyed_body)
            count += 1
            if append.translate is None and not append.future.done():
                append.future.set_result(numbers[index + 1])
        if append is not None and numbers[-1] > append.stream.known:
            append.stream.known = numbers[-1]
        self.appends += count
        self.budget.give(size_bytes, count)

    def on_failed(self, identity: int, error: JournalError) -> None:
        """Called by the link."""
        append = self._appends.pop(identity, None)
        if append is not None:
            self.budget.give(len(append.keyed_body))
            append.fail(error)
            return
        request = self._requests.pop(identity, None)
        if request is not None:
            _fail(request.future, error)
            return
        reader = self._readers.get(identity)
        if reader is not None:
            reader.fail(error)

    def on_frames(self, identity: int, next_sequence: int, data: bytes) -> None:
        """Called by the link."""
        reader = self._readers.get(identity)
        if reader is not None:  # it may just have been cancelled
            reader.push(next_sequence, data)
            self.learn(reader.stream, next_sequence - 1)

    def on_answer(self, identity: int, answer: tuple[int, int] | bytes) -> None:
        """Called by the link."""
        request = self._requests.pop(identity, None)
        if request is not None and not request.future.done():
            request.future.set_result(answer)

    def send(self, frame: bytes) -> None:
        """Send with everything else of this turn; dropped while there is no connection."""
        if self.link is None:
            return
        self._outgoing_frames.append(frame)
        self._schedule_flush()

    def _take_identity(self) -> int:
        identity = self._next_identity
        self._next_identity = identity + 1
        return identity

    def _open(self, stream: str) -> _Stream:
        check_stream_name(stream)
        state = _Stream(stream.encode())
        if len(self._streams) < _STREAMS_MAX:
            self._streams[stream] = state
        return state

    def _enqueue(self, identity: int, append: _Append, size_bytes: int) -> None:
        stream = append.stream
        if append.after != _UNSENT:
            self._enqueue_again(identity, append, size_bytes)
        else:
            append.after = stream.known
            parts = stream.parts
            if not parts:
                self._outgoing.append(stream)
            parts += (APPEND_HEAD.pack(identity, size_bytes), append.keyed_body)
        self._outgoing_bytes += size_bytes
        if self._outgoing_bytes >= COALESCED_BYTES_MAX:
            self._flush()
        elif not self._flush_scheduled:
            self._schedule_flush()

    def _enqueue_again(self, identity: int, append: _Append, size_bytes: int) -> None:
        stream = append.stream
        if stream.parts:
            self._flush()  # what was submitted before it stays before it
        if not stream.resent:
            self._outgoing.append(stream)
        head = RESEND_HEAD.pack(identity, size_bytes, append.after)
        stream.resent += (head, append.keyed_body)

    def _on_turn_end(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        outgoing = self._outgoing
        frames = self._outgoing_frames
        for stream in outgoing:
            for kind, parts in ((Kind.RESEND, stream.resent), (Kind.APPEND, stream.parts)):
                if parts:
                    data = b"".join(parts)
                    frames.append(encode_append_head(stream.name, len(data), kind))
                    frames.append(data)
                    parts.clear()
        outgoing.clear()
        self._outgoing_bytes = 0
        if self.link is not None and frames:
            self.link.write(b"".join(frames))
        frames.clear()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._on_turn_end)


def _fail(future: asyncio.Future[Any], error: JournalError) -> None:
    if not future.done():
        future.set_exception(error)

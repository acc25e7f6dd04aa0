"""What the client has under way, apart from any connection: appends, requests, readers.

Invariants:
    - All appends of one turn of the event loop leave in one write.
    - Everything here is unanswered; an answer, a deadline or `fail_all` removes it, once.
    - `attach` sends all of it, appends in their old order and with their old keys.

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
from journal.errors import DeadlineExceeded, JournalError, Overloaded
from journal.protocol import APPEND_HEAD, ID, Kind, encode, encode_append_head
from journal.record import encode_body, encode_keyed_record
from runtime.queues import Budget

UNDER_WAY_BYTES_MAX: Final = 16 << 20
UNDER_WAY_COUNT_MAX: Final = 16_384
COALESCED_BYTES_MAX: Final = 1 << 20
"""Appends of a turn go into one frame up to this size; one append may make it larger."""
UNSENT_BYTES_MAX: Final = 2 * UNDER_WAY_BYTES_MAX
"""What a service that takes nothing may leave in the socket's buffer: what has passed its deadline
is there still, beside what came after it."""
_NAMES_MAX: Final = 1024
Translate: TypeAlias = Callable[[JournalError], Exception]


class _Append:
    """An append that has not been answered.

    Attributes:
        future: of whoever waits; done before the answer: they gave up.
        translate: None: the answer is the future's result. Else whoever waits learns from the log
            itself that the append is there, and only needs to hear of failures, in its own words.
    """

    __slots__ = ("deadline_s", "future", "keyed_body", "sent", "stream", "translate")

    def __init__(
        self,
        stream: str,
        keyed_body: bytes,
        future: asyncio.Future[Any],
        deadline_s: float,
        translate: Translate | None,
    ) -> None:
        self.stream = stream
        self.keyed_body = keyed_body
        self.sent = False
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
        self._names: set[str] = set()
        self._outgoing: dict[str, list[bytes]] = {}
        self._outgoing_bytes = 0
        self._outgoing_frames: list[bytes] = []
        self._flush_scheduled = False

    def submit(
        self, stream: str, records: Sequence[bytes], key: bytes, deadline_s: float
    ) -> asyncio.Future[int]:
        """Send an append with those of this turn; see `JournalClient.submit`."""
        check_append(records, key, self._append_bytes_max)
        future: asyncio.Future[int] = self._loop.create_future()
        self._submit(stream, key + encode_body(records), future, deadline_s, None)
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
        self._submit(stream, keyed_body, waiter, deadline_s, translate)

    def _submit(
        self,
        stream: str,
        keyed_body: bytes,
        future: asyncio.Future[Any],
        deadline_s: float,
        translate: Translate | None,
    ) -> None:
        if stream not in self._names:
            self._check_name(stream)
        if self.budget.full:
            raise Overloaded("too many appends are under way to the journal; nothing was sent")
        append = _Append(stream, keyed_body, future, self._loop.time() + deadline_s, translate)
        identity = self._next_identity
        self._next_identity = identity + 1
        self._appends[identity] = append
        size_bytes = len(keyed_body)
        self.budget.take(size_bytes)
        if self.link is not None:
            self._enqueue(identity, append, size_bytes)

    def request(
        self, kind: Kind, argument: bytes, name: str, deadline_s: float
    ) -> asyncio.Future[Any]:
        """Send a request that may be repeated; return its answer's future.

        Raises:
            Overloaded: too many are under way.
        """
        if len(self._requests) >= UNDER_WAY_COUNT_MAX:
            raise Overloaded("too many requests are under way to the journal")
        identity = self._take_identity()
        frame = encode(kind, ID.pack(identity) + argument + name.encode())
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
            self.resent += append.sent
            self._enqueue(identity, append, len(append.keyed_body))
        for request in self._requests.values():
            self.send(request.frame)
        for reader in self._readers.values():
            self.send(reader.encode_read())

    def detach(self, problem: str) -> None:
        """The connection is lost; what is unanswered waits for the next."""
        self.link = None
        self.problem = problem
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
        for index in range(0, len(numbers), 2):
            append = appends.pop(numbers[index], None)
            if append is None:
                continue  # its deadline passed
            size_bytes += len(append.keyed_body)
            count += 1
            if append.translate is None and not append.future.done():
                append.future.set_result(numbers[index + 1])
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

    def _check_name(self, stream: str) -> None:
        check_stream_name(stream)
        if len(self._names) < _NAMES_MAX:
            self._names.add(stream)

    def _enqueue(self, identity: int, append: _Append, size_bytes: int) -> None:
        parts = self._outgoing.get(append.stream)
        if parts is None:
            parts = self._outgoing[append.stream] = []
        append.sent = True
        parts += (APPEND_HEAD.pack(identity, size_bytes), append.keyed_body)
        self._outgoing_bytes += size_bytes
        if self._outgoing_bytes >= COALESCED_BYTES_MAX:
            self._flush()
        elif not self._flush_scheduled:
            self._schedule_flush()

    def _on_turn_end(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        outgoing = self._outgoing
        frames = self._outgoing_frames
        for stream, parts in outgoing.items():
            data = b"".join(parts)
            frames.append(encode_append_head(stream.encode(), len(data)))
            frames.append(data)
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

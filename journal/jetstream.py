"""NATS JetStream as the journal, for whoever outgrows one machine: three of them keep the log.

A stream of the journal is a JetStream stream (file storage, one or three replicas), an append one
message of it, and what the messages mean is worked out by every process alike, from their order
alone (journal/nats_fold.py). That is what makes the contract hold without asking servers for more
than an order:

    append      One message, whole or absent. It is answered when this process's follower has come
                to it in the log, which is when it is known which sequences it got. JetStream lets
                it be seen only once it is stored: by a majority, where there are three.
    retries     `Nats-Msg-Id` keeps most repetitions out of the log; those that come later than the
                servers remember, or to a new leader that does not, are in the log and do not count.
                The window is of keys, not of time, and the same for all.
    sequences   Those of records, not of messages. Marks in the noted state map one to the other.
    tail        A message of its own goes through the log, and what lies before it is the answer.
                So it is linearizable: no deposed leader can answer, as it can store nothing.
                Calls that come together share one message.
    trim, hold  Are messages too: a hold that was acknowledged lies before every later trim for all.
                A holder is given up by a trim that names the very hold that was found silent.
    reading     A push consumer, checked for gaps, feeds the newest appends; older ones are pulled.
                A process that only writes follows heads without bodies, to learn its numbers.
    no quorum   Appends wait for their deadline and end in NoQuorum if no server can have taken
                them, else in DeadlineExceeded; `connected_to` says so to those who would come next.

What is promised rests on JetStream: with three replicas, whatever happens to one server loses
nothing. Servers answer before they have synced to the disk unless their configuration says
`sync_interval: always` (2.10 and later). Without it, a power cut of a majority of the machines at
once, or of the only one, can lose what was acknowledged in the last two minutes; where the log has
then become shorter than what was seen of it, its stream stays away instead of forking silently.
How soon writing goes on after a leader is lost is up to the servers' election: they wait for a
random time between 4 and 9 seconds, which no client can shorten.

A log that may only grow to `stream_bytes_max` takes no appends from 7/8 of that on, by JournalFull,
so that trims and holds, which make room, still get in. An account's own limits know no such rest.

Limits: an append must fit into one message, so servers need `max_payload: 9MB` (the default of 1 MB
refuses what is larger, by RecordTooLarge). Of a log, one mark a thousand messages is in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from journal.client_session import Translate
from journal.engine import (
    KEY_BYTES,
    Batch,
    Limits,
    check_append,
    check_sequence,
    check_stream_name,
)
from journal.errors import BadRequest, Disconnected, Overloaded
from journal.nats_fold import MARK_HEAD, hold_head, trim_head
from journal.nats_ops import MakeHead, Op, Outbox, Waiter
from journal.nats_options import NatsOptions
from journal.nats_reader import read_stream
from journal.nats_session import NatsSession
from journal.nats_stream import StreamState
from journal.record import encode_body
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskCrashed

DEADLINE_SECONDS: Final = 30.0


class JetStreamJournal:
    """`Journal` over NATS JetStream. Use as `async with JetStreamJournal(address) as journal`.

    Args of the constructor:
        address: `nats://host:4222[,host:4222...]`, or `tls://`.
        options: who we are, and what the streams are like.
        clock: for timestamps, and to tell who is silent.
        deadline_s: how long calls wait for an answer unless they say otherwise.
        on_crash: hears of a bug in our own tasks; without it, `close` raises it.
    """

    def __init__(
        self,
        address: str,
        options: NatsOptions | None = None,
        *,
        clock: Clock | None = None,
        deadline_s: float = DEADLINE_SECONDS,
        on_crash: Callable[[TaskCrashed], None] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._session = NatsSession(address, options or NatsOptions(), clock, on_crash)
        self._deadline_s = deadline_s
        self._append_bytes_max = Limits().append_bytes_max
        # Unique to this object's life; messages that are no appends have keys of ours.
        self._key_prefix = os.urandom(8)
        self._next_key = 0

    async def start(self) -> None:
        """Begin to connect, in the background; whatever is asked waits until it has."""
        self._session.start()

    async def close(self) -> None:
        """Hang up; whoever still waits gets Disconnected."""
        await self._session.close()

    async def __aenter__(self) -> JetStreamJournal:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._session.connected

    @property
    def connections(self) -> int:
        """How many times it connected."""
        return self._session.connections

    @property
    def appends(self) -> int:
        """How many appends of this process the log has."""
        return self._outbox.appends

    @property
    def resent(self) -> int:
        """How many messages were sent again."""
        return self._outbox.resent

    @property
    def has_room(self) -> bool:
        """Whether `submit` takes an append now."""
        return not self._outbox.budget.full

    def connected_to(self, stream: str) -> bool:
        """Whether a stream answers, as far as is known."""
        return self._session.connected_to(stream)

    def returns_of(self, stream: str) -> int:
        """Return a number that changes whenever a stream is back after being away."""
        return self._session.returns_of(stream)

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._session.link()

    def submit(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        deadline_s: float | None = None,
        resent_after: int | None = None,
    ) -> asyncio.Future[int]:
        """Send an append without waiting; the cheap form of `append`.

        Returns:
            Its first sequence, once durable. Cancelling it does not unsend the append.

        Raises:
            Overloaded: too much is under way; nothing was sent.
            RecordTooLarge, BadRequest: nothing was sent. Disconnected: the journal is closed.
        """
        check_append(records, idempotency_key, self._append_bytes_max)
        if resent_after is not None and resent_after < 0:
            raise BadRequest(f"sequences begin at 1, not {resent_after}")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        after = -1 if resent_after is None else resent_after
        self._append((future, None), stream, records, idempotency_key, deadline_s, after)
        return future

    def submit_for(
        self,
        waiter: asyncio.Future[Any],
        stream: str,
        record: bytes,
        idempotency_key: bytes,
        deadline_s: float,
        translate: Translate,
    ) -> None:
        """Send an append as `submit`, for a waiter that reads the log and finds the record there.

        Args:
            waiter: gets what `translate` makes of a failure; is left alone when all goes well.
            stream, record, idempotency_key, deadline_s: as for `submit`.
            translate: words a failure for the waiter.

        Raises:
            JournalError: as `submit`.
        """
        records = (record,)
        if len(record) + 4 > self._append_bytes_max or len(idempotency_key) != KEY_BYTES:
            check_append(records, idempotency_key, self._append_bytes_max)
        self._append((waiter, translate), stream, records, idempotency_key, deadline_s, -1)

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
        deadline_s: float | None = None,
    ) -> int:
        """See `Journal.append`; waits while too much is under way.

        Args:
            stream: its name.
            records: one or more opaque records.
            idempotency_key: 16 bytes, the same on every retry.
            resent_after: for a retry by the caller.
            deadline_s: seconds from now after which NoQuorum or DeadlineExceeded is raised.
        """
        if self._outbox.budget.full:
            try:
                async with asyncio.timeout(self._deadline_s if deadline_s is None else deadline_s):
                    await self._outbox.budget.wait_for_room()
            except TimeoutError as error:
                raise Overloaded("too many appends are under way; nothing was sent") from error
        return await self.submit(stream, records, idempotency_key, deadline_s, resent_after)

    async def read(self, stream: str, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        """See `Journal.read`; goes on by itself after a lost connection."""
        check_sequence(from_sequence)
        state = self._stream(stream)
        await state.opened.wait()
        if state.failure is None and state.fold is not None and from_sequence > state.fold.last + 1:
            await self.bounds(stream)  # what we know of the log may be old
        async with aclosing(read_stream(state, from_sequence, self._session.link)) as reading:
            async for batches in reading:
                yield batches

    async def tail(self, stream: str) -> int:
        """See `Journal.tail`."""
        _, last = await self.bounds(stream)
        return last

    async def bounds(self, stream: str) -> tuple[int, int]:
        """See `Journal.bounds`; asks a majority, by a message in the log."""
        state = self._stream(stream)
        future: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        waiter: Waiter = (future, None)
        state.join_mark(waiter, lambda: self._send_mark(state, [waiter]))
        return await future

    def learn(self, stream: str, sequence: int) -> None:
        """Nothing to note: the follower knows the log itself."""

    async def trim(self, stream: str, before: int) -> None:
        """See `Journal.trim`."""
        state = self._stream(stream)
        await self._ask(state, lambda _: trim_head(max(0, before), state.silent()))
        await self._session.purge(state)

    async def hold(self, stream: str, holder: str, before: int) -> tuple[int, int]:
        """See `Journal.hold`."""
        check_stream_name(holder)
        check_sequence(before)
        state = self._stream(stream)
        return await self._ask(state, lambda _: hold_head(holder, before, state.silent()))

    @property
    def _outbox(self) -> Outbox:
        outbox = self._session.outbox
        if outbox is None:
            raise Disconnected("the journal was closed, or not started")
        return outbox

    def _stream(self, name: str) -> StreamState:
        state = self._session.stream(name)
        if state.failure is not None:
            raise state.failure
        return state

    def _append(
        self,
        waiter: Waiter,
        stream: str,
        records: Sequence[bytes],
        key: bytes,
        deadline_s: float | None,
        after: int,
    ) -> None:
        outbox = self._outbox
        state = self._stream(stream)
        if outbox.budget.full:
            raise Overloaded("too many appends are under way to the journal; nothing was sent")
        seconds = self._deadline_s if deadline_s is None else deadline_s
        until_s = asyncio.get_running_loop().time() + seconds
        state.append(waiter, encode_body(records), key, until_s, after)

    async def _ask(self, state: StreamState, make_head: MakeHead) -> tuple[int, int]:
        future: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        state.start(self._op(state, make_head), (future, None))
        return await future

    def _send_mark(self, state: StreamState, waiters: list[Waiter]) -> None:
        """Have a mark sent; when it is answered, the next for those who came meanwhile."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        op = self._op(state, lambda _: MARK_HEAD)
        op.waiters += waiters
        done.add_done_callback(partial(self._on_marked, state))
        state.start(op, (done, None))

    def _on_marked(self, state: StreamState, done: asyncio.Future[Any]) -> None:
        error = done.exception()
        waiting = state.end_mark()
        if isinstance(error, Disconnected):
            for future, _ in waiting:
                if not future.done():
                    future.set_exception(error)
        elif waiting:
            state.join_mark(waiting[0], lambda: self._send_mark(state, waiting))

    def _op(self, state: StreamState, make_head: MakeHead) -> Op:
        self._next_key += 1
        key = self._key_prefix + self._next_key.to_bytes(8, "big")
        until_s = asyncio.get_running_loop().time() + self._deadline_s
        return Op(state, key, b"", make_head, until_s)

"""Reading a stream from anywhere: the newest appends from memory, older ones from the servers.

Older ones come by a pull consumer, so much at a time as the reader takes, from the nearest mark on;
they are numbered by what the follower has folded already, and never go beyond it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from journal.engine import Batch, check_from_sequence
from journal.nats_fold import CLOCK_AHEAD_MS_MAX, counts_as_append
from journal.nats_link import ApiRefusal, NatsLink, Unreachable
from journal.nats_names import key_and_head, place_of
from journal.nats_stream import StreamState, make_batch

FETCH_COUNT: Final = 256
FETCH_BYTES: Final = 1 << 20
FETCH_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.2
_NANO: Final = 1_000_000_000
Link = Callable[[], Awaitable[NatsLink]]


async def read_stream(
    state: StreamState, from_sequence: int, link: Link
) -> AsyncGenerator[list[Batch], None]:
    """Yield all appends of an open stream from a sequence on, endlessly.

    Raises:
        SequenceTrimmed, SequenceAhead, BadRequest, CorruptStream: as of `Journal.read`.
    """
    sequence = from_sequence
    if not state.wants_bodies:
        state.wants_bodies = True
        state.restart.set()
    while True:
        fold = state.fold
        assert fold is not None
        if state.failure is not None:
            raise state.failure
        check_from_sequence(sequence, fold.first, fold.last)
        if sequence > fold.last:
            await state.grown.wait()
        elif state.has_recent(sequence):
            batches = state.recent.take(sequence)
            sequence = batches[-1].last_sequence + 1
            yield batches
        else:
            try:
                async with aclosing(_older(state, sequence, await link())) as older:
                    async for batches in older:
                        sequence = batches[-1].last_sequence + 1
                        yield batches
            except (Unreachable, ApiRefusal):
                await asyncio.sleep(RETRY_SECONDS)


async def _older(
    state: StreamState, sequence: int, link: NatsLink
) -> AsyncGenerator[list[Batch], None]:
    """Yield appends until those in memory go on, or the log's end as it is known.

    Raises:
        Unreachable, ApiRefusal: to be begun anew behind what was yielded.
    """
    assert state.fold is not None
    place = _Place(state, sequence)
    fetch = _Fetch(state.log_name, link)
    try:
        await fetch.open(place.position + 1)
        # All that is folded is looked at at most: what comes after that comes from memory.
        while place.position < state.fold.position and not state.has_recent(sequence):
            batches = place.number(await fetch.more(), sequence)
            if batches:
                sequence = batches[-1].last_sequence + 1
                yield batches
            if place.is_ahead:
                return
    finally:
        await fetch.close()


class _Place:
    """Where in the log a reader is; it numbers messages as the fold did."""

    def __init__(self, state: StreamState, sequence: int) -> None:
        assert state.fold is not None
        self._state = state
        self.is_ahead = False
        """Messages were left out, as they are not folded yet."""
        self.position, self._last, self._timestamp_ms = state.fold.mark_before(sequence)

    def number(self, messages: list[Msg], wanted: int) -> list[Batch]:
        """Return the appends among messages, from sequence `wanted` on.

        Raises:
            Unreachable: messages are missing; a new look tells whether they were trimmed.
        """
        fold = self._state.fold
        assert fold is not None
        batches: list[Batch] = []
        for message in messages:
            place = place_of(message.reply)
            if place.position > fold.position:
                self.is_ahead = True
                break
            # What lies before the first mark is trimmed, and what did not count there forgotten.
            if place.position != self.position + 1 or place.position <= fold.marks[0].position:
                raise Unreachable(f"message {self.position + 1} is missing")
            self.position = place.position
            key, head = key_and_head(message)
            found = counts_as_append(key, head)
            if found is None or fold.is_ignored(place.position):
                continue
            count, stamp_ms = found
            first = self._last + 1
            self._last += count
            stamp_ms = min(stamp_ms, place.server_ms + CLOCK_AHEAD_MS_MAX)
            self._timestamp_ms = max(self._timestamp_ms, stamp_ms)
            if self._last < wanted:
                continue
            batch = make_batch(
                self._state.name, place.position, first, self._timestamp_ms, head, message.data
            )
            if first < wanted:
                batch = Batch(wanted, batch.timestamp_ms, batch.records[wanted - first :])
            batches.append(batch)
        return batches


class _Fetch:
    """A pull consumer of one reader."""

    def __init__(self, log_name: str, link: NatsLink) -> None:
        self._log_name = log_name
        self._link = link
        self._found: list[Msg] = []
        self._ended = asyncio.Event()
        self._consumer = ""
        self._inbox = ""
        self._subscription: Subscription | None = None

    async def open(self, position: int) -> None:
        """Begin at a message.

        Raises:
            Unreachable, ApiRefusal: it can't be.
        """
        self._inbox, self._subscription = await self._link.subscribe(self._on_message)
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": position,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30 * _NANO,
        }
        request = {"stream_name": self._log_name, "config": config}
        answer = await self._link.api(f"CONSUMER.CREATE.{self._log_name}", request)
        self._consumer = answer["name"]

    async def more(self) -> list[Msg]:
        """Return the next messages, at least one.

        Raises:
            Unreachable: none come.
        """
        self._found, self._ended = [], asyncio.Event()
        room_bytes = max(FETCH_BYTES, 2 * self._link.max_payload_bytes)
        request = {
            "batch": FETCH_COUNT,
            "max_bytes": room_bytes,
            "expires": int(FETCH_SECONDS / 2 * _NANO),
            "no_wait": True,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._log_name}.{self._consumer}"
        await self._link.send(subject, orjson.dumps(request), self._inbox)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            pass
        found, self._found = self._found, []
        if not found:
            raise Unreachable("older messages do not come")
        return found

    async def close(self) -> None:
        """Leave nothing behind."""
        if self._subscription is None:
            return
        await self._link.unsubscribe(self._subscription)
        if self._consumer and not self._link.lost.done():
            subject = f"$JS.API.CONSUMER.DELETE.{self._log_name}.{self._consumer}"
            with suppress(Unreachable):
                await self._link.send(subject, reply="_INBOX.none")

    async def _on_message(self, message: Msg) -> None:
        if message.subject == self._inbox:
            # No more for this request: it is used up, or there is none.
            if not message.reply:
                self._ended.set()
            return
        self._found.append(message)
        if len(self._found) >= FETCH_COUNT:
            self._ended.set()

"""The memory engine: the contract at its simplest, for tests and simulation. Nothing survives."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from operator import attrgetter

from journal.engine import (
    KEY_WINDOW,
    Batch,
    Limits,
    check_append,
    check_from_sequence,
    check_sequence,
    check_stream_name,
)
from journal.errors import OutcomeUnknown
from journal.holds import Holds
from journal.key_window import KeyWindow
from runtime.clock import Clock, SystemClock

_first_sequence = attrgetter("first_sequence")

_BATCHES_PER_READ = 64


class _Stream:
    def __init__(self, key_window: int) -> None:
        self.batches: list[Batch] = []
        self.first = 1
        self.last = 0
        self.timestamp_ms = 0
        self.keys = KeyWindow(key_window)
        self.holds = Holds(Limits().hold_seconds, Limits().holders_max, {}, 0.0)
        self.grown = asyncio.Event()


class MemoryEngine:
    """`Journal` in this process's memory. Trims by whole appends."""

    def __init__(self, clock: Clock | None = None, key_window: int = KEY_WINDOW) -> None:
        self._clock = clock or SystemClock()
        self._key_window = key_window
        self._append_bytes_max = Limits().append_bytes_max
        self._streams: dict[str, _Stream] = {}

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
    ) -> int:
        """See `Journal.append`."""
        # A turn of the loop passes, as with every engine that waits for a disk.
        await asyncio.sleep(0)
        return self.append_now(stream, records, idempotency_key, resent_after=resent_after)

    def append_now(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
    ) -> int:
        """Append without a turn of the loop; see `Journal.append`."""
        check_append(records, idempotency_key, self._append_bytes_max)
        state = self._stream(stream)
        known = state.keys.get(idempotency_key)
        if known is not None:
            return known
        if resent_after is not None and resent_after < state.keys.complete_after:
            raise OutcomeUnknown(f"the key is forgotten, and was first sent after {resent_after}")
        first = state.last + 1
        state.timestamp_ms = max(state.timestamp_ms, self._clock.now_ms())
        state.batches.append(Batch(first, state.timestamp_ms, tuple(records)))
        state.last += len(records)
        state.keys.add(idempotency_key, first)
        state.grown.set()
        state.grown.clear()
        return first

    async def read(self, stream: str, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        """See `Journal.read`."""
        check_sequence(from_sequence)
        state = self._stream(stream)
        sequence = from_sequence
        while True:
            check_from_sequence(sequence, state.first, state.last)
            if sequence > state.last:
                await state.grown.wait()
                continue
            place = bisect_right(state.batches, sequence, key=_first_sequence) - 1
            batches = state.batches[place : place + _BATCHES_PER_READ]
            head = batches[0]
            skipped = sequence - head.first_sequence
            if skipped:
                batches[0] = Batch(sequence, head.timestamp_ms, head.records[skipped:])
            sequence = batches[-1].last_sequence + 1
            yield batches

    async def tail(self, stream: str) -> int:
        """See `Journal.tail`."""
        return self._stream(stream).last

    async def bounds(self, stream: str) -> tuple[int, int]:
        """See `Journal.bounds`."""
        state = self._stream(stream)
        return state.first, state.last

    async def trim(self, stream: str, before: int) -> None:
        """See `Journal.trim`."""
        state = self._stream(stream)
        state.holds.expire(self._clock.monotonic_s())
        least = state.holds.least()
        before = before if least is None else min(before, least)
        gone = 0
        while gone < len(state.batches) and state.batches[gone].last_sequence < before:
            gone += 1
        if gone:
            state.first = state.batches[gone - 1].last_sequence + 1
            del state.batches[:gone]

    async def hold(self, stream: str, holder: str, before: int) -> tuple[int, int]:
        """See `Journal.hold`."""
        state = self._stream(stream)
        state.holds.renew(holder, before, self._clock.monotonic_s())
        return state.first, state.last

    def _stream(self, name: str) -> _Stream:
        state = self._streams.get(name)
        if state is None:
            check_stream_name(name)
            state = self._streams[name] = _Stream(self._key_window)
        return state

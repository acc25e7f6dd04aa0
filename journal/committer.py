"""Group commit: everything that waits is written together and synced once.

    submit --> pending --(disk idle)--> group: numbered, framed --> disk thread: write, fdatasync
                                                                         |
               waiters answered, readers told <-- published <-- DURABLE -+
               JournalFull, numbers taken back   <-----------   REFUSED -+
               StreamClosed for all, for ever    <-----------   FAILED  -+

Invariants:
    - At most one group is under way; the next one is framed only after its fate is known, so a
      frame's group offset proves what was durable, and refused numbers can be given again.
    - Nothing is published (readers, tail, key window, acknowledgement) before its fsync returned.
      Visible before synced, as some logs have it, shows readers what a crash undoes.
    - Appends of one caller are committed in the order of their submission.
    - A key that is pending, under way or remembered is never written a second time, nor one that
      is resent and may have been forgotten.

All methods run on the event loop; only `DiskLog` runs on the disk thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol, TypeAlias

from journal.disk import DiskThread, Environment
from journal.disk_log import DiskLog, Fate, NewSegment, Outcome
from journal.engine import KEY_BYTES
from journal.errors import JournalError, JournalFull, OutcomeUnknown, Overloaded, StreamClosed
from journal.key_window import KeyWindow
from journal.record import (
    HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    Chunk,
    SegmentHeader,
    encode_frame,
)
from journal.recovery import Recovered
from journal.segment import SegmentInfo, segment_name
from journal.stats import StreamStats
from journal.waypoint import Waypoint
from runtime.queues import Budget

_log = logging.getLogger(__name__)

Done: TypeAlias = Callable[[int, JournalError | None], None]
"""Called once per append, on the event loop: its first sequence, or 0 and why it failed."""

_OVERLOAD_SLACK_BYTES = 96 << 20
"""Writers are paused at the pending limits; so far beyond them, who went on is refused."""


class Append:
    """One append on its way to the disk."""

    __slots__ = ("count", "done", "first_sequence", "joined", "key", "keyed_body", "received_s")

    def __init__(self, key: bytes, keyed_body: bytes, count: int, done: Done) -> None:
        self.key = key
        self.keyed_body = keyed_body
        self.count = count
        self.done = done
        self.joined: list[Done] | None = None
        self.first_sequence = 0
        self.received_s = monotonic()

    @property
    def frame_bytes(self) -> int:
        """The size of its frame."""
        return len(self.keyed_body) + HEAD_BYTES - KEY_BYTES

    def answer(self, first_sequence: int, error: JournalError | None) -> None:
        """Tell the caller, and those whose retries joined it."""
        self.done(first_sequence, error)
        if self.joined is not None:
            for done in self.joined:
                done(first_sequence, error)


@dataclass(frozen=True, slots=True)
class Group:
    """Appends that are written and synced together."""

    appends: list[Append]
    chunk: Chunk
    timestamp_ms: int
    new_segment: NewSegment | None


@dataclass(slots=True)
class Position:
    """Where the log ends: the numbers the next group gets."""

    next_sequence: int = 1
    timestamp_ms: int = 0
    segment_salt: int | None = None
    """None before the first segment."""
    segment_end: int = SEGMENT_HEADER_BYTES


class Observer(Protocol):
    """Who keeps the segments and the readers of a stream."""

    def on_published(self, group: Group) -> None:
        """The group is durable; nobody has been told yet."""
        ...

    def on_answered(self, group: Group) -> None:
        """The group's callers have been answered; readers may get it now."""
        ...


def choose_group(sizes: Sequence[int], bytes_max: int, count_max: int) -> int:
    """Return how many of the waiting appends, in order, are committed together.

    At least one, whatever its size; more only while both limits hold.
    """
    if len(sizes) <= count_max and sum(sizes) <= bytes_max:
        return len(sizes)
    taken = 0
    total = 0
    for size in sizes:
        total += size
        if taken and (total > bytes_max or taken >= count_max):
            break
        taken += 1
    return taken


class Committer:
    """The single writer of a stream."""

    def __init__(
        self,
        log_directory: Path,
        environment: Environment,
        disk_log: DiskLog,
        found: Recovered,
        observer: Observer,
    ) -> None:
        limits = environment.limits
        self.stats = StreamStats()
        self.budget = Budget(limits.pending_bytes_max, limits.pending_count_max)
        self.closed: StreamClosed | None = None
        self.position = Position(found.next_sequence, found.timestamp_ms)
        if found.segments:
            tail = found.segments[-1]
            self.position.segment_salt = tail.salt
            self.position.segment_end = tail.end_offset
        self._window = KeyWindow(limits.key_window, found.keys, found.keys_after)
        self._stream = log_directory.name
        self._directory = log_directory
        self._disk_log = disk_log
        self._limits = limits
        self._clock = environment.clock
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._thread: DiskThread | None = None
        self._pending: deque[Append] = deque()
        self._by_key: dict[bytes, Append] = {}
        self._busy = False
        self._scheduled = False
        self._must_roll = False
        self._lacks_space = False
        self._idle_waiters: list[asyncio.Future[None]] = []

    def submit(
        self,
        key: bytes,
        keyed_body: bytes,
        count: int,
        done: Done,
        resent_after: int | None = None,
    ) -> None:
        """Have an append committed; `done` hears of it, perhaps before this returns.

        The caller looks at `budget.full` and stops for a while; one that never does is refused.

        Args:
            key: its idempotency key.
            keyed_body: the key and the records.
            count: of its records.
            done: who is told.
            resent_after: None for an append that is sent for the first time; else the sequence
                after which an earlier attempt may have been committed.
        """
        known = self._window.get(key)
        if known is not None:
            # Also after the stream closed: what was durable before has its outcome.
            self.stats.repeated_keys += 1
            done(known, None)
            return
        if self.closed is not None:
            done(0, self.closed)
            return
        under_way = self._by_key.get(key)
        if under_way is not None:
            if under_way.joined is None:
                under_way.joined = []
            under_way.joined.append(done)
            return
        if resent_after is not None and resent_after < self._window.complete_after:
            done(0, self._forgotten(resent_after))
            return
        budget = self.budget
        if budget.held_bytes > self._limits.pending_bytes_max + _OVERLOAD_SLACK_BYTES:
            done(0, Overloaded(f"stream {self._stream!r}: too many appends wait for the disk"))
            return
        append = Append(key, keyed_body, count, done)
        self._by_key[key] = append
        self._pending.append(append)
        budget.take(len(keyed_body))
        if not self._busy and not self._scheduled:
            # After this turn of the loop, so that all of its appends share the first group.
            self._scheduled = True
            self._loop.call_soon(self._start_group)

    def waypoint(self) -> Waypoint:
        """Return what is durable now, and the keys that are remembered."""
        position = self.position
        return Waypoint(position.next_sequence, position.timestamp_ms, self._window.items())

    def keys_of(self, info: SegmentInfo) -> list[tuple[bytes, int]]:
        """Return the keys of a segment that are remembered, oldest first."""
        return self._window.between(info.first_sequence, info.next_sequence)

    async def drain(self) -> None:
        """Return when nothing is pending or under way."""
        while self._pending or self._busy:
            future: asyncio.Future[None] = self._loop.create_future()
            self._idle_waiters.append(future)
            await future

    def stop(self) -> None:
        """End the disk thread and close the file, after `drain`; appends are refused from now."""
        if self.closed is None:
            self.closed = StreamClosed(f"stream {self._stream!r}: the journal is stopping")
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        self._disk_log.close()
        waiting, self._pending = self._pending, deque()
        self._refuse(waiting, self.closed)

    def _start_group(self) -> None:
        self._scheduled = False
        if self._busy or not self._pending or self.closed is not None:
            return
        pending = self._pending
        taken = choose_group(
            [len(append.keyed_body) for append in pending],
            self._limits.group_bytes_max,
            self._limits.group_count_max,
        )
        if taken == len(pending):
            appends = list(pending)
            pending.clear()
        else:
            appends = [pending.popleft() for _ in range(taken)]
        group = self._number(appends)
        self._busy = True
        if self._thread is None:
            self._thread = DiskThread(f"journal-{self._stream}")
        self._thread.submit(lambda: self._perform(group))

    def _number(self, appends: list[Append]) -> Group:
        """Give the appends their sequences and frames; changes nothing but the appends."""
        position = self.position
        size_bytes = sum([append.frame_bytes for append in appends])
        timestamp_ms = max(position.timestamp_ms, self._clock.now_ms())
        new_segment = self._plan_segment(size_bytes, timestamp_ms)
        if new_segment is not None:
            salt, group_offset = new_segment.header.salt, SEGMENT_HEADER_BYTES
        else:
            assert position.segment_salt is not None
            salt, group_offset = position.segment_salt, position.segment_end
        sequence = position.next_sequence
        parts: list[bytes] = []
        for append in appends:
            append.first_sequence = sequence
            parts += encode_frame(append.keyed_body, salt, group_offset, sequence, timestamp_ms)
            sequence += append.count
        data = b"".join(parts)
        assert len(data) == size_bytes
        chunk = Chunk(position.next_sequence, sequence, data)
        return Group(appends, chunk, timestamp_ms, new_segment)

    def _plan_segment(self, size_bytes: int, timestamp_ms: int) -> NewSegment | None:
        position = self.position
        fits = position.segment_end + size_bytes <= self._limits.segment_bytes
        empty = position.segment_end == SEGMENT_HEADER_BYTES
        if position.segment_salt is not None and (fits or empty) and not self._must_roll:
            return None
        first = position.next_sequence
        salt = int.from_bytes(os.urandom(4), "little")
        header = SegmentHeader(self._stream, first, salt, timestamp_ms)
        return NewSegment(self._directory / segment_name(first), header)

    def _perform(self, group: Group) -> None:
        """Runs on the disk thread."""
        try:
            chunk = group.chunk
            outcome = self._disk_log.commit(chunk.data, group.new_segment, chunk.next_sequence)
        except Exception as error:  # noqa: BLE001
            # Not an I/O error, so a broken invariant: it is logged, and the stream closes; on
            # this thread there is nobody above to hear of it, and the appends would hang.
            _log.critical("stream %r: commit crashed", self._stream, exc_info=True)
            outcome = Outcome(Fate.FAILED, error=OSError(str(error)))
        self._loop.call_soon_threadsafe(self._finish, group, outcome)

    def _finish(self, group: Group, outcome: Outcome) -> None:
        self._busy = False
        match outcome.fate:
            case Fate.DURABLE:
                self._publish(group, outcome.seconds)
            case Fate.REFUSED:
                # The disk may have begun the segment, and can't go back to the one before: the next
                # group begins it again, over the same name, even if it is small enough for the old.
                self._must_roll = self._must_roll or group.new_segment is not None
                self.stats.refused_full += len(group.appends)
                self._refuse(group.appends, self._full_error(outcome))
                self._start_group()
            case Fate.FAILED:
                self._close(group, outcome)
        if not self._busy and not self._pending:
            waiters, self._idle_waiters = self._idle_waiters, []
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    def _publish(self, group: Group, seconds: float) -> None:
        position = self.position
        if self._lacks_space:
            self._lacks_space = False
            _log.warning("stream %r: there is space again for the journal", self._stream)
        if group.new_segment is not None:
            self._must_roll = False
            position.segment_salt = group.new_segment.header.salt
            position.segment_end = SEGMENT_HEADER_BYTES
        position.segment_end += len(group.chunk.data)
        position.next_sequence = group.chunk.next_sequence
        position.timestamp_ms = group.timestamp_ms
        window, by_key = self._window, self._by_key
        body_bytes = 0
        for append in group.appends:
            window.add(append.key, append.first_sequence)
            del by_key[append.key]
            body_bytes += len(append.keyed_body)
        self._observer.on_published(group)
        # The disk gets its next group first: it works while the answers are given.
        self._start_group()
        for append in group.appends:
            append.answer(append.first_sequence, None)
        self._observer.on_answered(group)
        self.budget.give(body_bytes, len(group.appends))
        stats = self.stats
        stats.count_sync(seconds)
        stats.count_appends([append.received_s for append in group.appends], monotonic())
        stats.records += group.chunk.next_sequence - group.chunk.first_sequence
        stats.frame_bytes += len(group.chunk.data)

    def _refuse(self, appends: Iterable[Append], error: JournalError) -> None:
        for append in list(appends):
            del self._by_key[append.key]
            self.budget.give(len(append.keyed_body))
            append.answer(0, error)

    def _forgotten(self, resent_after: int) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"stream {self._stream!r}: the append was sent before, after sequence {resent_after}, "
            f"and keys are remembered from after {self._window.complete_after} on: it may have "
            "been committed, and was not committed again"
        )

    def _full_error(self, outcome: Outcome) -> JournalFull:
        error = JournalFull(
            f"stream {self._stream!r}: no space left for the journal: {outcome.error}"
        )
        if not self._lacks_space:
            # Once, not for every refusal: the log may be on the disk that is full.
            self._lacks_space = True
            _log.error("%s; nothing was written, appends succeed again when there is space", error)
        return error

    def _close(self, group: Group, outcome: Outcome) -> None:
        durable = self.position.next_sequence - 1
        self.closed = StreamClosed(
            f"stream {self._stream!r} is closed for writing: {outcome.error}; it is durable up to "
            f"sequence {durable}, the append may or may not survive"
        )
        _log.critical(
            "stream %r is CLOSED FOR WRITING: writing %d bytes after sequence %d in %s failed: %s."
            " After a failed write or fsync the kernel's memory cannot be trusted. What was "
            "durable stays readable. Check the disk, then restart the journal",
            self._stream,
            len(group.chunk.data),
            durable,
            self._directory,
            outcome.error,
        )
        waiting = [*group.appends, *self._pending]
        self._pending.clear()
        self._refuse(waiting, self.closed)

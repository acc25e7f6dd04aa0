"""One stream as this process knows it: its folded log, its newest appends, and who waits for what.

`take` is called with each message of the log, in order and without gaps, by the stream's follower;
everybody who waits hears from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from journal.engine import Batch, Limits
from journal.errors import (
    BadRequest,
    CorruptStream,
    JournalError,
    JournalFull,
    OutcomeUnknown,
    Overloaded,
)
from journal.nats_fold import Fold, append_head, counts_as_append
from journal.nats_names import log_name, log_subject
from journal.nats_ops import Op, Outbox, Waiter
from journal.nats_options import NatsOptions
from journal.nats_recent import RecentBatches
from journal.record import decode_body
from runtime.clock import Clock

MOVING_SECONDS: Final = 1.0
"""A follower that has not come to a message in so long, though it is stored, begins anew."""
_FILLED_MAX: Final = 7 / 8
_EXPIRED_MAX: Final = 16
"""Holders that one message can declare silent."""


class StreamState:
    """The state of one stream.

    Attributes:
        fold: what the log has come to; None until it was opened.
        recent: the newest appends, while bodies are followed.
        grown: pulses when the log has.
        wants_bodies: somebody reads here; else only heads are followed, to number our appends.
        has_bodies: bodies are followed.
        stored_bytes: about how much its servers keep.
        failure: why the stream is of no more use to this process.
        problem: why it cannot be followed now, "" if it is.
    """

    def __init__(self, name: str, options: NatsOptions, clock: Clock, outbox: Outbox) -> None:
        self.name = name
        self.log_name = log_name(options.prefix, name)
        self.subject = log_subject(options.prefix, name)
        self.fold: Fold | None = None
        self.recent = RecentBatches(Limits().tail_cache_bytes)
        self.grown = asyncio.Event()
        self.opened = asyncio.Event()
        self.restart = asyncio.Event()
        self.wants_bodies = False
        self.has_bodies = False
        self.failure: JournalError | None = None
        self.problem = "the stream is not open yet"
        self.away = False
        self.noted_position = 0
        self.returns = 0
        """How many times it came back after being away."""
        self.stored_bytes = 0
        self._options = options
        self._clock = clock
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._ops: dict[bytes, Op] = {}
        self._renewed_s: dict[str, tuple[int, float]] = {}
        self._moved_s = 0.0
        self._marks_waiting: list[Waiter] | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be numbered."""
        return self.fold is not None

    @property
    def position(self) -> int:
        """The last message that was folded."""
        return self.fold.position if self.fold is not None else 0

    def open(self, fold: Fold) -> None:
        """Begin, or begin anew, with a state; those of our messages that it holds are answered."""
        self.fold = fold
        self.noted_position = max(self.noted_position, fold.position)
        now_s = self._clock.monotonic_s()
        # Who could not renew while we were away has all of its time again.
        self._renewed_s = {name: (hold.position, now_s) for name, hold in fold.holds.items()}
        self.recent.restart(fold.last + 1)
        for key, op in list(self._ops.items()):
            first = fold.keys.get(key)
            if first is not None:
                self._settle(op, first)
            else:
                # Its message may be among those that were passed over: it has to come once more.
                op.acked = False
        self._pulse()
        self.opened.set()
        self._outbox.send_unsent(self)

    def take(self, position: int, key: bytes, head: str, server_ms: int, body: bytes) -> None:
        """Fold the next message.

        Raises:
            CorruptStream: its body is not what its head says.
        """
        fold = self.fold
        assert fold is not None
        result = fold.apply(position, key, head, server_ms)
        if head[:2] == "h ":
            self._note_holder(head.split(" ")[2:3], position)
        if result and head[:1] == "a" and self.has_bodies:
            self.recent.add(make_batch(self.name, position, result, fold.timestamp_ms, head, body))
        op = self._ops.get(key)
        if op is not None:
            self._settle(op, result or fold.keys.get(key) or 0)
        self._moved_s = self._loop.time()
        if self.away:
            self.away = False
            self.returns += 1
        self._pulse()

    @property
    def is_full(self) -> bool:
        """Whether appends are refused: what remains is for trims and holds, which make room."""
        most = self._options.stream_bytes_max
        return bool(most) and self.stored_bytes > most * _FILLED_MAX

    def has_recent(self, sequence: int) -> bool:
        """Whether reading can go on, or wait, in memory."""
        return self.has_bodies and sequence >= self.recent.first

    def append(
        self, waiter: Waiter, payload: bytes, key: bytes, deadline_s: float, resent_after: int
    ) -> None:
        """Have an append in the log; `payload` are its records' body.

        Args:
            waiter: hears of it.
            payload: the records.
            key: of the append; one that is under way already is joined.
            deadline_s: by the loop's clock.
            resent_after: as of `Journal.append`, -1 for none.

        Raises:
            JournalFull: nothing was sent.
        """
        known = None if self.fold is None else self.fold.keys.get(key)
        if known is not None:
            if waiter[1] is None:
                waiter[0].set_result(known)
            return
        op = self._ops.get(key)
        if op is not None:
            op.waiters.append(waiter)
            return
        if self.is_full:
            raise JournalFull(f"the log of {self.name} is nearly as large as it may be")
        op = Op(self, key, payload, self._append_head, deadline_s)
        op.after, op.is_retry = resent_after, resent_after >= 0
        self.start(op, waiter)

    @property
    def is_asked(self) -> bool:
        """Whether something is unanswered."""
        return bool(self._ops)

    def start(self, op: Op, waiter: Waiter | None) -> None:
        """Have any other message in the log."""
        if waiter is not None:
            op.waiters.append(waiter)
        self._ops[op.key] = op
        self._outbox.add(op)

    def join_mark(self, waiter: Waiter, start: Callable[[], None]) -> None:
        """Wait for a mark that is sent from now on; those who come while one is out share the next.

        Args:
            waiter: hears the bounds there.
            start: called if none is out: has one sent for this waiter.
        """
        if self._marks_waiting is not None:
            self._marks_waiting.append(waiter)
            return
        self._marks_waiting = []
        try:
            start()
        except BaseException:
            self._marks_waiting = None
            raise

    def end_mark(self) -> list[Waiter]:
        """A mark was answered; return those who wait for the next."""
        waiting, self._marks_waiting = self._marks_waiting, None
        return waiting or []

    def silent(self) -> list[tuple[str, int]]:
        """Return the holders that were silent for too long, with their holds' positions."""
        now_s = self._clock.monotonic_s()
        late = (
            (holder, position)
            for holder, (position, renewed_s) in self._renewed_s.items()
            if now_s - renewed_s > self._options.hold_seconds
        )
        return sorted(late)[:_EXPIRED_MAX]

    def forget(self, op: Op) -> None:
        """An op was given up."""
        if self._ops.get(op.key) is op:
            del self._ops[op.key]

    def fail(self, error: JournalError) -> None:
        """Nothing works here any more until the process is restarted."""
        self.failure = error
        self._outbox.fail_all(error, self)
        self.opened.set()
        self._pulse()

    def on_silence(self, now_s: float) -> None:
        """Something has waited for long: with nothing coming, the stream is away."""
        if self.silent_for(now_s) >= MOVING_SECONDS:
            self.away = True

    def silent_for(self, now_s: float) -> float:
        """Return for how long nothing has come."""
        return now_s - self._moved_s

    def check_moving(self, stored_s: float, now_s: float) -> None:
        """A message of ours is stored: have the follower begin anew if it does not get there."""
        if now_s - max(stored_s, self._moved_s) > MOVING_SECONDS:
            self._moved_s = now_s
            self.restart.set()

    def _append_head(self, op: Op) -> str:
        assert self.fold is not None
        if op.after < 0:
            op.after = self.fold.last
        count = int.from_bytes(op.payload[:4], "little")
        return append_head(op.after, count, self._clock.now_ms())

    def _settle(self, op: Op, result: int) -> None:
        if not result and op.payload:
            # So much came before it that its key might have been forgotten. If this was the only
            # message of it, it was not: it goes to the end of the log once more.
            op.perhaps -= 1
            if op.perhaps <= 0 and not op.is_retry:
                self._outbox.renew(op)
                return
        del self._ops[op.key]
        self._outbox.remove(op)
        assert self.fold is not None
        if op.payload:
            if result:
                self._outbox.appends += 1
                op.succeed(result)
            else:
                op.fail(
                    OutcomeUnknown(f"the key is forgotten, and was first sent after {op.after}")
                )
        elif result:
            op.succeed((self.fold.first, self.fold.last))
        else:
            op.fail(Overloaded("the stream has all the holders it may have"))

    def _note_holder(self, names: list[str], position: int) -> None:
        assert self.fold is not None
        for name in names:
            if name in self.fold.holds:
                self._renewed_s[name] = (position, self._clock.monotonic_s())
        if len(self._renewed_s) > len(self.fold.holds):
            held = self.fold.holds
            self._renewed_s = {name: seen for name, seen in self._renewed_s.items() if name in held}

    def _pulse(self) -> None:
        self.grown.set()
        self.grown.clear()


def make_batch(
    stream: str, position: int, first: int, timestamp_ms: int, head: str, body: bytes
) -> Batch:
    """Return an append that counts, as readers see it.

    Raises:
        CorruptStream: its body is not what its head says.
    """
    found: Any = counts_as_append(b"\0" * 16, head)
    try:
        records = decode_body(body)
    except BadRequest as error:
        raise CorruptStream(f"stream {stream}", position, str(error)) from error
    if found is None or found[0] != len(records):
        raise CorruptStream(f"stream {stream}", position, "its records are not as many as it says")
    return Batch(first, timestamp_ms, records)

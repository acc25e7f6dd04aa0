"""Everything that was asked of the JetStream journal and is not answered: sent, repeated, given up.

What came of a message is told by the log, when the stream's follower gets there
(journal/nats_stream.py). A server's answer says no more than that it is stored, or why not. So
while messages come through, servers are not asked to answer; what does not come through soon is
sent again, under the same id and with that question. However often it is stored, it counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
from nats.aio.msg import Msg

from journal.client_session import UNDER_WAY_BYTES_MAX, UNDER_WAY_COUNT_MAX, Translate
from journal.errors import (
    DeadlineExceeded,
    JournalError,
    JournalFull,
    NoQuorum,
    RecordTooLarge,
)
from journal.nats_link import NatsLink
from journal.nats_names import HEAD, MESSAGE_ID
from runtime.queues import Budget

if TYPE_CHECKING:
    from journal.nats_stream import StreamState

AGAIN_SECONDS_MIN: Final = 0.5
AGAIN_SECONDS_MAX: Final = 8.0
NOBODY_SECONDS: Final = 0.1
"""The pause after "nobody listens there": a leader is being elected."""
BUSY_SECONDS: Final = 0.25
"""Where something has come through so lately, a message is sent without asking for an answer."""
AWAY_SECONDS: Final = 2.0
"""A stream that has answered nothing for so long is taken for away."""
STUCK_SECONDS: Final = 6.0
"""A server over which nothing has got through for so long is left for the next."""
# JetStream's numbers: insufficient resources, storage and memory exceeded, and a stream that is
# full or whose store has failed.
_FULL: Final = frozenset({10023, 10028, 10047, 10077})
_TOO_LARGE: Final = 10054
_UNAVAILABLE: Final = 503

Waiter: TypeAlias = tuple[asyncio.Future[Any], Translate | None]
MakeHead: TypeAlias = Callable[["Op"], str]


class Op:
    """One message that is to be in the log.

    Attributes:
        after: for an append, what was durable when it was first sent; -1: not known yet.
        payload: an append's records; empty for anything else.
        acked: a server said that it is stored.
        perhaps: how many messages there may be of it that were not seen to be of no effect.
        is_retry: whoever asks has asked before.
        head: "" until it is first sent.
        salt: for an id that the server, unlike the log, takes for a repetition.
    """

    __slots__ = (
        *("acked", "after", "again_s", "begun_s", "deadline_s", "head", "is_retry", "key"),
        "make_head",
        *("number", "payload", "perhaps", "problem", "salt", "sends", "stream", "waiters"),
    )

    def __init__(
        self,
        stream: StreamState,
        key: bytes,
        payload: bytes,
        make_head: MakeHead,
        deadline_s: float,
    ) -> None:
        self.stream = stream
        self.key = key
        self.payload = payload
        self.make_head = make_head
        self.deadline_s = deadline_s
        self.waiters: list[Waiter] = []
        self.after = -1
        self.is_retry = False
        self.head = ""
        self.number = 0
        self.sends = self.perhaps = self.salt = 0
        self.begun_s = self.again_s = 0.0
        self.acked = False
        self.problem = ""

    def succeed(self, result: Any) -> None:
        """Tell those who wait; one with words of its own reads the log itself."""
        for future, translate in self.waiters:
            if translate is None and not future.done():
                future.set_result(result)

    def fail(self, error: JournalError) -> None:
        """Tell those who wait."""
        for future, translate in self.waiters:
            if not future.done():
                future.set_exception(translate(error) if translate else error)


class Outbox:
    """All that is unanswered, and the link it is sent on, if there is one."""

    def __init__(self) -> None:
        self.link: NatsLink | None = None
        self.problem = "not connected yet"
        self.budget = Budget(UNDER_WAY_BYTES_MAX, UNDER_WAY_COUNT_MAX)
        self.appends = self.resent = 0
        self._ops: dict[int, Op] = {}
        self._next = 1
        self._loop = asyncio.get_running_loop()
        self._attached_s = 0.0

    def add(self, op: Op) -> None:
        """Take an op in; send it if its stream can number it."""
        op.number = self._next
        self._next += 1
        op.begun_s = self._loop.time()
        self._ops[op.number] = op
        self.budget.take(len(op.payload))
        if self.link is not None and op.stream.is_open:
            self._send(op, self.link)

    def remove(self, op: Op) -> None:
        """Forget an op that is answered."""
        if self._ops.pop(op.number, None) is not None:
            self.budget.give(len(op.payload))

    def attach(self, link: NatsLink) -> None:
        """Go on over a new link: send everything of open streams that is not stored."""
        self.link = link
        self._attached_s = self._loop.time()
        for op in list(self._ops.values()):
            if op.stream.is_open and not op.acked:
                self._send(op, link)

    def detach(self, problem: str) -> None:
        """The link is lost; what is unanswered waits for the next."""
        self.link = None
        self.problem = problem

    def send_unsent(self, stream: StreamState) -> None:
        """A stream has been opened: send what waited for that."""
        if self.link is not None:
            for op in list(self._ops.values()):
                if op.stream is stream and op.sends == 0:
                    self._send(op, self.link)

    def fail_all(self, error: JournalError, stream: StreamState | None = None) -> None:
        """End everything, or everything of one stream, with `error`."""
        for op in list(self._ops.values()):
            if stream is None or op.stream is stream:
                self._give_up(op, error)

    def on_answer(self, number: int, message: Msg) -> None:
        """A server has answered; called by the link."""
        op = self._ops.get(number)
        if op is None:
            return
        data = message.data
        if not data:  # nobody listens
            op.perhaps -= 1
            op.problem = "no server leads the stream"
            op.again_s = self._loop.time() + NOBODY_SECONDS
        elif b'"error"' in data or b'"duplicate"' in data:
            self._on_unusual(op, orjson.loads(data))
        else:
            op.acked = True
            op.again_s = self._loop.time()

    def _on_unusual(self, op: Op, answer: dict[str, Any]) -> None:
        found = answer.get("error")
        if found is None:
            # The log may have forgotten the key for which the server refuses: let the log decide.
            if answer.get("duplicate"):
                op.perhaps -= 1
            if answer.get("duplicate") and op.stream.position >= answer.get("seq", 0):
                op.salt += 1
                if self.link is not None:
                    self._send(op, self.link)
            else:
                op.acked = True
                op.again_s = self._loop.time()
            return
        op.perhaps -= 1
        error = _refusal(found)
        op.problem = found.get("description", "refused")
        op.again_s = self._loop.time() + NOBODY_SECONDS
        if error is not None and op.perhaps <= 0:
            self._give_up(op, error)

    def renew(self, op: Op) -> None:
        """Send an append as if for the first time: none of its messages can count any more."""
        op.head, op.after, op.acked = "", -1, False
        op.salt += 1
        if self.link is not None:
            self._send(op, self.link)

    def tick(self) -> None:
        """Repeat what is unanswered, give up what is late, find out who is away."""
        now_s = self._loop.time()
        stuck = False
        for op in list(self._ops.values()):
            if op.deadline_s <= now_s:
                self._give_up(op, self._late(op))
                continue
            if op.begun_s + AWAY_SECONDS < now_s:
                op.stream.on_silence(now_s)
                # Who answers, be it with a refusal, is not cut off.
                stuck = stuck or (not op.problem and op.stream.silent_for(now_s) > STUCK_SECONDS)
            if op.acked:
                op.stream.check_moving(op.again_s, now_s)
            elif op.sends and op.again_s <= now_s and self.link is not None and self.link.is_idle:
                self._send(op, self.link)
        if stuck and self.link is not None and now_s - self._attached_s > STUCK_SECONDS:
            self.link.lose("nothing gets through")

    def _send(self, op: Op, link: NatsLink) -> None:
        if not op.head:
            op.head = op.make_head(op)
        if len(op.payload) + 1024 > link.max_payload_bytes:
            self._give_up(
                op,
                RecordTooLarge(
                    f"an append of {len(op.payload)} bytes passes the NATS servers' max_payload of "
                    f"{link.max_payload_bytes}: raise it to 9 MiB"
                ),
            )
            return
        name = op.key.hex()
        headers = {MESSAGE_ID: f"{name}.{op.salt}" if op.salt else name, HEAD: op.head}
        self.resent += op.sends > 0
        op.perhaps += 1
        pause_s = min(AGAIN_SECONDS_MAX, AGAIN_SECONDS_MIN * 2 ** min(op.sends, 8))
        now_s = self._loop.time()
        op.again_s = now_s + pause_s
        asks = op.sends > 0 or op.stream.silent_for(now_s) > BUSY_SECONDS
        op.sends += 1
        link.publish(op.stream.subject, op.payload, op.number if asks else 0, headers)

    def _give_up(self, op: Op, error: JournalError) -> None:
        self.remove(op)
        op.stream.forget(op)
        op.fail(error)

    def _late(self, op: Op) -> JournalError:
        reason = self.problem if self.link is None else op.problem or op.stream.problem
        reason = reason or "too few of its servers answer"
        if op.perhaps <= 0 or op.after < 0:
            return NoQuorum(f"the journal did not answer in time ({reason}); nothing was written")
        return DeadlineExceeded(
            f"the journal did not answer in time ({reason}); the append may or may not be applied"
        )


def _refusal(found: dict[str, Any]) -> JournalError | None:
    """Return what a server's refusal means; None if it passes."""
    status, number = found.get("code", 0), found.get("err_code", 0)
    text = f"JetStream answers: {found.get('description', status)} ({number})"
    if number in _FULL:
        return JournalFull(text)
    if number == _TOO_LARGE:
        return RecordTooLarge(text)
    return None if status == _UNAVAILABLE else JournalError(text)

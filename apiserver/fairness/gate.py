"""Lets requests in, has them wait or refuses them: upstream's priority and fairness filter.

    ticket = gate.arrive(...)           None: nothing limits it; Refused: 429
    if it waits: await gate.wait(...)   until it may run; Refused: it has waited too long
    ... serve it ...
    gate.leave(ticket, ...)             always, once

Where seats are free nothing is awaited and no timer is set. Requests of a level that nothing limits
share a ticket: they are counted, and that is all. Of a watch only the beginning counts:
its seats are free once the present state is sent (`Exchange.settled`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from apiserver.authz import Attributes
from apiserver.exchange import ClientGone, Exchange
from apiserver.fairness.flows import Flow, Flows, Way
from apiserver.fairness.levels import Level
from apiserver.fairness.requests import ONE_SEAT, RUNNING, WAITING, Request, Width
from apiserver.fairness.watch_counts import WatchCounts
from apiserver.fairness.work import WorkEstimator, write_width
from runtime.clock import Clock

WAIT_S_MAX: Final = 60.0
WAIT_PART: Final = 0.25
"""Of the time that a request is given in all."""
LONG_RUNNING: Final = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Subresources whose requests last as long as their clients like; nothing limits them here."""
# An enumeration is asked for its members by a call, each time.
UNLIMITED: Final = Way.UNLIMITED
NARROW: Final = Way.NARROW
WRITE: Final = Way.WRITE
WIDE: Final = Way.WIDE
READS: Final = frozenset({"get", "list", "watch"})
_WRITES: Final = frozenset({"create", "delete", "patch", "update"})


class Refused(Exception):
    """There is no room for the request: the client is told to come back.

    Attributes:
        retry_after_s: when.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many requests")
        self.retry_after_s = retry_after_s


class Ticket(Request):
    """A request on its way through the gate.

    Attributes:
        flow: where it belongs.
        exchange: the request itself, for debug dumps; None of a ticket that many share.
        asked: what for.
        forget: takes back that a watch was counted.
    """

    forget: Callable[[], None] | None = None

    def __init__(
        self, flow: Flow, width: Width, now_s: float, exchange: Exchange | None, asked: Attributes
    ) -> None:
        # As the class above does it: calling that would cost half as much again.
        self.tally = flow.tally
        self.hand = flow.hand
        self.arrived_s = self.started_s = now_s
        self.flow = flow
        self.exchange = exchange
        self.asked = asked
        if width is not ONE_SEAT:
            self.widen(width)


class Gate(Protocol):
    """What lets requests in."""

    def arrive(
        self, exchange: Exchange, asked: Attributes, storage: str, now_s: float
    ) -> Ticket | None:
        """Let a request in, or have it wait; None: it is not limited.

        Raises:
            Refused: it is not let in.
        """
        ...

    async def wait(self, ticket: Ticket, limit_s: float) -> None:
        """Return when a request that waits may run.

        Args:
            ticket: of the request.
            limit_s: how long it may take in all.

        Raises:
            Refused: it has waited too long. ClientGone: nobody is left to be answered.
        """
        ...

    def leave(self, ticket: Ticket, arrived_s: float, now_s: float) -> None:
        """End a request that was let in, whatever has become of it."""
        ...


class FairGate:
    """Lets requests in by priority levels and flow schemas."""

    def __init__(
        self, flows: Flows, estimator: WorkEstimator, watches: WatchCounts, clock: Clock
    ) -> None:
        self._find = flows.find
        self._estimate = estimator.width
        self._watches = watches
        self._monotonic_s = clock.monotonic_s
        self._timers: dict[Level, asyncio.TimerHandle] = {}

    def arrive(
        self, exchange: Exchange, asked: Attributes, storage: str, now_s: float
    ) -> Ticket | None:
        """Let a request in, or have it wait."""
        flow = self._find(exchange.user, asked)
        way = flow.way
        if way is None:
            way = self._prepare(flow, asked, storage)
        if way is UNLIMITED:
            return None
        exchange.flow_head = flow.head
        level, width = flow.level, ONE_SEAT
        if way is WRITE:
            watches = flow.watches
            assert watches is not None
            is_watched = watches.everywhere or watches.places
            watched = watches.interested_in(asked) if is_watched else 0
            if watched:
                flow.tally.watchers.observe(watched)
                width = write_width(watched, level.widest)
        elif way is WIDE:
            width = self._estimate(exchange, asked, storage, level.widest, now_s)
        if width is not ONE_SEAT:
            flow.tally.widths.observe(max(width.seats, width.final_seats))
        elif flow.standing is not None:
            level.queues.enter(now_s, is_read=flow.is_read)
            flow.tally.started += 1
            standing: Ticket = flow.standing
            return standing
        ticket = Ticket(flow, width, now_s, exchange, asked)
        if not level.queues.arrive(ticket, now_s):
            raise self._refusal(level, now_s)
        if asked.verb == "watch" and storage:
            ticket.is_watch = True
            ticket.forget = self._watches.add(asked, exchange)
            exchange.when_settled = partial(self._settle, ticket)
        return ticket

    def _prepare(self, flow: Flow, asked: Attributes, storage: str) -> Way:
        """Work out, by the first request of a flow, what is to be done with all of them."""
        verb = asked.verb
        way = NARROW
        if asked.subresource in LONG_RUNNING:
            way = UNLIMITED
        elif storage and verb in ("list", "watch"):
            way = WIDE
        elif storage and verb in _WRITES and asked.subresource != "token":
            way = WRITE
            flow.watches = self._watches.of(asked)
        if flow.level.spec.is_exempt and verb != "watch":
            flow.standing = Ticket(flow, ONE_SEAT, 0.0, None, asked)
            flow.standing.phase = RUNNING
        flow.is_read = verb in READS
        flow.way = way
        return way

    async def wait(self, ticket: Ticket, limit_s: float) -> None:
        """Return when a request that waits may run."""
        level, loop = ticket.flow.level, asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        release = partial(_resolve, waiter)
        ticket.on_run = release
        assert ticket.exchange is not None, "who shares a ticket never waits"
        connection = ticket.exchange.connection
        timer = loop.call_later(min(limit_s * WAIT_PART, WAIT_S_MAX), release)
        forget = connection.when_gone(release) if connection is not None else None
        self._watch_for_seats(level)
        is_gone = True
        try:
            await waiter
            is_gone = connection is not None and connection.is_lost
        finally:
            ticket.on_run = None
            timer.cancel()
            if forget is not None:
                forget()
            now_s = self._monotonic_s()
            if ticket.phase is WAITING:
                level.queues.give_up(ticket, now_s, in_time=is_gone)
        if ticket.phase is not RUNNING:
            raise ClientGone if is_gone else self._refusal(level, now_s)

    def leave(self, ticket: Ticket, arrived_s: float, now_s: float) -> None:
        """End a request that was let in."""
        flow = ticket.flow
        queues = flow.level.queues
        if ticket is flow.standing:
            queues.depart(now_s, is_read=flow.is_read)
            flow.tally.served.observe(now_s - arrived_s)
            return
        if ticket.phase is RUNNING:
            queues.finish(ticket, now_s)
            if queues.waiting:
                self._watch_for_seats(flow.level)
        if ticket.forget is not None:
            ticket.forget()

    def _settle(self, ticket: Ticket) -> None:
        """End what counts of a watch."""
        if ticket.phase is RUNNING:
            ticket.flow.level.queues.finish(ticket, self._monotonic_s())

    def _refusal(self, level: Level, now_s: float) -> Refused:
        return Refused(level.retry_after.note(int(now_s)))

    def _watch_for_seats(self, level: Level) -> None:
        """Wake those who wait when what has ended stops lingering; others wake them otherwise."""
        due_s = level.queues.next_release_s()
        if due_s is None or level in self._timers:
            return
        after_s = max(0.0, due_s - self._monotonic_s())
        loop = asyncio.get_running_loop()
        self._timers[level] = loop.call_later(after_s, self._free_seats, level)

    def _free_seats(self, level: Level) -> None:
        del self._timers[level]
        level.queues.release_due(self._monotonic_s())
        self._watch_for_seats(level)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

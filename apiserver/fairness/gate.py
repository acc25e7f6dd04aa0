"""Lets requests in, has them wait or refuses them: upstream's priority and fairness filter.

    ticket = gate.arrive(...)           None: nothing limits it; Refused: 429
    if it waits: await gate.wait(...)   until it may run; Refused: it has waited too long
    ... serve it ...
    gate.leave(ticket, ...)             always, once

Where seats are free nothing is awaited and no timer is set. Of a watch only the beginning counts:
its seats are free once the present state is sent (`Exchange.settled`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from apiserver.authn import User
from apiserver.authz import Attributes
from apiserver.exchange import ClientGone, Exchange
from apiserver.fairness.flows import Flow, Flows
from apiserver.fairness.levels import Level
from apiserver.fairness.requests import ONE_SEAT, RUNNING, WAITING, Request, Width
from apiserver.fairness.watch_counts import WatchCounts
from apiserver.fairness.work import WorkEstimator
from runtime.clock import Clock

WAIT_S_MAX: Final = 60.0
WAIT_PART: Final = 0.25
"""Of the time that a request is given in all."""
LONG_RUNNING: Final = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Subresources whose requests last as long as their clients like; nothing limits them here."""
_ESTIMATED: Final = frozenset({"create", "delete", "list", "patch", "update", "watch"})


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
        exchange: the request itself, for debug dumps.
        asked: what for.
        forget: takes back that a watch was counted.
    """

    forget: Callable[[], None] | None = None

    def __init__(
        self, flow: Flow, width: Width, now_s: float, exchange: Exchange, asked: Attributes
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

    def leave(self, ticket: Ticket, now_s: float) -> None:
        """End a request that was let in, whatever has become of it."""
        ...


class FairGate:
    """Lets requests in by priority levels and flow schemas."""

    def __init__(
        self, flows: Flows, estimator: WorkEstimator, watches: WatchCounts, clock: Clock
    ) -> None:
        self._flows = flows
        self._estimate = estimator.width
        self._watches = watches
        self._monotonic_s = clock.monotonic_s
        self._timers: dict[Level, asyncio.TimerHandle] = {}

    def arrive(
        self, exchange: Exchange, asked: Attributes, storage: str, now_s: float
    ) -> Ticket | None:
        """Let a request in, or have it wait."""
        if asked.subresource in LONG_RUNNING:
            return None
        user: User = exchange.user
        flow = self._flows.find(user, asked)
        exchange.flow_head = flow.head
        level, verb = flow.level, asked.verb
        width = ONE_SEAT
        if storage and verb in _ESTIMATED:
            width, watched = self._estimate(exchange, asked, storage, level.widest, now_s)
            if watched:
                flow.tally.watchers.observe(watched)
            if width is not ONE_SEAT:
                flow.tally.widths.observe(max(width.seats, width.final_seats))
        ticket = Ticket(flow, width, now_s, exchange, asked)
        if not level.queues.arrive(ticket, now_s):
            raise self._refusal(level, now_s)
        if verb == "watch" and storage:
            ticket.is_watch = True
            ticket.forget = self._watches.add(asked, exchange)
            exchange.when_settled = partial(self._settle, ticket)
        return ticket

    async def wait(self, ticket: Ticket, limit_s: float) -> None:
        """Return when a request that waits may run."""
        level, loop = ticket.flow.level, asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        release = partial(_resolve, waiter)
        ticket.on_run = release
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

    def leave(self, ticket: Ticket, now_s: float) -> None:
        """End a request that was let in."""
        if ticket.phase is RUNNING:
            queues = ticket.flow.level.queues
            queues.finish(ticket, now_s)
            if queues.waiting:
                self._watch_for_seats(ticket.flow.level)
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

"""/debug/api_priority_and_fairness: levels, queues and requests as they are, in upstream's form.

Tables of columns that end in a comma and are padded to a common width, for people and for awk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from apiserver.fairness.flows import Flows
from apiserver.fairness.gate import Ticket
from apiserver.fairness.requests import Request
from runtime.clock import Clock

PATH: Final = "/debug/api_priority_and_fairness"
ROWS_MAX: Final = 50_000
_LEVELS: Final = (
    *("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests"),
    *("ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests"),
    "CancelledRequests",
)
_QUEUES: Final = (
    *("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse"),
    *("NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"),
)
_REQUESTS: Final = (
    *("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue"),
    *("FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency"),
    "StartTime",
)
_DETAILS: Final = (
    *("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource"),
    "SubResource",
)


class Dumps:
    """The debug tables."""

    def __init__(self, flows: Flows, clock: Clock) -> None:
        self._flows = flows
        self._clock = clock

    def levels(self) -> str:
        """Return a row for each priority level."""
        rows: list[Sequence[object]] = [_LEVELS]
        for name, level in sorted(self._flows.levels.items()):
            queues = level.queues
            dispatched = sum(tally.started for tally in level.tallies.values())
            rows.append(
                (
                    name,
                    sum(bool(queue.waiting) for queue in queues.queues()),
                    _switch(queues.is_idle),
                    _switch(level.is_leaving),
                    queues.waiting,
                    queues.executing,
                    dispatched,
                    queues.rejected,
                    queues.timed_out,
                    queues.cancelled,
                )
            )
        return _table(rows)

    def queues(self) -> str:
        """Return a row for each queue that has requests."""
        rows: list[Sequence[object]] = [_QUEUES]
        for name, level in sorted(self._flows.levels.items()):
            rows.extend(
                (
                    name,
                    queue.index,
                    len(queue.waiting),
                    queue.executing,
                    queue.seats,
                    _seat_seconds(queue.next_dispatch_r),
                    sum(request.initial_seats for request in queue.waiting),
                    sum(request.seats for request in queue.waiting),
                    _seat_seconds(queue.waiting_work),
                )
                for queue in level.queues.queues()
            )
        return _table(rows)

    def requests(self, *, details: bool) -> str:
        """Return a row for each request that waits or runs, but for those that nothing limits."""
        rows: list[Sequence[object]] = [_REQUESTS + _DETAILS if details else _REQUESTS]
        for name, queue_index, index, request in self._all_requests():
            if len(rows) > ROWS_MAX:
                break
            row: tuple[object, ...] = (
                name,
                request.tally.schema,
                queue_index,
                index,
                request.flow.distinguisher,
                self._time(request.arrived_s),
                request.initial_seats,
                request.final_seats,
                f"{request.linger_s:g}s",
                self._time(request.started_s) if index < 0 else "0001-01-01T00:00:00Z",
            )
            rows.append(row + _details_of(request) if details else row)
        return _table(rows)

    def _all_requests(self) -> Iterator[tuple[str, int, int, Ticket]]:
        for name, level in sorted(self._flows.levels.items()):
            for queue in level.queues.queues():
                for index, request in enumerate(queue.waiting):
                    yield name, queue.index, index, _ticket(request)
            for request in level.queues.running:
                queue_index = -1 if request.queue is None else request.queue.index
                yield name, queue_index, -1, _ticket(request)

    def _time(self, monotonic_s: float) -> str:
        """Return when something was, of which the monotonic time is known."""
        clock = self._clock
        at_s = clock.now_s() - (clock.monotonic_s() - monotonic_s)
        return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _ticket(request: Request) -> Ticket:
    assert isinstance(request, Ticket), "requests come in by the gate"
    return request


def _details_of(ticket: Ticket) -> tuple[object, ...]:
    assert ticket.exchange is not None, "who shares a ticket is not listed"
    asked, user = ticket.asked, ticket.exchange.user
    version = f"{asked.group}/{asked.version}" if asked.group else asked.version
    return (
        user.name,
        asked.verb,
        asked.path,
        asked.namespace,
        asked.name,
        version,
        asked.resource,
        asked.subresource,
    )


def _seat_seconds(value: float) -> str:
    return f"{value:.8f}ss"


def _switch(value: bool) -> str:  # noqa: FBT001 (how Go prints one)
    return "true" if value else "false"


def _table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows whose columns are as wide as the widest cell, and eight at least."""
    # A line break in a name that somebody has chosen must not make another row.
    cells = [[_plain(str(value)) for value in row] for row in rows]
    width = max(map(len, cells))
    widths = [8] * width
    for row in cells:
        for column, text in enumerate(row[:-1]):
            widths[column] = max(widths[column], len(text) + 2)
    lines = []
    for row in cells:
        padded = [f"{text},".ljust(widths[column]) for column, text in enumerate(row[:-1])]
        lines.append("".join(padded) + row[-1] + "\n")
    return "".join(lines)


def _plain(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]

"""The gate: who runs at once, who waits and for how long, who is refused; and what watches hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from apiserver.authn import User
from apiserver.authz import Attributes
from apiserver.exchange import ClientGone, Exchange
from apiserver.fairness.flows import Flows
from apiserver.fairness.gate import FairGate, Refused, Ticket
from apiserver.fairness.inflight import InflightGate
from apiserver.fairness.model import LevelSpec, Queuing, parse_schema
from apiserver.fairness.requests import Phase
from apiserver.fairness.watch_counts import WatchCounts
from apiserver.fairness.work import Size, WorkEstimator
from runtime.clock import SystemClock

JO = User("jo", ("system:authenticated",))
ROOT = User("root", ("system:masters", "system:authenticated"))
GET = Attributes("get", "", "v1", "pods", "", "a", "n")
WATCH = Attributes("watch", "", "v1", "pods", "", "a")
EVERYTHING = [
    {
        "subjects": [{"kind": "User", "user": {"name": "*"}}],
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
        ],
    }
]


class Connection:
    """A connection that a test may lose."""

    def __init__(self) -> None:
        self.is_lost = False
        self.callbacks: list[Callable[[], None]] = []

    def when_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Remember the callback."""
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def lose(self) -> None:
        """Let the client go."""
        self.is_lost = True
        for callback in tuple(self.callbacks):
            callback()


class FakeExchange(Exchange):
    """A request of a user."""

    def __init__(self, user: User = JO, query: str = "") -> None:
        scope = {"method": "GET", "path": "/x", "query_string": query.encode(), "headers": []}
        super().__init__(scope, cast("Any", None), cast("Any", None), 1024)
        self.user = user
        self.link = Connection()

    @property
    def connection(self) -> Any:
        """The connection."""
        return self.link


FIVE_WAIT = Queuing(1, 1, 5)


class Setup:
    """A gate of one level with so many seats."""

    def __init__(self, seats: int = 1, queuing: Queuing | None = FIVE_WAIT) -> None:
        level = LevelSpec(
            "a",
            "",
            is_exempt=False,
            shares=100_000,
            lendable_percent=0,
            borrowing_percent=0,
            queuing=queuing,
        )
        spec = {
            "matchingPrecedence": 10,
            "priorityLevelConfiguration": {"name": "a"},
            "rules": EVERYTHING,
        }
        self.clock = SystemClock()
        self.flows = Flows(seats, self.clock.monotonic_s())
        schema = parse_schema({"metadata": {"name": "a"}, "spec": spec})
        self.flows.configure([level], [schema], self.clock.monotonic_s())
        self.watches = WatchCounts()
        estimator = WorkEstimator(lambda _storage, _now_s: Size(0, 0))
        self.gate = FairGate(self.flows, estimator, self.watches, self.clock)
        self.level = self.flows.levels["a"]

    def arrive(self, exchange: FakeExchange, asked: Attributes = GET) -> Ticket:
        """Have a request arrive."""
        ticket = self.gate.arrive(exchange, asked, "pods", self.clock.monotonic_s())
        assert ticket is not None
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Have a request end."""
        self.gate.leave(ticket, ticket.arrived_s, self.clock.monotonic_s())

    @property
    def is_free(self) -> bool:
        """Whether nothing is left of any request."""
        queues = self.level.queues
        return queues.is_idle and not queues.seats_in_use and not queues.seats_waiting


async def _yield() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_waits_runs_when_a_seat_gets_free() -> None:
    async def run() -> None:
        setup = Setup()
        first, second = setup.arrive(FakeExchange()), setup.arrive(FakeExchange())
        assert (first.phase, second.phase) == (Phase.RUNNING, Phase.WAITING)
        waiting = asyncio.ensure_future(setup.gate.wait(second, 60.0))
        await _yield()
        assert not waiting.done()
        setup.leave(first)
        await waiting
        setup.leave(second)
        assert setup.is_free

    asyncio.run(run())


def test_who_waits_longer_than_a_quarter_of_its_time_is_refused() -> None:
    async def run() -> None:
        setup = Setup()
        first, second = setup.arrive(FakeExchange()), setup.arrive(FakeExchange())
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        with pytest.raises(Refused) as caught:
            await setup.gate.wait(second, 0.2)
        assert 0.04 < loop.time() - start_s < 0.19
        assert caught.value.retry_after_s == 1
        setup.leave(second)
        setup.leave(first)
        assert setup.is_free
        assert second.tally.rejected == {"time-out": 1}

    asyncio.run(run())


def test_a_client_that_goes_leaves_the_queue() -> None:
    async def run() -> None:
        setup = Setup()
        first, gone = setup.arrive(FakeExchange()), FakeExchange()
        second = setup.arrive(gone)
        waiting = asyncio.ensure_future(setup.gate.wait(second, 60.0))
        await _yield()
        gone.link.lose()
        with pytest.raises(ClientGone):
            await waiting
        assert gone.link.callbacks == []
        assert second.tally.rejected == {"cancelled": 1}
        setup.leave(first)
        assert setup.is_free

    asyncio.run(run())


@pytest.mark.parametrize("is_dispatched", [False, True])
def test_a_request_that_is_cancelled_leaves_nothing_behind(*, is_dispatched: bool) -> None:
    async def run() -> None:
        setup = Setup()
        first, second = setup.arrive(FakeExchange()), setup.arrive(FakeExchange())

        async def serve() -> None:
            try:
                await setup.gate.wait(second, 60.0)
            finally:
                setup.leave(second)

        serving = asyncio.ensure_future(serve())
        await _yield()
        if is_dispatched:
            setup.leave(first)  # it may run, but has not heard of it
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        if not is_dispatched:
            setup.leave(first)
        assert setup.is_free

    asyncio.run(run())


def test_a_full_queue_refuses() -> None:
    setup = Setup(queuing=Queuing(1, 1, 1))
    setup.arrive(FakeExchange())
    setup.arrive(FakeExchange())
    with pytest.raises(Refused):
        setup.arrive(FakeExchange())


def test_a_watch_holds_its_seats_until_it_has_sent_what_it_begins_with() -> None:
    setup = Setup()
    exchange = FakeExchange()
    watch = setup.arrive(exchange, WATCH)
    other = setup.arrive(FakeExchange())
    assert (watch.phase, other.phase, len(setup.watches)) == (Phase.RUNNING, Phase.WAITING, 1)
    exchange.settled()
    exchange.settled()
    assert other.phase is Phase.RUNNING
    setup.leave(watch)
    setup.leave(other)
    assert setup.is_free
    assert len(setup.watches) == 0
    assert sum(watch.tally.watches.counts) == 1


def test_a_watch_that_fails_before_that_frees_its_seats_too() -> None:
    setup = Setup()
    setup.leave(setup.arrive(FakeExchange(), WATCH))
    assert setup.is_free


def test_seats_that_linger_wake_those_who_wait_for_them() -> None:
    async def run() -> None:
        setup = Setup()
        for _ in range(20):
            setup.watches.add(WATCH, FakeExchange())
        write = setup.arrive(FakeExchange(), GET._replace(verb="update"))
        assert (write.final_seats, write.linger_s) == (1, pytest.approx(0.01))
        other = setup.arrive(FakeExchange())
        waiting = asyncio.ensure_future(setup.gate.wait(other, 60.0))
        await _yield()
        setup.leave(write)
        assert other.phase is Phase.WAITING
        await asyncio.wait_for(waiting, 5.0)
        setup.leave(other)
        assert setup.is_free

    asyncio.run(run())


@pytest.mark.parametrize("part", ["exec", "attach", "portforward", "proxy", "log"])
def test_what_lasts_as_long_as_clients_like_is_not_limited(part: str) -> None:
    setup = Setup()
    asked = GET._replace(subresource=part)
    assert setup.gate.arrive(FakeExchange(), asked, "pods", 0.0) is None
    assert InflightGate(1, 1).arrive(FakeExchange(), asked, "pods", 0.0) is None


def test_masters_are_exempt() -> None:
    flows = Flows(1, 0.0)
    watches = WatchCounts()
    estimator = WorkEstimator(lambda _storage, _now_s: Size(0, 0))
    gate = FairGate(flows, estimator, watches, SystemClock())
    create = GET._replace(verb="create")
    tickets = [gate.arrive(FakeExchange(ROOT), asked, "pods", 0.0) for asked in (GET, create) * 25]
    assert all(ticket is not None and ticket.phase is Phase.RUNNING for ticket in tickets)
    level = flows.levels["exempt"]
    queues, (tally,) = level.queues, level.tallies.values()
    assert (queues.executing, queues.seats_in_use, tally.executing) == (50, 50, 50)
    assert (queues.passing_reads, queues.passing_writes) == (25, 25)
    for ticket in tickets:
        assert ticket is not None
        gate.leave(ticket, 0.0, 2.0)
    assert queues.is_idle
    assert (queues.seats_in_use, tally.executing, tally.served.total) == (0, 0, 100.0)
    assert queues.demand.highest == 50


def test_what_an_exempt_write_sets_off_is_counted_too() -> None:
    flows = Flows(1, 0.0)
    watches = WatchCounts()
    estimator = WorkEstimator(lambda _storage, _now_s: Size(0, 0))
    gate = FairGate(flows, estimator, watches, SystemClock())
    for _ in range(25):
        watches.add(WATCH, FakeExchange())
    create = GET._replace(verb="create")
    ticket = gate.arrive(FakeExchange(ROOT), create, "pods", 0.0)
    queues = flows.levels["exempt"].queues
    assert ticket is not None
    assert (queues.passing_writes, queues.seats_in_use) == (0, 3)
    gate.leave(ticket, 0.0, 1.0)
    assert (queues.is_idle, queues.seats_in_use) == (True, 3)  # lingering
    queues.sync(1.1)
    assert queues.seats_in_use == 0


def test_plain_limits_hold_for_reads_and_writes_apart() -> None:
    gate = InflightGate(1, 2)
    create = GET._replace(verb="create")
    read = gate.arrive(FakeExchange(), GET, "pods", 0.0)
    writes = [gate.arrive(FakeExchange(), create, "pods", 0.0) for _ in range(2)]
    for asked in (GET, create):
        with pytest.raises(Refused) as caught:
            gate.arrive(FakeExchange(), asked, "pods", 0.0)
        assert caught.value.retry_after_s == 1
        assert gate.arrive(FakeExchange(ROOT), asked, "pods", 0.0) is None
    assert gate.arrive(FakeExchange(), WATCH, "pods", 0.0) is None
    for ticket in (read, *writes):
        assert ticket is not None
        gate.leave(ticket, 0.0, 1.0)
    assert (gate.reads, gate.writes) == (0, 0)
    assert InflightGate(0, 0).arrive(FakeExchange(), GET, "pods", 0.0) is not None

"""Fair queuing: who runs next, who waits, who is refused; and what always holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apiserver.fairness.model import Queuing
from apiserver.fairness.queue_set import QueueSet
from apiserver.fairness.requests import ONE_SEAT, Phase, Request, Tally, Width


class Bench:
    """A queue set whose clock a test moves."""

    def __init__(self, limit: int = 2, queues: int = 8, length: int = 3) -> None:
        self.set = QueueSet(Queuing(queues, 1, length) if queues else None, limit, 0.0)
        self.now_s = 0.0
        self.ran: list[Request] = []
        self.tally = Tally("level", "schema")

    def send(self, queue: int = 0, width: Width = ONE_SEAT, hand: tuple[int, ...] = ()) -> Request:
        """Have a request arrive for a queue."""
        request = Request(self.tally, hand or (queue,), width, self.now_s)
        request.on_run = lambda: self.ran.append(request)
        self.set.arrive(request, self.now_s)
        return request

    def after(self, seconds: float, *ended: Request) -> None:
        """Let time pass, and requests end."""
        self.now_s += seconds
        for request in ended:
            self.set.finish(request, self.now_s)


def _phases(*requests: Request) -> list[Phase]:
    return [request.phase for request in requests]


RUNNING, WAITING, DONE = Phase.RUNNING, Phase.WAITING, Phase.DONE


def test_requests_run_at_once_while_seats_are_free() -> None:
    bench = Bench(limit=2)
    requests = [bench.send(0) for _ in range(3)]
    assert _phases(*requests) == [RUNNING, RUNNING, WAITING]
    bench.after(1, requests[0])
    assert bench.ran == [requests[2]]


def test_a_queue_keeps_the_order_of_arrival() -> None:
    bench = Bench(limit=1)
    first, *others = [bench.send(0) for _ in range(4)]
    current = first
    for following in others:
        bench.after(1, current)
        current = following
    assert bench.ran == others


def test_a_flow_of_many_does_not_hold_up_a_flow_of_one() -> None:
    bench = Bench(limit=2, length=20)
    greedy = [bench.send(0) for _ in range(10)]
    modest = bench.send(1)
    bench.after(1, greedy[0])
    assert bench.ran == [modest]


def test_two_busy_flows_get_seats_alike() -> None:
    bench = Bench(limit=2, length=1000)
    for _ in range(40):
        bench.send(0)
    for _ in range(40):
        bench.send(1)
    running = [request for request in bench.set.running]
    for _ in range(20):
        bench.after(1, *running)
        running = list(bench.set.running)
    served = [request.hand[0] for request in bench.ran]
    assert abs(served.count(0) - served.count(1)) <= 3


def test_a_flow_of_wide_requests_gets_no_more_seats_than_one_of_narrow_ones() -> None:
    bench = Bench(limit=4, length=1000)
    for _ in range(100):
        bench.send(0, Width(4))
        bench.send(1)
    spent = {0: 0.0, 1: 0.0}
    for _ in range(60):
        running = list(bench.set.running)
        for request in running:
            spent[request.hand[0]] += request.seats
        bench.after(1, *running)
    assert spent[0] < 2 * spent[1] + 8


def test_a_full_queue_refuses_only_while_all_seats_are_taken() -> None:
    bench = Bench(limit=1, length=2)
    requests = [bench.send(0) for _ in range(4)]
    assert _phases(*requests) == [RUNNING, WAITING, WAITING, DONE]
    assert bench.tally.rejected == {"queue-full": 1}
    assert bench.send(1).phase is WAITING


def test_without_queues_what_is_over_the_limit_is_refused() -> None:
    bench = Bench(limit=1, queues=0)
    first, second = bench.send(), bench.send()
    assert _phases(first, second) == [RUNNING, DONE]
    assert bench.tally.rejected == {"concurrency-limit": 1}
    bench.after(1, first)
    assert bench.send().phase is RUNNING


def test_a_request_wider_than_the_limit_runs_alone() -> None:
    bench = Bench(limit=2)
    narrow = bench.send(0)
    wide = bench.send(1, Width(5))
    behind = bench.send(2)
    assert _phases(narrow, wide, behind) == [RUNNING, WAITING, RUNNING]
    late = bench.send(3)
    bench.after(1, narrow, behind)
    assert _phases(wide, late) == [WAITING, RUNNING]
    bench.after(1, late)
    assert wide.phase is RUNNING
    assert bench.send(0).phase is WAITING


def test_whoever_is_next_waits_for_seats_and_is_not_overtaken_by_its_queue() -> None:
    bench = Bench(limit=3)
    running = bench.send(0)
    wide, behind = bench.send(1, Width(3)), bench.send(1)
    assert _phases(wide, behind) == [WAITING, WAITING]
    assert bench.tally.unaccommodated > 0
    bench.after(1, running)
    assert _phases(wide, behind) == [RUNNING, WAITING]


def test_the_queue_of_a_hand_with_the_least_work_is_taken() -> None:
    bench = Bench(limit=1, length=9)
    bench.send(0)
    bench.send(0)
    bench.send(0)
    chosen = bench.send(hand=(0, 5))
    assert chosen.queue is not None
    assert chosen.queue.index == 5


def test_one_that_gives_up_leaves_its_place_to_those_behind() -> None:
    bench = Bench(limit=1)
    running, impatient, behind = bench.send(0), bench.send(0), bench.send(0)
    bench.now_s = 15.0
    bench.set.give_up(impatient, bench.now_s, in_time=False)
    assert (impatient.phase, bench.set.timed_out) == (DONE, 1)
    assert bench.tally.rejected == {"time-out": 1}
    bench.after(1, running)
    assert bench.ran == [behind]


def test_seats_of_a_write_that_many_watch_linger_after_it() -> None:
    bench = Bench(limit=3)
    write = bench.send(0, Width(1, 3, 0.005))
    waiting = bench.send(1)
    bench.after(1, write)
    assert (bench.set.executing, bench.set.seats_in_use, waiting.phase) == (0, 3, WAITING)
    assert bench.set.next_release_s() == pytest.approx(1.005)
    bench.after(0.005)
    bench.set.release_due(bench.now_s)
    assert bench.ran == [waiting]


def test_a_write_lingers_longer_on_fewer_seats_where_the_level_has_no_more() -> None:
    bench = Bench(limit=2)
    write = bench.send(0, Width(1, 8, 0.005))
    assert (write.seats, write.linger_s) == (2, pytest.approx(0.02))


def test_a_higher_limit_lets_those_run_who_wait() -> None:
    bench = Bench(limit=1)
    requests = [bench.send(0) for _ in range(3)]
    bench.set.reconfigure(bench.set.queuing, 3, bench.now_s)
    assert _phases(*requests) == [RUNNING] * 3


def test_requests_in_a_queue_that_is_taken_away_still_run() -> None:
    bench = Bench(limit=1)
    running, waiting = bench.send(7), bench.send(7)
    bench.set.reconfigure(Queuing(2, 1, 3), 1, bench.now_s)
    bench.after(1, running)
    assert waiting.phase is RUNNING
    bench.after(1, waiting)
    assert bench.set.queues() == []


def test_an_idle_flow_saves_up_no_time() -> None:
    bench = Bench(limit=1, length=100)
    for _ in range(50):
        bench.send(0)
    for _ in range(20):
        bench.after(10, *bench.set.running)
    for _ in range(20):
        bench.send(1)
    before = len(bench.ran)
    for _ in range(20):
        bench.after(1, *bench.set.running)
    served = [request.hand[0] for request in bench.ran[before:]]
    assert served.count(0) >= 8


def test_idle_queues_are_not_kept_without_end() -> None:
    bench = Bench(limit=10, queues=1 << 20)
    for number in range(10_000):
        bench.after(0.001, bench.send(number))
    assert len(bench.set._queues) <= 1100


def test_demand_counts_what_waits_too() -> None:
    bench = Bench(limit=1)
    first = bench.send(0)
    second = bench.send(0)
    bench.after(5, first)
    bench.after(5, second)
    bench.set.end_period(bench.now_s)
    demand = bench.set.demand
    assert (demand.high_watermark, demand.average) == (2, pytest.approx(1.5))
    assert demand.deviation == pytest.approx(0.5)


class QueueSetMachine(RuleBasedStateMachine):
    """Requests of some flows and widths come, end, linger and give up, in any order."""

    @initialize(limit=some.integers(1, 6), length=some.integers(1, 4))
    def begin(self, limit: int, length: int) -> None:
        self.bench = Bench(limit=limit, queues=4, length=length)
        self.all: list[Request] = []

    @rule(
        hand=some.lists(some.integers(0, 3), min_size=1, max_size=3, unique=True),
        seats=some.integers(1, 8),
        final_seats=some.sampled_from([0, 0, 2, 9]),
    )
    def arrive(self, hand: list[int], seats: int, final_seats: int) -> None:
        width = Width(seats, final_seats, 0.5 if final_seats else 0.0)
        self.all.append(self.bench.send(hand=tuple(hand), width=width))

    @precondition(lambda self: self.bench.set.running)
    @rule(data=some.data(), seconds=some.floats(0, 3))
    def finish(self, data: Any, seconds: float) -> None:
        running = sorted(self.bench.set.running, key=self.all.index)
        self.bench.after(seconds, data.draw(some.sampled_from(running)))

    @precondition(lambda self: self.bench.set.waiting)
    @rule(data=some.data(), in_time=some.booleans())
    def give_up(self, data: Any, *, in_time: bool) -> None:
        self.bench.set.release_due(self.bench.now_s)
        waiting = [request for request in self.all if request.phase is WAITING]
        if waiting:
            request = data.draw(some.sampled_from(waiting))
            self.bench.set.give_up(request, self.bench.now_s, in_time=in_time)

    @rule(seconds=some.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.bench.after(seconds)
        self.bench.set.release_due(self.bench.now_s)

    @rule(limit=some.integers(0, 6))
    def change_limit(self, limit: int) -> None:
        self.bench.set.reconfigure(self.bench.set.queuing, limit, self.bench.now_s)

    @invariant()
    def counts_are_those_of_the_requests(self) -> None:
        if not hasattr(self, "bench"):
            return
        queues = self.bench.set
        running = [one for one in self.all if one.phase is RUNNING]
        waiting = [one for one in self.all if one.phase is WAITING]
        lingering = [entry[2] for entry in queues._lingering]
        assert (queues.executing, queues.waiting) == (len(running), len(waiting))
        assert queues.running == set(running)
        assert queues.seats_in_use == sum(one.seats for one in running + lingering)
        assert queues.seats_waiting == sum(one.seats for one in waiting)
        busy = queues.queues()
        assert queues._active == len(busy)
        assert sum(len(queue.waiting) for queue in busy) == len(waiting)
        assert self.bench.tally.seats == queues.seats_in_use

    @invariant()
    def nobody_waits_while_the_next_in_line_would_fit(self) -> None:
        if not hasattr(self, "bench") or not self.bench.set.waiting:
            return
        queues = self.bench.set
        _, following = queues._next()
        assert queues.seats_in_use >= (queues.limit or 0) or not queues._fits(following.seats)

    def teardown(self) -> None:
        """Whoever waits runs in the end: nobody starves."""
        if not hasattr(self, "bench"):
            return
        queues = self.bench.set
        queues.reconfigure(queues.queuing, max(1, queues.limit or 0), self.bench.now_s)
        for _ in range(2 * len(self.all) + 2):
            self.bench.after(20, *queues.running)
            queues.release_due(self.bench.now_s)
        assert queues.is_idle
        assert queues.seats_in_use == 0


TestQueueSet = QueueSetMachine.TestCase
TestQueueSet.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)

"""Seats of priority levels: nominal ones by shares, lent while they are idle; when to come back."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apiserver.fairness.levels import Level, borrow, divide_seats
from apiserver.fairness.model import LEVELS, LevelSpec, Queuing, parse_level
from apiserver.fairness.requests import ONE_SEAT, Request, Width
from apiserver.fairness.retry_after import RETRY_AFTER_S_MAX, RetryAfter
from apiserver.fairness.upkeep import DEFAULTS


def _default_levels() -> dict[str, Level]:
    specs = [parse_level(obj) for group in DEFAULTS[LEVELS] for obj in group]
    levels = {spec.name: Level(spec, 0.0) for spec in specs}
    divide_seats(list(levels.values()), 600, 0.0)
    return levels


def _load(level: Level, seats: int, now_s: float) -> list[Request]:
    requests = []
    for number in range(seats):
        request = Request(level.tally("s"), (number % 64,), ONE_SEAT, now_s)
        assert level.queues.arrive(request, now_s)
        requests.append(request)
    return requests


def test_nominal_seats_are_those_of_upstreams_defaults() -> None:
    levels = _default_levels()
    assert {name: (level.nominal, level.least) for name, level in levels.items()} == {
        "catch-all": (13, 13),
        "exempt": (0, 0),
        "global-default": (49, 24),
        "leader-election": (25, 25),
        "node-high": (98, 73),
        "system": (74, 50),
        "workload-high": (98, 49),
        "workload-low": (245, 24),
    }


@pytest.mark.parametrize(
    ("name", "widest"),
    [("global-default", 8), ("workload-low", 37), ("leader-election", 4), ("catch-all", None)],
)
def test_one_request_takes_a_part_of_its_level_at_most(name: str, widest: int | None) -> None:
    assert _default_levels()[name].widest == widest


def test_idle_levels_lend_to_one_that_has_use_for_more() -> None:
    levels = _default_levels()
    greedy = levels["global-default"]
    _load(greedy, 300, 0.0)
    for period in range(1, 4):
        borrow(list(levels.values()), 10.0 * period)
    assert greedy.current > 250
    assert greedy.queues.seats_in_use == min(300, greedy.current)
    for level in levels.values():
        assert level.least <= level.current <= level.most


def test_a_lender_gets_its_nominal_seats_back_in_the_next_period() -> None:
    levels = _default_levels()
    _load(levels["global-default"], 600, 0.0)
    borrow(list(levels.values()), 10.0)
    lender = levels["workload-low"]
    assert lender.current < lender.nominal
    _load(lender, lender.nominal, 11.0)
    borrow(list(levels.values()), 20.0)
    assert lender.current >= lender.nominal


def test_what_the_exempt_level_takes_is_taken_from_nobodys_least() -> None:
    levels = _default_levels()
    _load(levels["exempt"], 550, 0.0)
    borrow(list(levels.values()), 10.0)
    assert levels["exempt"].queues.limit is None
    limited = [level for name, level in levels.items() if name != "exempt"]
    assert all(level.current == level.least for level in limited)


@given(
    demands=some.lists(some.integers(0, 400), min_size=8, max_size=8),
    width=some.integers(1, 5),
)
def test_limits_stay_within_their_bounds_and_the_servers_seats(
    demands: list[int], width: int
) -> None:
    levels = _default_levels()
    for level, demand in zip(levels.values(), demands, strict=True):
        for _ in range(demand // width):
            level.queues.arrive(Request(level.tally("s"), (0,), Width(width), 0.0), 0.0)
    borrow(list(levels.values()), 10.0)
    limited = [level for level in levels.values() if not level.spec.is_exempt]
    assert all(level.least <= level.current <= level.most for level in limited)
    nominal = sum(level.nominal for level in levels.values())
    assert sum(level.current for level in limited) <= nominal + len(limited)


def test_shares_of_nothing_are_no_seats() -> None:
    spec = LevelSpec(
        "a",
        "",
        is_exempt=False,
        shares=0,
        lendable_percent=0,
        borrowing_percent=0,
        queuing=Queuing(1, 1, 1),
    )
    level = Level(spec, 0.0)
    divide_seats([level], 600, 0.0)
    assert (level.nominal, level.most, level.widest) == (0, 0, 1)


def test_many_refusals_double_the_time_to_come_back_up_to_a_limit() -> None:
    advice = RetryAfter()
    told = [advice.note(second) for second in range(100, 400) for _ in range(200)]
    assert told[0] == 1
    assert told[-1] == RETRY_AFTER_S_MAX
    changes = [after for before, after in itertools.pairwise(told) if after != before]
    assert changes == [2, 4, 8, 16, 32]


def test_few_refusals_bring_the_time_down_again() -> None:
    advice = RetryAfter()
    for second in range(100, 200):
        for _ in range(200):
            advice.note(second)
    told = [advice.note(second) for second in range(1000, 3000, 40)]
    assert told[-1] == 1
    assert len(advice._history) < 100

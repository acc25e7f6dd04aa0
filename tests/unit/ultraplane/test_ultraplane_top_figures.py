"""Rates and quantiles that `ultraplane top` works out of a server's counters."""

from __future__ import annotations

from typing import Any

import pytest

from ultraplane.top_figures import WINDOW, Window, quantile

_BOUNDS = [0.001, 0.01, 0.1]


def tick(at_s: float, gets: list[int], **more: Any) -> dict[str, Any]:
    """Return an account in which GETs were answered, counted by bucket."""
    return {
        "at_s": at_s,
        "now_ms": int(at_s * 1000),
        "requests": {"GET": [sum(gets), 0, more.pop("failed", 0), 0.0, gets]},
        "watches": {"pods": 3, "nodes": 1},
        "watchEvents": 0,
        "partitions": [{"name": "default", "lag_s": 0.25}, {"name": "pods", "lag_s": 0.5}],
        "levels": {},
        "alarms": [],
        "scheduler": None,
        **more,
    }


def scheduler(bound: int, waits: list[int]) -> dict[str, Any]:
    """Return what a scheduler tells."""
    queue = {"active": 1, "backoff": 0, "unschedulable": 2, "gated": 0}
    return {
        "queue": queue,
        "bound": bound,
        "refused": 0,
        "waits": waits,
        "bounds_s": [1.0, 2.0],
    }


@pytest.mark.parametrize(
    ("counts", "part", "wanted"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.0005),
        ([0, 10, 0, 0], 0.5, 0.0055),
        ([5, 5, 0, 0], 0.5, 0.001),
        ([98, 1, 1, 0], 0.99, 0.01),
        ([0, 0, 0, 7], 0.5, 0.1),
    ],
)
def test_a_quantile_lies_straight_within_its_bucket(
    counts: list[int], part: float, wanted: float | None
) -> None:
    found = quantile(_BOUNDS, counts, part)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_one_account_makes_no_rate() -> None:
    window = Window(_BOUNDS)
    window.take(tick(1.0, [1000, 0, 0, 0]))
    view = window.view()
    assert view.total_per_s == 0
    assert view.latency.p99_s is None
    assert not window.is_complete


def test_a_rate_is_what_was_counted_by_the_time_that_passed() -> None:
    window = Window(_BOUNDS)
    window.take(tick(10.0, [100, 0, 0, 0]))
    window.take(tick(12.0, [100, 40, 0, 0], failed=4, watchEvents=50))
    view = window.view()
    assert view.requests["GET"].per_s == 20
    assert view.requests["GET"].failed_per_s == 2
    assert view.watch_events_per_s == 25
    # What was answered before is no part of the latency of now.
    assert view.latency.p50_s == pytest.approx(0.0055)
    assert (view.lag_s, view.watches) == (0.5, 4)


def test_a_verb_that_is_new_is_counted_from_nothing() -> None:
    window = Window(_BOUNDS)
    window.take({**tick(1.0, [0, 0, 0, 0]), "requests": {}})
    window.take(tick(2.0, [10, 0, 0, 0]))
    assert window.view().requests["GET"].per_s == 10


def test_a_server_that_has_begun_anew_is_no_negative_rate() -> None:
    window = Window(_BOUNDS)
    window.take(tick(100.0, [5000, 0, 0, 0]))
    window.take(tick(101.0, [3, 0, 0, 0]))
    assert window.view().total_per_s == 0
    window.take(tick(102.0, [13, 0, 0, 0]))
    assert window.view().total_per_s == 10


def test_latencies_are_of_the_last_seconds_alone() -> None:
    window = Window(_BOUNDS)
    for second in range(WINDOW):
        window.take(tick(second, [0, 0, 100, 0]))
    for second in range(WINDOW, 2 * WINDOW):
        window.take(tick(second, [10 * second, 0, 100, 0]))
    assert len(window) == WINDOW
    latency = window.view().latency
    assert latency.p99_s is not None
    assert latency.p99_s < 0.001


def test_it_is_complete_when_all_that_may_be_seen_is_counted() -> None:
    window = Window(_BOUNDS)
    window.take(tick(1.0, [0, 0, 0, 0]))
    window.take(tick(2.0, [0, 0, 0, 0], nodes={"complete": False}))
    assert not window.is_complete
    window.take(tick(3.0, [0, 0, 0, 0], nodes={"complete": True}))
    assert window.is_complete


def test_what_controllers_work_on_is_a_rate_for_each_queue() -> None:
    window = Window(_BOUNDS)
    queue = {"waiting": 4, "delayed": 2, "worked": 100, "failed": 1}
    window.take(tick(1.0, [0, 0, 0, 0], controllers={"jobs": queue}))
    more = {**queue, "worked": 150, "failed": 2}
    window.take(tick(2.0, [0, 0, 0, 0], controllers={"jobs": more, "new": more}))
    told = window.view().controllers
    assert told is not None
    assert told["jobs"] == {
        "waiting": 4,
        "delayed": 2,
        "worked_per_s": 50,
        "failed_per_s": 1,
    }
    assert told["new"]["worked_per_s"] == 150


def test_the_schedulers_pods_are_a_rate_and_its_waits_a_quantile() -> None:
    window = Window(_BOUNDS)
    window.take(tick(1.0, [0, 0, 0, 0], scheduler=scheduler(100, [90, 10, 0])))
    window.take(tick(2.0, [0, 0, 0, 0], scheduler=scheduler(600, [590, 10, 0])))
    told = window.view().scheduler
    assert told is not None
    assert told["bound_per_s"] == 500
    assert told["wait_p99_s"] == pytest.approx(0.99)
    # One that was started again has bound less.
    window.take(tick(3.0, [0, 0, 0, 0], scheduler=scheduler(5, [5, 0, 0])))
    told = window.view().scheduler
    assert told is not None
    assert told["bound_per_s"] == 0
    assert told["wait_p99_s"] is None

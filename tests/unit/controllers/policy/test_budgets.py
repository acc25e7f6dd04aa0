"""What budgets allow (disruption_test.go)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.policy import budgets
from kube import times
from tests.unit.controllers.workloads.workload_objects import NOW_S, pod

NOW = times.format_seconds(int(NOW_S))


def budget(**status: Any) -> dict[str, Any]:
    """Return a budget of the third generation."""
    return {
        "metadata": {"name": "b", "namespace": "n", "generation": 3},
        "spec": {},
        "status": status,
    }


def ago(seconds: float) -> str:
    """Return a time of the API, so many seconds ago."""
    return times.format_seconds(int(NOW_S - seconds))


@pytest.mark.parametrize(
    ("spec", "expected", "desired"),
    [
        ({"minAvailable": 3}, 10, 3),
        ({"minAvailable": "28%"}, 1, 1),
        ({"minAvailable": "28%"}, 10, 3),
        ({"minAvailable": "100%"}, 7, 7),
        ({"minAvailable": "0%"}, 7, 0),
        ({"maxUnavailable": 1}, 10, 9),
        ({"maxUnavailable": 5}, 3, 0),
        # Rounded up: of seven pods three may go.
        ({"maxUnavailable": "30%"}, 7, 4),
        ({"maxUnavailable": "30%"}, 10, 7),
        ({"maxUnavailable": 0}, 4, 4),
        ({}, 4, 0),
    ],
)
def test_how_many_pods_must_be_healthy(spec: dict[str, Any], expected: int, desired: int) -> None:
    assert budgets.desired_healthy(spec, expected) == desired


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        budgets.share_of("3", 10)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"minAvailable": 3}, False),
        ({"minAvailable": "3%"}, True),
        ({"maxUnavailable": 3}, True),
        ({"maxUnavailable": "3%"}, True),
        ({}, False),
    ],
)
def test_a_plain_least_number_needs_no_word_of_owners(
    spec: dict[str, Any],
    wanted: bool,  # noqa: FBT001
) -> None:
    assert budgets.needs_scale(spec) is wanted


def test_pods_count_as_healthy_if_ready_not_going_and_not_about_to_go() -> None:
    pods = [pod("a"), pod("b", ready_s=None), pod("c", is_deleting=True), pod("d"), pod("e")]
    disrupted = {"d": ago(10), "e": ago(121)}
    assert budgets.count_healthy(pods, disrupted, NOW_S) == 2


def test_evictions_count_until_the_pod_goes_or_two_minutes_have_passed() -> None:
    pods = [pod("new"), pod("old"), pod("going", is_deleting=True), pod("other")]
    noted = {"new": ago(20), "old": ago(130), "going": ago(5), "gone": ago(5)}
    found = budgets.disrupted_pods(pods, noted, NOW_S)
    assert found.times == {"new": noted["new"]}
    assert [one.name for one in found.expired] == ["old"]
    assert found.recheck_s == 100


@pytest.mark.parametrize(
    ("counts", "allowed"),
    [((5, 3, 5), 2), ((3, 3, 5), 0), ((2, 3, 5), 0), ((4, 0, 0), 0), ((1, 0, 1), 1)],
)
def test_what_is_more_than_needed_may_go_but_nothing_where_no_pods_are_expected(
    counts: tuple[int, int, int], allowed: int
) -> None:
    status = budgets.status_of(budget(), counts, {}, NOW)
    assert status["disruptionsAllowed"] == allowed
    condition = status["conditions"][0]
    wanted = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    assert (condition["status"], condition["reason"]) == wanted
    assert (condition["observedGeneration"], status["observedGeneration"]) == (3, 3)


def test_the_time_of_a_condition_changes_with_its_status_alone() -> None:
    first = budgets.status_of(budget(), (5, 3, 5), {}, ago(60))
    second = budgets.status_of(budget(**first), (4, 3, 5), {}, NOW)
    third = budgets.status_of(budget(**second), (3, 3, 5), {}, NOW)
    since = [one["conditions"][0]["lastTransitionTime"] for one in (first, second, third)]
    assert since == [ago(60), ago(60), NOW]


def test_a_budget_that_cannot_be_counted_allows_nothing_and_says_why() -> None:
    status = budgets.failed_status(budget(disruptionsAllowed=2, currentHealthy=4), "why", NOW)
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 4)
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "SyncFailed",
        "why",
    )

"""What becomes of a wish: limits, windows and rates (horizontal_test.go)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.policy import behavior
from controllers.policy.behavior import At, Bounds, Memory

NOW_S = 10_000.0


def rules(
    *policies: tuple[str, int, int], select: str = "Max", window_s: int | None = 0
) -> dict[str, Any]:
    """Return rules of policies: type, value and period."""
    made: dict[str, Any] = {
        "selectPolicy": select,
        "policies": [
            {"type": kind, "value": value, "periodSeconds": period_s}
            for kind, value, period_s in policies
        ],
    }
    if window_s is not None:
        made["stabilizationWindowSeconds"] = window_s
    return made


@pytest.mark.parametrize(
    ("current", "wish", "least", "most", "wanted", "reason"),
    [
        (2, 0, 1, 10, 1, "TooFewReplicas"),
        (2, 20, 1, 3, 3, "TooManyReplicas"),
        (2, 20, 1, 1000, 4, "ScaleUpLimit"),
        (10, 30, 1, 1000, 20, "ScaleUpLimit"),
        (1, 4, 1, 10, 4, "DesiredWithinRange"),
        (1, 2, 1, 2, 2, "DesiredWithinRange"),
    ],
)
def test_without_a_behavior_at_most_double_or_four_are_allowed(
    current: int, wish: int, least: int, most: int, wanted: int, reason: str
) -> None:
    found, (told, _) = behavior.by_rules(Bounds(current, least, most), wish)
    assert (found, told) == (wanted, reason)


def test_without_a_behavior_the_highest_wish_of_five_minutes_counts() -> None:
    memory = Memory([At(9, NOW_S - 301), At(8, NOW_S - 299)])
    outcome = behavior.normalize(memory, None, Bounds(8, 1, 10), 3, NOW_S)
    assert (outcome.replicas, outcome.able[0]) == (8, "ScaleDownStabilized")
    assert [one.number for one in memory.wishes] == [8, 3]
    later = behavior.normalize(memory, None, Bounds(8, 1, 10), 3, NOW_S + 10)
    assert (later.replicas, later.able[0]) == (3, "ReadyForNewScale")


@pytest.mark.parametrize(
    ("ups", "downs", "select", "policies", "wanted"),
    [
        ([], [], "Max", [("Pods", 4, 60), ("Percent", 100, 60)], 20),
        ([], [], "Min", [("Pods", 4, 60), ("Percent", 100, 60)], 14),
        ([], [], "Disabled", [("Pods", 4, 60)], 10),
        # What was added in the period counts, what was removed is to be had again.
        ([At(3, NOW_S - 10)], [], "Max", [("Pods", 4, 60)], 11),
        ([At(3, NOW_S - 70)], [], "Max", [("Pods", 4, 60)], 14),
        ([], [At(2, NOW_S - 10)], "Max", [("Pods", 4, 60)], 16),
        # Rounded up, or nothing would ever grow.
        ([], [], "Max", [("Percent", 1, 60)], 11),
    ],
)
def test_policies_limit_how_many_are_added_in_a_period(
    ups: list[At], downs: list[At], select: str, policies: list[Any], wanted: int
) -> None:
    memory = Memory([], ups, downs)
    found = behavior.scale_up_limit(10, memory, rules(*policies, select=select), NOW_S)
    assert found == wanted


@pytest.mark.parametrize(
    ("ups", "downs", "select", "policies", "wanted"),
    [
        ([], [], "Max", [("Pods", 4, 60), ("Percent", 50, 60)], 5),
        ([], [], "Min", [("Pods", 4, 60), ("Percent", 50, 60)], 6),
        ([], [], "Disabled", [("Pods", 4, 60)], 10),
        ([], [At(3, NOW_S - 10)], "Max", [("Pods", 4, 60)], 9),
        ([At(2, NOW_S - 10)], [], "Max", [("Pods", 4, 60)], 4),
    ],
)
def test_policies_limit_how_many_are_removed_in_a_period(
    ups: list[At], downs: list[At], select: str, policies: list[Any], wanted: int
) -> None:
    memory = Memory([], ups, downs)
    found = behavior.scale_down_limit(10, memory, rules(*policies, select=select), NOW_S)
    assert found == wanted


def both(up: dict[str, Any], down: dict[str, Any]) -> dict[str, Any]:
    """Return a behavior."""
    return {"scaleUp": up, "scaleDown": down}


FREE = [("Percent", 1000, 15)]


@pytest.mark.parametrize(
    ("wishes", "current", "wish", "windows", "wanted", "reason"),
    [
        ([], 5, 9, (0, 300), 9, "ReadyForNewScale"),
        # The lowest wish of the window for scaling up.
        ([At(6, NOW_S - 20)], 5, 9, (60, 300), 6, "ScaleUpStabilized"),
        ([At(6, NOW_S - 70)], 5, 9, (60, 300), 9, "ReadyForNewScale"),
        # The highest wish of the window for scaling down.
        ([At(4, NOW_S - 20)], 5, 2, (0, 300), 4, "ScaleDownStabilized"),
        ([At(4, NOW_S - 301)], 5, 2, (0, 300), 2, "ReadyForNewScale"),
        # One wish up and one down hold the number where it is.
        ([At(9, NOW_S - 20)], 5, 2, (60, 60), 5, "ScaleDownStabilized"),
    ],
)
def test_windows_hold_a_number_back(
    wishes: list[At],
    current: int,
    wish: int,
    windows: tuple[int, int],
    wanted: int,
    reason: str,
) -> None:
    up, down = rules(*FREE, window_s=windows[0]), rules(("Percent", 100, 15), window_s=windows[1])
    outcome = behavior.normalize(
        Memory(wishes), both(up, down), Bounds(current, 1, 100), wish, NOW_S
    )
    assert (outcome.replicas, outcome.able[0]) == (wanted, reason)


def test_a_window_for_scaling_down_that_is_not_named_is_five_minutes() -> None:
    down = rules(("Percent", 100, 15), window_s=None)
    memory = Memory([At(4, NOW_S - 299)])
    outcome = behavior.normalize(memory, both(rules(*FREE), down), Bounds(5, 1, 9), 2, NOW_S)
    assert outcome.replicas == 4


@pytest.mark.parametrize(
    ("wish", "bounds", "wanted", "reason"),
    [
        (20, Bounds(10, 1, 100), 14, "ScaleUpLimit"),
        (20, Bounds(10, 1, 12), 12, "TooManyReplicas"),
        (2, Bounds(10, 1, 100), 8, "ScaleDownLimit"),
        (2, Bounds(10, 9, 100), 9, "TooFewReplicas"),
        (11, Bounds(10, 1, 100), 11, "DesiredWithinRange"),
        (10, Bounds(10, 1, 100), 10, "DesiredWithinRange"),
    ],
)
def test_rates_and_limits_say_what_held_a_wish_back(
    wish: int, bounds: Bounds, wanted: int, reason: str
) -> None:
    made = both(rules(("Pods", 4, 60)), rules(("Pods", 2, 60)))
    outcome = behavior.normalize(Memory(), made, bounds, wish, NOW_S)
    assert (outcome.replicas, outcome.limited[0]) == (wanted, reason)
    assert outcome.is_limited is (reason != "DesiredWithinRange")


def test_changes_are_remembered_for_as_long_as_a_policy_looks_back() -> None:
    made, memory = both(rules(("Pods", 4, 60)), rules(("Pods", 2, 30))), Memory()
    for at_s, (before, after) in ((0, (3, 7)), (10, (7, 5)), (75, (5, 6))):
        behavior.remember_change(memory, made, before, after, NOW_S + at_s)
    assert memory.ups == [At(1, NOW_S + 75)]
    assert memory.downs == []
    behavior.remember_change(memory, None, 1, 2, NOW_S + 80)
    assert len(memory.ups) == 1

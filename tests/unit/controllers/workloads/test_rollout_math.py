"""How many replicas ReplicaSets get, by upstream's tables (deployment_util_test.go and others)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.workloads import rollout_math as of
from tests.unit.controllers.workloads.workload_objects import deployment, replica_set


def rolling(replicas: int, surge: int | str, unavailable: int | str) -> dict[str, Any]:
    """Return a Deployment with these limits."""
    rules = {"maxSurge": surge, "maxUnavailable": unavailable}
    return deployment(replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rules})


@pytest.mark.parametrize(
    ("surge", "unavailable", "total", "posts"),
    [
        ("0%", "0%", 0, (0, 1)),
        ("39%", "39%", 10, (4, 3)),
        ("oops", "0%", 10, None),
        ("55%", "50%", 0, (0, 1)),
        (5, 1, 0, (5, 1)),
        ("25%", "25%", 10, (3, 2)),
        ("1%", "1%", 3, (1, 0)),
    ],
)
def test_surge_is_rounded_up_and_absence_down_and_not_both_are_nothing(
    surge: str, unavailable: str, total: int, posts: tuple[int, int] | None
) -> None:
    made = rolling(total, surge, unavailable)
    if posts is None:
        with pytest.raises(ValueError, match="oops"):
            of.fenceposts(made)
    else:
        assert of.fenceposts(made) == posts


@pytest.mark.parametrize(
    ("total", "surge", "old", "new", "wanted"),
    [(1, 1, 0, 5, 5), (6, 2, 2, 4, 6), (10, 2, 8, 2, 4), (10, 0, 8, 2, 2), (10, "25%", 10, 0, 3)],
)
def test_a_new_replica_set_grows_into_what_is_left_of_the_surge(
    total: int, surge: int | str, old: int, new: int, wanted: int
) -> None:
    sets = [replica_set("old-1", old), replica_set("new-2", new)]
    assert of.new_replicas(rolling(total, surge, 0), sets, sets[1]) == wanted


def test_who_recreates_gets_all_at_once() -> None:
    made = deployment(7, strategy={"type": "Recreate"})
    assert of.new_replicas(made, [replica_set("new-1", 0)], replica_set("new-1", 0)) == 7
    assert (of.max_surge(made), of.max_unavailable(made)) == (0, 0)


def test_no_more_may_be_missing_than_are_wanted() -> None:
    assert of.max_unavailable(rolling(2, 0, 5)) == 2
    assert of.max_unavailable(rolling(0, 0, 5)) == 0


def test_shares_follow_sizes_before_the_scaling() -> None:
    made = rolling(20, 0, 1)
    one, other = replica_set("a-1", 6), replica_set("b-2", 4)
    for each in (one, other):
        each["metadata"]["annotations"][of.MAX] = "10"
    assert of.proportion(one, made, 10, 0) == 6
    assert of.proportion(other, made, 10, 6) == 4
    assert of.proportion(other, made, 10, 10) == 0


def test_shares_shrink_alike_and_to_nothing_where_nothing_is_wanted() -> None:
    made = rolling(5, 0, 1)
    one = replica_set("a-1", 6)
    one["metadata"]["annotations"][of.MAX] = "10"
    assert of.proportion(one, made, -5, 0) == -3
    assert of.proportion(one, rolling(0, 0, 1), -6, 0) == -6


def test_a_set_is_saturated_when_all_it_wants_was_wanted_and_is_available() -> None:
    made = deployment(3)
    assert of.is_saturated(made, replica_set("a-1", 3))
    assert not of.is_saturated(made, replica_set("a-1", 3, available=2))
    assert not of.is_saturated(made, replica_set("a-1", 2))
    assert not of.is_saturated(made, None)

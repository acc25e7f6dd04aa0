"""Which pods go first: ActivePodsWithRanks, criterion by criterion."""

from __future__ import annotations

import pytest

from controllers.workloads.pods import PodBrief
from controllers.workloads.ranking import to_delete
from tests.unit.controllers.workloads.workload_objects import NOW_S, pod

HOUR = int(NOW_S) - 3600


def first(*pods: PodBrief, related: tuple[PodBrief, ...] = ()) -> str:
    """Return the name of the pod that goes first, whatever their order."""
    ends = {to_delete(order, related or order, 1, NOW_S)[0].name for order in (pods, pods[::-1])}
    assert len(ends) == 1
    return ends.pop()


@pytest.mark.parametrize(
    ("goes", "stays"),
    [
        (pod("a", node=""), pod("b", phase="Pending", ready_s=None, cost=-5)),
        (pod("a", phase="Pending", ready_s=None), pod("b", phase="Unknown", ready_s=None)),
        (pod("a", phase="Unknown", ready_s=None), pod("b", ready_s=None, cost=-5)),
        (pod("a", ready_s=None), pod("b", cost=-5)),
        (pod("a", cost=-5), pod("b", ready_s=int(NOW_S) - 1)),
        (pod("a", ready_s=int(NOW_S) - 10), pod("b", ready_s=HOUR)),
        (pod("a", ready_s=None, restarts=(3, 0)), pod("b", ready_s=None, restarts=(1, 9))),
        (pod("a", ready_s=None, restarts=(1, 3)), pod("b", ready_s=None, restarts=(1, 1))),
        (pod("a", ready_s=None, created_s=int(NOW_S) - 9), pod("b", ready_s=None, created_s=HOUR)),
    ],
    ids=[
        "unplaced",
        "pending",
        "unknown",
        "unready",
        "cheap",
        "young",
        "restarts",
        "sidecars",
        "new",
    ],
)
def test_a_criterion_decides_before_those_behind_it(goes: PodBrief, stays: PodBrief) -> None:
    assert first(goes, stays) == "a"


def test_pods_on_crowded_nodes_go_before_others() -> None:
    crowd = (pod("c", node="full"), pod("d", node="full"))
    alone, among = pod("a", node="empty"), pod("b", node="full")
    assert first(alone, among, related=(alone, among, *crowd)) == "b"


def test_only_active_pods_crowd_a_node() -> None:
    gone = tuple(pod(f"c{n}", node="full", is_deleting=True) for n in range(5))
    alone, among = pod("a", node="empty"), pod("b", node="full")
    assert first(alone, among, related=(alone, among, *gone)) == "a"


def test_ages_of_one_power_of_two_count_as_equal() -> None:
    assert first(pod("a", ready_s=HOUR), pod("b", ready_s=HOUR - 60)) == "a"
    assert first(pod("b", ready_s=HOUR), pod("a", ready_s=HOUR - 60)) == "a"


def test_all_go_where_all_are_to() -> None:
    pods = [pod("a"), pod("b")]
    assert to_delete(pods, pods, 2, NOW_S) == pods

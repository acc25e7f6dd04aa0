"""What a pass over the nodes finds, by the tables of upstream's daemon tests."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.workloads.daemon_pods import GENERATION, Freshness, node_of, pods_for
from controllers.workloads.daemon_survey import PodsOnNodes, Rules, Survey, is_surging, limits_of
from controllers.workloads.failed_pods import MOST_S, FailedPods
from controllers.workloads.history import POD_LABEL
from controllers.workloads.pods import PodBrief
from tests.unit.controllers.workloads.workload_objects import NOW_S, pod, template

BROKEN: dict[str, Any] = {"ready_s": None}
GOING: dict[str, Any] = {"is_deleting": True}


def daemon_set(**rules: Any) -> dict[str, Any]:
    """Return a set; what is given are the rules of its rolling update."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": rules}
    return {
        "metadata": {"name": "agent", "namespace": "n", "uid": "s", "annotations": {}},
        "spec": {"template": template("agent:1"), "updateStrategy": strategy},
    }


def daemon(name: str, digest: str = "new", **changes: Any) -> PodBrief:
    """Return a pod of the set."""
    labels = frozenset({("app", "web"), (POD_LABEL, digest)})
    return pod(name, **{"labels": labels, **changes})


def survey(*, surging: bool = False) -> Survey:
    """Return a survey of a set whose current revision is "new"."""
    fresh = Freshness(daemon_set(), "new")
    return Survey(Rules(is_surging=surging, min_ready_s=0, fresh=fresh, now_s=NOW_S))


def names(pods: list[PodBrief]) -> list[str]:
    """Return the names of pods, in order."""
    return sorted(one.name for one in pods)


def test_nodes_lack_pods_or_have_what_they_should_not() -> None:
    found = survey()
    found.look("empty", None, should_run=True, may_stay=True)
    found.look("none", None, should_run=False, may_stay=False)
    found.look("fine", [daemon("fine")], should_run=True, may_stay=True)
    found.look("tainted", [daemon("stays")], should_run=False, may_stay=True)
    found.look("wrong", [daemon("goes"), daemon("gone", **GOING)], should_run=False, may_stay=False)
    assert (found.lacking, names(found.surplus)) == (["empty"], ["goes"])
    assert found.counts() == {
        "desiredNumberScheduled": 2,
        "currentNumberScheduled": 1,
        "numberMisscheduled": 2,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 1,
    }


def test_of_several_pods_on_a_node_the_placed_and_oldest_stays() -> None:
    found = survey()
    pods = [
        daemon("waiting", node="", created_s=1),
        daemon("young", created_s=9),
        daemon("old", created_s=5),
    ]
    found.look("node", pods, should_run=True, may_stay=True)
    assert names(found.surplus) == ["waiting", "young"]


def test_ended_pods_are_told_apart() -> None:
    found = survey()
    pods = [
        daemon("failed", phase="Failed"),
        daemon("done", phase="Succeeded"),
        daemon("going", phase="Failed", is_deleting=True),
    ]
    found.look("node", pods, should_run=True, may_stay=True)
    assert (names(found.failed), names(found.succeeded)) == (["failed"], ["done"])
    assert (found.lacking, found.surplus) == ([], [])


def test_a_pod_never_placed_goes_with_its_node() -> None:
    found = survey()
    placed = daemon("placed", node="gone")
    found.look_nowhere([placed, daemon("waits", node="", target="gone")])
    assert names(found.surplus) == ["waits"]


@pytest.mark.parametrize(
    ("limit", "deleted"), [(0, ["broken"]), (2, ["broken"]), (3, ["broken", "old-1"])]
)
def test_an_update_makes_room_on_so_many_nodes(limit: int, deleted: list[str]) -> None:
    found = survey()
    for one in (
        [daemon("old-1", "old")],
        [daemon("old-2", "old")],
        [daemon("broken", "old", **BROKEN)],
        [daemon("new")],
        [daemon("starts", **BROKEN)],
    ):
        found.look(one[0].name, one, should_run=True, may_stay=True)
    assert names(found.update.deletable(limit, found.desired)) == deleted


def test_nodes_without_a_pod_count_as_unavailable() -> None:
    found = survey()
    found.look("a", [daemon("old", "old")], should_run=True, may_stay=True)
    found.look("b", None, should_run=True, may_stay=True)
    found.look("c", [daemon("going", "old", **GOING)], should_run=True, may_stay=True)
    assert found.update.deletable(2, found.desired) == []
    assert names(found.update.deletable(3, found.desired)) == ["old"]


def test_a_surge_makes_new_pods_beside_old_ones_and_beyond_where_those_are_broken() -> None:
    found = survey(surging=True)
    for name, changes in (("a", {}), ("b", {}), ("c", BROKEN)):
        old = daemon(name, "old", node=name, **changes)
        found.look(name, [old], should_run=True, may_stay=True)
    starting = [daemon("d-old", "old"), daemon("d-new", **BROKEN)]
    found.look("d", starting, should_run=True, may_stay=True)
    assert found.update.surged(1) == ["c"]
    assert found.update.surged(2) == ["c", "a"]
    assert found.update.deletable(0, found.desired) == []


def test_an_old_pod_goes_when_the_new_one_is_available_or_it_does_not_work_itself() -> None:
    found = survey(surging=True)
    found.look("a", [daemon("old-a", "old"), daemon("new-a")], should_run=True, may_stay=True)
    pods = [daemon("old-b", "old", **BROKEN), daemon("new-b", **BROKEN)]
    found.look("b", pods, should_run=True, may_stay=True)
    pods = [daemon("old-c", "old"), daemon("new-c", **BROKEN), daemon("third-c", created_s=2**31)]
    found.look("c", pods, should_run=True, may_stay=True)
    assert names(found.surplus) == ["old-a", "old-b", "third-c"]


def test_a_surging_set_leaves_a_node_when_as_many_run_where_they_should() -> None:
    found = survey(surging=True)
    found.look("left", [daemon("left", "old")], should_run=False, may_stay=True)
    found.look("new", [daemon("new", **BROKEN)], should_run=True, may_stay=True)
    assert found.update.deletable(0, found.desired) == []
    found = survey(surging=True)
    found.look("left", [daemon("left", "old")], should_run=False, may_stay=True)
    found.look("new", [daemon("new")], should_run=True, may_stay=True)
    assert names(found.update.deletable(0, found.desired)) == ["left"]


@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        ({"maxUnavailable": 1, "maxSurge": 0}, (0, 1)),
        ({"maxUnavailable": "30%", "maxSurge": 0}, (0, 3)),
        ({"maxUnavailable": "31%", "maxSurge": 0}, (0, 4)),
        ({"maxUnavailable": 0, "maxSurge": "25%"}, (3, 0)),
        ({"maxUnavailable": 0, "maxSurge": 0}, (0, 1)),
    ],
)
def test_limits_are_numbers_or_shares_rounded_up_and_never_none(
    rules: dict[str, Any], limits: tuple[int, int]
) -> None:
    assert limits_of(daemon_set(**rules), 10) == limits
    assert is_surging(daemon_set(**rules)) == (limits[0] > 0)


def test_pods_by_node_are_taken_once_and_the_rest_is_left() -> None:
    here = PodsOnNodes()
    one, two, three = daemon("1", node="a"), daemon("2", node="a"), daemon("3", node="b")
    for each in (one, two, three):
        here.put(node_of(each), each)
    assert (here.take("a"), here.take("a")) == ([one, two], None)
    assert list(here.rest()) == [(three,)]


def test_a_pod_is_new_by_its_revision_or_by_its_templates_generation() -> None:
    made = daemon_set()
    made["metadata"]["annotations"] = {GENERATION: "3"}
    fresh = Freshness(made, "new")
    by_generation = daemon("x", labels=frozenset({("pod-template-generation", "3")}))
    assert [fresh.is_new(one) for one in (daemon("a"), daemon("b", "old"), by_generation)] == [
        True,
        False,
        True,
    ]
    labels = pods_for(made, "new")("a")["metadata"]["labels"]
    assert labels == {"app": "web", POD_LABEL: "new", "pod-template-generation": "3"}


def test_a_failed_pod_is_left_for_twice_as_long_each_time() -> None:
    failed, now_s, waits = FailedPods(), 0.0, []
    for _ in range(13):
        assert failed.delay_s("key", now_s) == 0
        waits.append(failed.delay_s("key", now_s))
        now_s += waits[-1]
    assert waits == [min(MOST_S, 2.0**number) for number in range(13)]
    assert failed.delay_s("other", now_s) == 0
    assert failed.delay_s("key", now_s + 3 * MOST_S) == 0
    assert failed.delay_s("key", now_s + 3 * MOST_S) == 1

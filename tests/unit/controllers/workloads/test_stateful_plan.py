"""StatefulSets' decisions, by the tables of upstream's stateful_set_control_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.workloads import stateful_plan as plan
from controllers.workloads.pods import PodBrief
from controllers.workloads.stateful_identity import (
    NAME_LABEL,
    POD_LABEL,
    new_claim,
    new_pod,
    ordinal_of,
)
from controllers.workloads.stateful_plan import Need
from tests.unit.controllers.workloads.workload_objects import NOW_S, pod, template

OLD, NEW = "web-old", "web-new"


def stateful_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a set named web; what is given goes into its spec."""
    return {
        "metadata": {"name": "web", "namespace": "n", "uid": "s", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "svc",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("web:1"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        },
    }


def member(ordinal: int, revision: str = NEW, **changes: Any) -> PodBrief:
    """Return a pod of the set."""
    name = f"web-{ordinal}"
    labels = frozenset({("app", "web"), (NAME_LABEL, name), (POD_LABEL, revision)})
    return pod(name, **{"labels": labels, **changes})


def slots(made: dict[str, Any], *pods: PodBrief) -> plan.Slots:
    """Return pods where they belong."""
    return plan.arrange("web", pods, plan.layout_of(made))


def old_pods(made: dict[str, Any], *pods: PodBrief) -> list[str]:
    """Return the names of those that an update deletes now."""
    found = plan.outdated(slots(made, *pods), plan.layout_of(made), NEW, NOW_S)
    return [one.name for one in found]


def rolling(**rules: Any) -> dict[str, Any]:
    """Return an update strategy."""
    return {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **rules}}


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [
        ("web-0", 0),
        ("web-12", 12),
        ("web-01", -1),
        ("web-", -1),
        ("web", -1),
        ("web-a", -1),
        ("other-1", -1),
        ("web-1-2", -1),
        ("web-٣", -1),
        ("web-99999999999", -1),
    ],
)
def test_an_ordinal_is_what_a_members_name_ends_with(name: str, ordinal: int) -> None:
    assert ordinal_of("web", name) == ordinal


def test_a_pod_has_its_identity_and_volumes_of_its_claims() -> None:
    claim = {"metadata": {"name": "data", "labels": {"x": "y"}}, "spec": {"a": 1}}
    made = stateful_set(volumeClaimTemplates=[claim])
    made["spec"]["template"]["spec"]["volumes"] = [
        {"name": "data", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    found = new_pod(made, made["spec"]["template"], NEW, 7)
    assert found["metadata"]["name"] == "web-7"
    assert found["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "7",
        NAME_LABEL: "web-7",
        POD_LABEL: NEW,
    }
    assert (found["spec"]["hostname"], found["spec"]["subdomain"]) == ("web-7", "svc")
    assert found["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-7"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert new_claim(made, claim, "web-7")["metadata"] == {
        "name": "data-web-7",
        "namespace": "n",
        "labels": {"x": "y", "app": "web"},
    }
    assert claim["metadata"] == {"name": "data", "labels": {"x": "y"}}


def test_pods_outside_the_range_are_condemned_from_the_highest_down() -> None:
    made = stateful_set(2, ordinals={"start": 1})
    found = slots(made, *(member(number) for number in (0, 2, 4, 3)))
    assert [one.name if one else None for one in found.replicas] == [None, "web-2"]
    assert [one.name for one in found.condemned] == ["web-4", "web-3", "web-0"]


@pytest.mark.parametrize(
    ("changes", "ordered", "parallel"),
    [
        ({}, Need.NOTHING, Need.NOTHING),
        ({"phase": "Pending", "ready_s": None}, Need.TIME, Need.NOTHING),
        ({"ready_s": None}, Need.TIME, Need.NOTHING),
        ({"is_deleting": True}, Need.TIME, Need.NOTHING),
        ({"phase": "Failed"}, Need.NO_POD, Need.NO_POD),
        ({"phase": "Succeeded"}, Need.NO_POD, Need.NO_POD),
        ({"phase": "Failed", "is_deleting": True}, Need.TIME, Need.TIME),
    ],
)
def test_ordered_places_wait_for_a_pod_that_works(
    changes: dict[str, Any], ordered: Need, parallel: Need
) -> None:
    for policy, need in (("OrderedReady", ordered), ("Parallel", parallel)):
        layout = plan.layout_of(stateful_set(podManagementPolicy=policy))
        assert plan.need_of(member(0, **changes), layout, NOW_S) is need
        assert plan.need_of(None, layout, NOW_S) is Need.A_POD


def test_a_pod_that_was_ready_for_too_short_a_time_is_waited_for() -> None:
    young = member(0, ready_s=int(NOW_S) - 5)
    for seconds, need in ((5, Need.NOTHING), (6, Need.TIME)):
        layout = plan.layout_of(stateful_set(minReadySeconds=seconds))
        assert plan.need_of(young, layout, NOW_S) is need


@pytest.mark.parametrize(
    ("states", "chosen", "is_all"),
    [
        ({}, ["web-2"], True),
        ({2: {"is_deleting": True}}, [], True),
        ({2: {"ready_s": None}}, ["web-2"], True),
        ({1: {"ready_s": None}}, ["web-2"], True),
        ({2: {"ready_s": None}, 1: {"ready_s": None}}, [], True),
        ({2: {"ready_s": None}, 0: {"ready_s": None}}, [], True),
    ],
)
def test_an_ordered_set_shrinks_by_its_last_pod_unless_another_is_broken(
    *, states: dict[int, dict[str, Any]], chosen: list[str], is_all: bool
) -> None:
    made = stateful_set(1)
    found = slots(made, *(member(number, **states.get(number, {})) for number in range(3)))
    pods, done = plan.surplus(found, plan.layout_of(made), NOW_S)
    assert ([one.name for one in pods], done) == (chosen, is_all)


def test_a_parallel_set_shrinks_at_once() -> None:
    made = stateful_set(1, podManagementPolicy="Parallel")
    pods = [member(0), member(1), member(2, is_deleting=True), member(3, ready_s=None)]
    chosen, is_all = plan.surplus(slots(made, *pods), plan.layout_of(made), NOW_S)
    assert ([one.name for one in chosen], is_all) == (["web-3", "web-1"], False)


@pytest.mark.parametrize(
    ("strategy", "deleted"),
    [
        (rolling(), ["web-3"]),
        (rolling(maxUnavailable=2), ["web-3", "web-2"]),
        (rolling(maxUnavailable="50%"), ["web-3", "web-2"]),
        (rolling(maxUnavailable="10%"), ["web-3"]),
        (rolling(partition=3, maxUnavailable=2), ["web-3"]),
        (rolling(partition=9), []),
        ({"type": "OnDelete"}, []),
    ],
)
def test_an_update_deletes_from_the_last_pod_down(
    strategy: dict[str, Any], deleted: list[str]
) -> None:
    made = stateful_set(4, updateStrategy=strategy)
    assert old_pods(made, *(member(number, OLD) for number in range(4))) == deleted


def test_pods_that_are_missing_count_against_an_update() -> None:
    made = stateful_set(4, updateStrategy=rolling(maxUnavailable=2))
    pods = [member(number, OLD) for number in range(3)]
    assert old_pods(made, *pods, member(3, ready_s=None)) == ["web-2"]
    assert old_pods(made, *pods) == ["web-2"]
    assert old_pods(made, *pods[:2], member(2, ready_s=None), member(3, ready_s=None)) == []


def test_broken_old_pods_do_not_keep_an_update_of_a_parallel_set_from_coming() -> None:
    made = stateful_set(4, podManagementPolicy="Parallel", updateStrategy=rolling())
    broken = [member(number, OLD, ready_s=None) for number in (0, 2)]
    works = [member(number, OLD) for number in (1, 3)]
    # kubernetes#137409: those that do not work are no loss; of the others none may go.
    assert old_pods(made, *broken, *works) == ["web-2", "web-0"]
    ordered = stateful_set(4, updateStrategy=rolling())
    assert old_pods(ordered, *broken, *works) == []


def test_the_partition_decides_by_which_revision_a_pod_is_made() -> None:
    made = stateful_set(4, ordinals={"start": 10}, updateStrategy=rolling(partition=2))
    layout = plan.layout_of(made)
    assert [plan.uses_current(number, layout) for number in (10, 11, 12, 13)] == [
        True,
        True,
        False,
        False,
    ]


def test_counts_are_of_pods_that_are_there_and_an_update_is_complete_when_all_are_new() -> None:
    pods = [member(0, OLD), member(1, ready_s=None), member(2, is_deleting=True)]
    layout = plan.layout_of(stateful_set())
    status = plan.status_of_pods(pods, layout, (OLD, NEW), NOW_S)
    assert status == {
        "replicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "currentReplicas": 1,
        "updatedReplicas": 1,
    }
    names = {"currentRevision": OLD, "updateRevision": NEW}
    status |= names
    plan.complete(status, layout)
    assert status["currentRevision"] == OLD
    pods = [member(number) for number in range(3)]
    status = {**plan.status_of_pods(pods, layout, (OLD, NEW), NOW_S), **names}
    plan.complete(status, layout)
    assert (status["currentRevision"], status["currentReplicas"]) == (NEW, 3)

"""StatefulSets, revisions and statuses of LeaderWorkerSets, without a server."""

from __future__ import annotations

from typing import Any

from controllers.leader_workers import names
from controllers.leader_workers.definition import definition
from controllers.leader_workers.group_book import Group, GroupBook, read_member
from controllers.leader_workers.revisions import key_of, patch_of, restored
from controllers.leader_workers.rollout import GroupState, Step
from controllers.leader_workers.sets import leader_set, worker_set
from controllers.leader_workers.status import count, new_status, true_conditions
from controllers.leader_workers.wanted import read_spec
from kube.informers.changes import Change
from kube.informers.informer import Delta

Json = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"


def lws(**changes: Any) -> Json:
    """Return a set llm of three groups of two."""
    template = {
        "spec": {"containers": [{"name": "main", "image": "a"}], "nodeSelector": {"x": "y"}}
    }
    own = {"size": 2, "workerTemplate": template, **changes.pop("template", {})}
    return {
        "metadata": {
            "name": "llm",
            "namespace": "n",
            "uid": "u",
            "generation": 4,
            "labels": {"team": "a"},
            "annotations": changes.pop("annotations", {}),
        },
        "spec": {"replicas": 3, "leaderWorkerTemplate": own, **changes},
    }


def pod(name: str, index: int, *, revision: str = "r", worker: str = "0", **status: Any) -> Json:
    """Return a pod of a group, ready."""
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"uid-{name}",
            "labels": {
                names.NAME: "llm",
                names.GROUP_INDEX: str(index),
                names.GROUP_KEY: "k",
                names.WORKER_INDEX: worker,
                names.REVISION: revision,
            },
        },
        "spec": {"nodeName": "node"},
        "status": {"phase": "Running", "conditions": [ready], **status},
    }


def workers(index: int, revision: str = "r", available: int = 1) -> Json:
    """Return the StatefulSet of a group's workers."""
    return {
        "metadata": {
            "name": f"llm-{index}",
            "namespace": "n",
            "uid": f"set-{index}",
            "labels": {
                names.NAME: "llm",
                names.GROUP_INDEX: str(index),
                names.REVISION: revision,
            },
        },
        "spec": {"replicas": 1},
        "status": {"availableReplicas": available, "currentRevision": "a", "updateRevision": "a"},
    }


def deltas(*objects: Json, change: Change = Change.ADDED) -> list[Delta]:
    """Return objects as an informer tells of them."""
    return [Delta(change, f"n/{obj['metadata']['name']}", obj) for obj in objects]


def book(**groups: Json) -> tuple[GroupBook, list[Any], list[str]]:
    """Return an empty book, and what it says has changed."""
    changed_groups: list[Any] = []
    changed_sets: list[str] = []
    return GroupBook(changed_groups.append, changed_sets.append), changed_groups, changed_sets


def test_leaders_are_one_set_with_room_for_what_may_be_missing() -> None:
    rolling = {"maxUnavailable": 1, "maxSurge": 2}
    given = lws(rolloutStrategy={"rollingUpdateConfiguration": rolling})
    made = leader_set(given, Step(2, 5), "r")
    spec = made["spec"]
    assert (spec["replicas"], spec["serviceName"], spec["podManagementPolicy"]) == (
        5,
        "llm",
        "Parallel",
    )
    assert spec["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 3, "partition": 2},
    }
    assert spec["template"]["metadata"]["labels"] == {
        names.NAME: "llm",
        names.WORKER_INDEX: "0",
        names.REVISION: "r",
    }
    assert made["metadata"]["labels"] == {
        "team": "a",
        names.NAME: "llm",
        names.REVISION: "r",
    }
    assert made["metadata"]["annotations"][names.REPLICAS] == "3"


def test_workers_belong_to_their_leader_and_start_with_the_ordinal_one() -> None:
    made = worker_set(lws(template={"size": 4}), pod("llm-1", 1), {"rack": "b"})
    spec = made["spec"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-llm-1"
    assert (spec["replicas"], spec["ordinals"]) == (3, {"start": 1})
    assert spec["template"]["spec"]["nodeSelector"] == {"x": "y", "rack": "b"}
    assert spec["template"]["metadata"]["annotations"] == {
        names.SIZE: "4",
        names.LEADER_NAME: "llm-1",
    }
    assert spec["selector"]["matchLabels"].keys() == {
        names.NAME,
        names.GROUP_INDEX,
        names.GROUP_KEY,
    }


def test_a_revision_brings_back_what_groups_are_made_of_and_nothing_else() -> None:
    old = lws(template={"size": 3})
    revision = {"data": patch_of(old)}
    new = lws(replicas=9, networkConfig={"subdomainPolicy": "UniquePerReplica"})
    back = restored(new, revision)
    assert back["spec"]["leaderWorkerTemplate"] == old["spec"]["leaderWorkerTemplate"]
    assert back["spec"]["networkConfig"] == {"subdomainPolicy": "Shared"}
    assert back["spec"]["replicas"] == 9
    assert key_of(patch_of(old)) == key_of(patch_of(lws(template={"size": 3}, replicas=1)))
    assert key_of(patch_of(old)) != key_of(patch_of(new))


def test_a_group_is_ready_when_its_leader_and_all_workers_are() -> None:
    made, _, _ = book()
    made.take_pods(deltas(pod("llm-0", 0)))
    group = made.group(("n/llm", 0))
    assert group is not None
    assert group.state(2, "r") == GroupState(is_ready=False, is_updated=False)
    made.take_sets(deltas(workers(0, available=0)))
    assert group.state(2, "r") == GroupState(is_ready=False, is_updated=True)
    made.take_sets(deltas(workers(0), change=Change.MODIFIED))
    assert group.state(2, "r") == GroupState(is_ready=True, is_updated=True)
    assert group.state(1, "other") == GroupState(is_ready=True, is_updated=False)


def test_only_what_matters_has_a_group_looked_at_and_what_is_gone_is_forgotten() -> None:
    made, groups, sets = book()
    leader, worker = pod("llm-0", 0), pod("llm-0-1", 0, worker="1")
    made.take_pods(deltas(leader, worker))
    assert (groups, sets) == ([("n/llm", 0)], ["n/llm"])
    made.take_pods(deltas(leader, worker, change=Change.MODIFIED))
    assert len(groups) == 1, "nothing has changed"
    restarted = {
        **worker,
        "status": {"phase": "Running", "containerStatuses": [{"restartCount": 1}]},
    }
    made.take_pods(deltas(restarted, change=Change.MODIFIED))
    assert groups == [("n/llm", 0)] * 2
    made.take_pods(deltas(leader, worker, change=Change.DELETED))
    assert made.groups("n/llm") == {}


def test_a_restart_counts_as_a_failure_only_while_a_pod_lives() -> None:
    restarted = [{"restartCount": 2}]
    assert read_member(pod("a-0", 0, initContainerStatuses=restarted)).has_failed
    assert not read_member(pod("a-0", 0, phase="Failed", containerStatuses=restarted)).has_failed
    going = pod("a-0", 0)
    going["metadata"]["deletionTimestamp"] = NOW
    assert read_member(going).has_failed


def _groups(*states: tuple[str, bool]) -> dict[int, Group]:
    made, _, _ = book()
    for index, (revision, is_ready) in enumerate(states):
        made.take_pods(deltas(pod(f"llm-{index}", index, revision=revision)))
        made.take_sets(deltas(workers(index, revision, int(is_ready))))
    return dict(made.groups("n/llm"))


def test_conditions_follow_updates_and_readiness() -> None:
    wanted = read_spec(lws()["spec"])
    for states, true in (
        ((("r", True), ("r", True), ("r", True)), ("Available",)),
        ((("r", True), ("r", False), ("r", True)), ("Progressing",)),
        ((("old", True), ("r", True), ("r", True)), ("UpdateInProgress", "Progressing")),
    ):
        assert true_conditions(wanted, count(wanted, _groups(*states), "r")) == true


def test_groups_below_the_partition_do_not_hold_back_availability() -> None:
    rolling = {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}}
    wanted = read_spec(lws(**rolling)["spec"])
    counts = count(wanted, _groups(("old", True), ("r", True), ("r", True)), "r")
    assert true_conditions(wanted, counts) == ("Available",)
    assert not counts.is_done(wanted), "the old template is in use still"


def test_a_condition_that_becomes_true_makes_its_rivals_false() -> None:
    given = lws()
    wanted = read_spec(given["spec"])
    leaders = {"status": {"replicas": 3}}
    updating = count(wanted, _groups(("old", True), ("r", True), ("r", True)), "r")
    given["status"], text = new_status(given, leaders, updating, wanted, NOW)
    assert text == "Rolling Upgrade is in progress, with 3 groups ready of total 3 groups"
    done = count(wanted, _groups(("r", True), ("r", True), ("r", True)), "r")
    status, text = new_status(given, leaders, done, wanted, NOW)
    assert text == "All replicas are ready, with 3 groups ready of total 3 groups"
    told = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert told == {
        "UpdateInProgress": ("False", "GroupsUpdating"),
        "Progressing": ("False", "GroupsProgressing"),
        "Available": ("True", "AllGroupsReady"),
    }
    given["status"] = status
    assert new_status(given, leaders, done, wanted, "later") == (status, "")


def test_the_definition_spells_templates_out() -> None:
    (version,) = definition()["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    template = spec["leaderWorkerTemplate"]["properties"]["workerTemplate"]
    pod_spec = template["properties"]["spec"]
    containers = pod_spec["properties"]["containers"]
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert pod_spec["required"] == ["containers"]
    ports = containers["items"]["properties"]["ports"]
    assert ports["items"]["properties"]["protocol"]["default"] == "TCP"
    assert "description" not in pod_spec

"""What a Deployment's status says, by its ReplicaSets and by time."""

from __future__ import annotations

from typing import Any

from controllers.workloads import rollout_status as of
from tests.unit.controllers.workloads.workload_objects import NOW_S, deployment, replica_set


def said(status: dict[str, Any], kind: str) -> tuple[str, str] | None:
    """Return a condition's status and reason."""
    for one in status.get("conditions") or ():
        if one["type"] == kind:
            return one["status"], one["reason"]
    return None


def told(made: dict[str, Any], *sets: dict[str, Any], now_s: float = NOW_S) -> dict[str, Any]:
    """Return the status of a rollout; the last set is the new one."""
    status = of.calculate(made, sets, sets[-1], now_s)
    of.put_progress(made, status, sets[-1], now_s)
    return status


def test_counts_are_those_of_all_sets_and_of_the_new_one() -> None:
    status = told(deployment(5), replica_set("a-1", 2), replica_set("b-2", 3, available=1))
    assert status["replicas"] == 5
    assert status["updatedReplicas"] == 3
    assert status["availableReplicas"] == 3
    assert status["unavailableReplicas"] == 2


def test_minimum_availability_leaves_out_those_that_may_be_missing() -> None:
    made = deployment(4)
    enough = told(made, replica_set("a-1", 4, available=3))
    assert said(enough, "Available") == ("True", "MinimumReplicasAvailable")
    few = told(made, replica_set("a-1", 4, available=2))
    assert said(few, "Available") == ("False", "MinimumReplicasUnavailable")


def test_progress_is_told_until_all_is_done() -> None:
    made = deployment(2, progressDeadlineSeconds=600)
    made["status"] = {"replicas": 1, "updatedReplicas": 1}
    status = told(made, replica_set("a-1", 2, available=1))
    assert said(status, "Progressing") == ("True", "ReplicaSetUpdated")
    made["status"] = status
    status = told(made, replica_set("a-1", 2))
    assert said(status, "Progressing") == ("True", "NewReplicaSetAvailable")
    (text,) = [c["message"] for c in status["conditions"] if c["type"] == "Progressing"]
    assert text == 'ReplicaSet "a-1" has successfully progressed.'


def test_no_progress_within_the_deadline_is_told_and_waited_for() -> None:
    made = deployment(2, progressDeadlineSeconds=60)
    sets = [replica_set("a-1", 2, available=0)]
    made["status"] = told(made, *sets)
    of.put(
        made["status"],
        of.condition("Progressing", status="True", reason="x", message="", now_s=NOW_S),
    )
    later = told(made, *sets, now_s=NOW_S + 30)
    assert said(later, "Progressing") == ("True", "x")
    assert of.look_again_s(made, later, NOW_S + 30) == 31.0
    late = told(made, *sets, now_s=NOW_S + 61)
    assert said(late, "Progressing") == ("False", "ProgressDeadlineExceeded")
    made["status"] = late
    assert of.look_again_s(made, late, NOW_S + 61) is None


def test_without_a_deadline_progress_is_not_told() -> None:
    assert said(told(deployment(2), replica_set("a-1", 2)), "Progressing") is None
    forever = deployment(2, progressDeadlineSeconds=2**31 - 1)
    assert said(told(forever, replica_set("a-1", 2)), "Progressing") is None


def test_a_condition_keeps_its_transition_while_its_status_stays() -> None:
    status: dict[str, Any] = {}
    for now_s, reason in ((NOW_S, "a"), (NOW_S + 9, "b"), (NOW_S + 20, "b")):
        of.put(status, of.condition("T", status="True", reason=reason, message="", now_s=now_s))
    (one,) = status["conditions"]
    assert one["lastTransitionTime"] == "2027-01-15T08:00:00Z"
    assert one["lastUpdateTime"] == "2027-01-15T08:00:09Z"


def test_a_sets_failure_is_shown_and_goes_with_it() -> None:
    failing = replica_set("a-1", 2)
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
    failing["status"]["conditions"] = [{**failure, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    status: dict[str, Any] = {}
    of.put_failures(status, [failing], None)
    assert said(status, "ReplicaFailure") == ("True", "FailedCreate")
    of.put_failures(status, [replica_set("a-1", 2)], None)
    assert said(status, "ReplicaFailure") is None

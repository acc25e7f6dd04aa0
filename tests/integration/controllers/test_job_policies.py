"""How Jobs fail, and what their policies make of failed and of succeeded pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Json
from tests.integration.cluster import Cluster
from tests.integration.job_calls import FINALIZER, Batch, index_of, job, until

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


@pytest.fixture
def batch(cluster: Cluster, namespace: str) -> Batch:
    """The Jobs of a new namespace."""
    return Batch(cluster, namespace)


def _rule(action: str, **values: Any) -> Json:
    return {"action": action, "onExitCodes": {"operator": "In", **values}}


def test_a_job_fails_beyond_its_backoff_limit_and_its_other_pods_with_it(batch: Batch) -> None:
    batch.jobs.made(job("limit", completions=3, parallelism=2, backoffLimit=0))
    first, second = batch.wait_running("limit", 2)
    batch.fail(first, 1)
    target = batch.ended("limit", "FailureTarget")
    failed = batch.ended("limit", "Failed")
    for one in (target, failed):
        assert one["reason"] == "BackoffLimitExceeded"
        assert one["message"] == "Job has reached the specified backoff limit"
    status = batch.status("limit")
    assert (status["failed"], status.get("active", 0), status["terminating"]) == (2, 0, 0)
    assert "completionTime" not in status
    assert batch.untracked("limit")
    names = {one["metadata"]["name"] for one in batch.running("limit")}
    assert second["metadata"]["name"] not in names
    until(lambda: "BackoffLimitExceeded" in batch.reasons("limit"), "no event")


def test_a_failed_pod_is_not_replaced_at_once(batch: Batch) -> None:
    batch.jobs.made(job("slow"))
    (one,) = batch.wait_running("slow", 1)
    batch.fail(one, 1)
    until(lambda: batch.status("slow").get("failed") == 1, "not counted")
    status = batch.status("slow")
    assert (status.get("active", 0), status["ready"]) == (0, 0)
    assert len(batch.of("slow")) == 1
    assert batch.untracked("slow")


@pytest.mark.slow
def test_a_failed_pod_is_replaced_after_ten_seconds(batch: Batch) -> None:
    batch.jobs.made(job("again"))
    (one,) = batch.wait_running("again", 1)
    batch.fail(one, 1)
    until(lambda: batch.status("again").get("failed") == 1, "not counted")
    (other,) = batch.wait_running("again", 1)
    batch.end(other)
    batch.ended("again", "Complete")
    assert batch.status("again")["failed"] == 1


def test_restarts_count_where_containers_are_restarted(batch: Batch) -> None:
    wanted = job("restarts", backoffLimit=2)
    wanted["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    batch.jobs.made(wanted)
    (one,) = batch.wait_running("restarts", 1)
    told = {"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 2}
    change = {"status": {"phase": "Running", "containerStatuses": [told]}}
    batch.pods.patch(f"{one['metadata']['name']}/status", change)
    assert batch.ended("restarts", "Failed")["reason"] == "BackoffLimitExceeded"
    assert batch.status("restarts")["failed"] == 1


def test_a_job_fails_when_it_is_active_for_too_long(batch: Batch) -> None:
    batch.jobs.made(job("long", parallelism=2, completions=2, activeDeadlineSeconds=1))
    failed = batch.ended("long", "Failed")
    assert failed["reason"] == "DeadlineExceeded"
    assert failed["message"] == "Job was active longer than specified deadline"
    until(lambda: batch.running("long") == [], "pods run on")
    assert batch.status("long")["failed"] == 2


def test_a_pod_may_fail_the_job_at_once(batch: Batch) -> None:
    policy = {"rules": [_rule("FailJob", values=[42])]}
    batch.jobs.made(job("fatal", parallelism=2, completions=2, podFailurePolicy=policy))
    first, _ = batch.wait_running("fatal", 2)
    batch.fail(first, 42)
    failed = batch.ended("fatal", "Failed")
    name = first["metadata"]["name"]
    assert failed["reason"] == "PodFailurePolicy"
    assert failed["message"] == (
        f"Container main for pod {batch.namespace}/{name} failed with exit code 42 matching "
        "FailJob rule at index 0"
    )


def test_a_failure_that_a_policy_ignores_is_not_counted(batch: Batch) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    policy = {"rules": [rule]}
    batch.jobs.made(job("ignored", backoffLimit=0, podFailurePolicy=policy))
    (one,) = batch.wait_running("ignored", 1)
    condition = {"type": "DisruptionTarget", "status": "True"}
    batch.end(one, "Failed", conditions=[condition])
    until(lambda: batch.untracked("ignored"), "it is held")
    status = batch.status("ignored")
    assert status.get("failed", 0) == 0
    assert batch.condition("ignored", "FailureTarget") is None


def test_an_index_fails_alone_and_the_job_when_all_are_done(batch: Batch) -> None:
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    batch.jobs.made(job("alone", **spec, backoffLimitPerIndex=0))
    pods = batch.wait_running("alone", 3)
    assert pods[0]["metadata"]["annotations"][FAILURES] == "0"
    batch.fail(pods[1], 1)
    until(lambda: batch.status("alone").get("failedIndexes") == "1", "not told")
    assert batch.condition("alone", "FailureTarget") is None
    batch.end(pods[0])
    batch.end(pods[2])
    failed = batch.ended("alone", "Failed")
    assert (failed["reason"], failed["message"]) == ("FailedIndexes", "Job has failed indexes")
    status = batch.status("alone")
    assert (status["completedIndexes"], status["succeeded"], status["failed"]) == ("0,2", 2, 1)


def test_too_many_failed_indexes_fail_the_job(batch: Batch) -> None:
    spec = {"completions": 4, "parallelism": 3, "completionMode": "Indexed"}
    batch.jobs.made(job("many", **spec, backoffLimitPerIndex=0, maxFailedIndexes=1))
    pods = batch.wait_running("many", 3)
    batch.fail(pods[0], 1)
    batch.fail(pods[1], 1)
    failed = batch.ended("many", "Failed")
    assert failed["reason"] == "MaxFailedIndexesExceeded"
    text = "Job has exceeded the specified maximal number of failed indexes"
    assert failed["message"] == text
    assert batch.status("many")["failedIndexes"] == "0,1"


def test_a_policy_may_fail_an_index_before_its_limit(batch: Batch) -> None:
    spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
    policy = {"rules": [_rule("FailIndex", values=[7])]}
    batch.jobs.made(job("index", **spec, backoffLimitPerIndex=5, podFailurePolicy=policy))
    pods = batch.wait_running("index", 2)
    batch.fail(pods[0], 7)
    until(lambda: batch.status("index").get("failedIndexes") == "0", "not told")
    batch.end(pods[1])
    assert batch.ended("index", "Failed")["reason"] == "FailedIndexes"


@pytest.mark.slow
def test_the_next_pod_of_an_index_takes_its_counts_over(batch: Batch) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
    policy = {"rules": [rule]}
    batch.jobs.made(job("counts", **spec, backoffLimitPerIndex=2, podFailurePolicy=policy))
    pods = batch.wait_running("counts", 2)
    batch.fail(pods[0], 1)
    batch.end(pods[1], "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    # Until there are pods in their place the failed ones are kept, for their counts.
    until(lambda: batch.status("counts").get("active", 0) == 0, "still active")
    assert all(FINALIZER in one["metadata"]["finalizers"] for one in batch.of("counts"))
    first, second = batch.wait_running("counts", 2)
    assert (index_of(first), index_of(second)) == (0, 1)
    assert first["metadata"]["annotations"][FAILURES] == "1"
    assert IGNORED not in first["metadata"]["annotations"]
    assert second["metadata"]["annotations"][FAILURES] == "0"
    assert second["metadata"]["annotations"][IGNORED] == "1"
    until(lambda: batch.status("counts").get("failed") == 1, "not counted")
    batch.end(first)
    batch.end(second)
    batch.ended("counts", "Complete")


def test_a_job_may_succeed_before_all_its_indexes_have(batch: Batch) -> None:
    spec = {"completions": 4, "parallelism": 4, "completionMode": "Indexed"}
    policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
    batch.jobs.made(job("leader", **spec, successPolicy=policy))
    pods = batch.wait_running("leader", 4)
    batch.end(pods[1])
    met = batch.ended("leader", "SuccessCriteriaMet")
    assert (met["reason"], met["message"]) == ("SuccessPolicy", "Matched rules at index 0")
    assert batch.ended("leader", "Complete")["reason"] == "SuccessPolicy"
    until(lambda: batch.running("leader") == [], "pods run on")
    status = batch.status("leader")
    assert (status["succeeded"], status.get("failed", 0)) == (1, 0)
    assert status["completedIndexes"] == "1"


def _bound(batch: Batch, pod: Json) -> None:
    """Put a pod on a node, where it takes time to end."""
    name = pod["metadata"]["name"]
    target = {"target": {"kind": "Node", "name": "nowhere"}, "metadata": {"name": name}}
    answer = batch.cluster.call(
        "POST", f"/api/v1/namespaces/{batch.namespace}/pods/{name}/binding", target
    )
    assert answer.code == 201, answer.body


def test_a_pod_that_is_going_is_replaced_when_it_has_ended_if_so_asked(batch: Batch) -> None:
    for name, policy in (("waits", "Failed"), ("hurries", "TerminatingOrFailed")):
        batch.jobs.made(job(name, podReplacementPolicy=policy, completions=2, parallelism=1))
        (one,) = batch.wait_running(name, 1)
        _bound(batch, one)
        batch.pods.delete(one["metadata"]["name"])
        until(lambda name=name: batch.status(name).get("terminating") == 1, "not told")
    until(lambda: batch.status("hurries").get("failed") == 1, "not counted")
    assert batch.status("waits").get("failed", 0) == 0
    (going,) = batch.of("waits")
    assert FINALIZER in going["metadata"]["finalizers"]
    batch.end(going, "Failed")
    until(lambda: batch.status("waits").get("failed") == 1, "not counted")
    until(lambda: batch.status("waits").get("terminating") == 0, "still told")

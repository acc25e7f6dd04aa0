"""Jobs as upstream's controller runs them; the tests are the kubelet."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import STRATEGIC, pod
from tests.integration.cluster import Cluster
from tests.integration.job_calls import FINALIZER, INDEX, Batch, index_of, job, until


@pytest.fixture
def batch(cluster: Cluster, namespace: str) -> Batch:
    """The Jobs of a new namespace."""
    return Batch(cluster, namespace)


def test_a_job_creates_a_tracked_pod_and_is_complete_when_it_succeeds(batch: Batch) -> None:
    batch.jobs.made(job("once"))
    (made,) = batch.wait_running("once", 1)
    metadata = made["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["generateName"] == "once-"
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Job", "once", True)
    status = until(lambda: batch.status("once").get("active") and batch.status("once"), "no status")
    assert status["ready"] == status["terminating"] == 0
    assert status["uncountedTerminatedPods"] == {}
    batch.end(made)
    complete = batch.ended("once", "Complete")
    met = batch.condition("once", "SuccessCriteriaMet")
    assert met is not None
    for one in (complete, met):
        assert one["reason"] == "CompletionsReached"
        assert one["message"] == "Reached expected number of succeeded pods"
        assert "lastProbeTime" in one
    status = batch.status("once")
    assert status["succeeded"] == 1
    assert "active" not in status
    assert status["completionTime"] == complete["lastTransitionTime"]
    assert status["uncountedTerminatedPods"] == {}
    assert batch.untracked("once")
    until(lambda: batch.reasons("once") == ["Completed", "SuccessfulCreate"], "no events")


def test_no_more_pods_run_than_completions_are_left(batch: Batch) -> None:
    batch.jobs.made(job("three", completions=3, parallelism=2))
    first, second = batch.wait_running("three", 2)
    batch.end(first)
    until(lambda: batch.status("three").get("succeeded") == 1, "not counted")
    third = next(
        one
        for one in batch.wait_running("three", 2)
        if one["metadata"]["name"] != second["metadata"]["name"]
    )
    batch.end(second)
    until(lambda: batch.status("three").get("succeeded") == 2, "not counted")
    assert len(batch.running("three")) == 1
    batch.end(third)
    batch.ended("three", "Complete")
    assert len(batch.of("three")) == 3


def test_a_job_without_completions_ends_when_all_end_after_the_first_success(batch: Batch) -> None:
    batch.jobs.made(job("queue", parallelism=2))
    first, second = batch.wait_running("queue", 2)
    batch.end(first)
    until(lambda: batch.status("queue").get("succeeded") == 1, "not counted")
    assert batch.condition("queue", "Complete") is None
    batch.end(second, "Failed")
    batch.ended("queue", "Complete")
    status = batch.status("queue")
    assert (status["succeeded"], status["failed"]) == (1, 1)
    assert len(batch.of("queue")) == 2


def test_an_indexed_job_tells_each_pod_its_index(batch: Batch) -> None:
    batch.jobs.made(job("indexed", completions=4, parallelism=3, completionMode="Indexed"))
    pods = batch.wait_running("indexed", 3)
    assert [index_of(one) for one in pods] == [0, 1, 2]
    for index, one in enumerate(pods):
        assert one["metadata"]["labels"][INDEX] == str(index)
        assert one["metadata"]["name"].startswith(f"indexed-{index}-")
        assert one["spec"]["hostname"] == f"indexed-{index}"
        (variable,) = one["spec"]["containers"][0]["env"]
        assert variable["name"] == "JOB_COMPLETION_INDEX"
        path = variable["valueFrom"]["fieldRef"]["fieldPath"]
        assert path == f"metadata.labels['{INDEX}']"
    batch.end(pods[0])
    batch.end(pods[2])
    until(lambda: batch.status("indexed").get("completedIndexes") == "0,2", "not told")
    assert [index_of(one) for one in batch.wait_running("indexed", 2)] == [1, 3]
    for one in batch.running("indexed"):
        batch.end(one)
    batch.ended("indexed", "Complete")
    assert batch.status("indexed")["completedIndexes"] == "0-3"


def test_an_elastic_indexed_job_grows_and_shrinks(batch: Batch) -> None:
    batch.jobs.made(job("elastic", completions=3, parallelism=3, completionMode="Indexed"))
    pods = batch.wait_running("elastic", 3)
    batch.end(pods[2])
    until(lambda: batch.status("elastic").get("completedIndexes") == "2", "not told")
    batch.jobs.patch("elastic", {"spec": {"completions": 2, "parallelism": 2}})
    until(lambda: "completedIndexes" not in batch.status("elastic"), "an index beyond counts")
    assert batch.status("elastic").get("succeeded", 0) == 0
    batch.jobs.patch("elastic", {"spec": {"completions": 4, "parallelism": 4}})
    assert [index_of(one) for one in batch.wait_running("elastic", 4)] == [0, 1, 2, 3]
    batch.jobs.patch("elastic", {"spec": {"completions": 1, "parallelism": 1}})
    (left,) = batch.wait_running("elastic", 1)
    assert index_of(left) == 0
    batch.end(left)
    batch.ended("elastic", "Complete")
    assert batch.status("elastic").get("failed", 0) == 0


def test_less_parallelism_deletes_pods_that_are_not_counted(batch: Batch) -> None:
    batch.jobs.made(job("fewer", completions=5, parallelism=4))
    batch.wait_running("fewer", 4)
    batch.jobs.patch("fewer", {"spec": {"parallelism": 1}})
    batch.wait_running("fewer", 1)
    until(lambda: batch.status("fewer").get("active") == 1, "wrong count")
    assert batch.status("fewer").get("failed", 0) == 0
    assert "SuccessfulDelete" in batch.reasons("fewer")


def test_a_suspended_job_loses_its_pods_and_its_time(batch: Batch) -> None:
    batch.jobs.made(job("held", completions=2, parallelism=2))
    batch.wait_running("held", 2)
    until(lambda: batch.status("held").get("active") == 2, "not told")
    batch.jobs.patch("held", {"spec": {"suspend": True}})
    suspended = batch.ended("held", "Suspended")
    assert (suspended["reason"], suspended["message"]) == ("JobSuspended", "Job suspended")
    batch.wait_running("held", 0)
    until(lambda: "active" not in batch.status("held"), "still active")
    status = batch.status("held")
    assert "startTime" not in status
    assert status.get("failed", 0) == 0
    batch.jobs.patch("held", {"spec": {"suspend": False}})
    for one in batch.wait_running("held", 2):
        batch.end(one)
    batch.ended("held", "Complete")
    resumed = batch.condition("held", "Suspended")
    assert resumed is not None
    assert (resumed["status"], resumed["reason"]) == ("False", "JobResumed")
    until(lambda: {"Suspended", "Resumed", "Completed"} <= set(batch.reasons("held")), "no events")


def test_a_job_made_suspended_creates_nothing_and_has_not_begun(batch: Batch) -> None:
    batch.jobs.made(job("later", suspend=True))
    batch.ended("later", "Suspended")
    assert "startTime" not in batch.status("later")
    assert batch.of("later") == []


def test_a_job_that_others_manage_is_left_alone(batch: Batch) -> None:
    batch.jobs.made(job("theirs", managedBy="example.com/other"))
    batch.jobs.made(job("ours"))
    batch.wait_running("ours", 1)
    assert batch.of("theirs") == []
    assert batch.status("theirs") == {}


def test_orphans_that_a_job_selects_are_adopted_and_tracked(batch: Batch) -> None:
    orphan = pod("orphan", task="sweep")
    orphan["spec"]["restartPolicy"] = "Never"
    batch.pods.made(orphan)
    wanted = job("sweep", manualSelector=True, selector={"matchLabels": {"task": "sweep"}})
    wanted["spec"]["template"]["metadata"] = {"labels": {"task": "sweep"}}
    batch.jobs.made(wanted)

    def adopted() -> bool:
        metadata = batch.pods.get("orphan").json["metadata"]
        return FINALIZER in metadata.get("finalizers", ()) and bool(metadata["ownerReferences"])

    until(adopted, "it is not adopted")
    until(lambda: batch.status("sweep").get("active") == 1, "it does not count")
    assert len(batch.pods.names()) == 1
    # One that is selected no longer is let go, and is not counted.
    batch.pods.patch("orphan", {"metadata": {"labels": {"task": "other"}}})
    until(lambda: not adopted(), "it is not released")
    metadata = batch.pods.get("orphan").json["metadata"]
    assert "finalizers" not in metadata
    until(lambda: len(batch.pods.names()) == 2, "it is not replaced")


def test_a_deleted_job_lets_its_pods_go(batch: Batch) -> None:
    batch.jobs.made(job("gone", completions=3, parallelism=3))
    batch.wait_running("gone", 3)
    batch.jobs.delete("gone", {"propagationPolicy": "Background"})
    until(lambda: batch.of("gone") == [], "pods are held")


def test_a_job_deleted_in_the_foreground_goes_after_its_pods(batch: Batch) -> None:
    batch.jobs.made(job("gone", completions=2, parallelism=2))
    batch.wait_running("gone", 2)
    batch.jobs.delete("gone", {"propagationPolicy": "Foreground"})
    until(lambda: batch.jobs.get("gone").code == 404, "it is still there")
    assert batch.of("gone") == []


def test_pods_left_by_an_orphaning_delete_lose_their_finalizer(batch: Batch) -> None:
    batch.jobs.made(job("left"))
    batch.wait_running("left", 1)
    batch.jobs.delete("left", {"propagationPolicy": "Orphan"})
    until(lambda: batch.untracked("left") and len(batch.of("left")) == 1, "it is still tracked")


def test_a_pod_whose_finalizer_others_removed_is_not_counted_twice(batch: Batch) -> None:
    batch.jobs.made(job("pulled", completions=2, parallelism=1))
    (first,) = batch.wait_running("pulled", 1)
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    batch.pods.patch(first["metadata"]["name"], change, content_type=STRATEGIC)
    batch.end(first)
    (second,) = batch.wait_running("pulled", 1)
    batch.end(second)
    until(lambda: batch.status("pulled").get("succeeded") == 1, "not counted")
    (third,) = batch.wait_running("pulled", 1)
    batch.end(third)
    batch.ended("pulled", "Complete")
    assert batch.status("pulled")["succeeded"] == 2


def test_jobs_are_deleted_their_time_after_they_end(batch: Batch) -> None:
    batch.jobs.made(job("brief", ttlSecondsAfterFinished=1))
    batch.jobs.made(job("kept"))
    for name in ("brief", "kept"):
        (one,) = batch.wait_running(name, 1)
        batch.end(one)
        batch.ended(name, "Complete")
    until(lambda: batch.jobs.get("brief").code == 404, "it is still there")
    assert batch.of("brief") == []
    assert batch.jobs.get("kept").code == 200

"""CronJobs as upstream's controller runs them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.job_calls import Batch, job, until

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
OFTEN = "@every 1s"


@pytest.fixture
def batch(cluster: Cluster, namespace: str) -> Batch:
    """The Jobs of a new namespace."""
    return Batch(cluster, namespace)


@pytest.fixture
def cron_jobs(cluster: Cluster, namespace: str) -> Collection:
    """The CronJobs of the same namespace."""
    return collection(cluster, namespace, "cronjobs", "batch/v1")


def _cron_job(name: str, schedule: str, **spec: Any) -> Json:
    template = {
        "metadata": {"labels": {"of": name}, "annotations": {"note": "kept"}},
        "spec": job(name)["spec"],
    }
    return {
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }


def test_a_job_is_made_when_it_is_due(batch: Batch, cron_jobs: Collection) -> None:
    made = cron_jobs.made(_cron_job("often", OFTEN, timeZone="Europe/Berlin"))
    (name,) = until(batch.jobs.names, "no job")
    assert re.fullmatch(r"often-[0-9]+", name)
    created = batch.jobs.get(name).json
    metadata = created["metadata"]
    assert metadata["labels"]["of"] == "often"
    assert metadata["annotations"]["note"] == "kept"
    assert re.fullmatch(r"\S+T\S+\+0[12]:00", metadata["annotations"][SCHEDULED_AT])
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("CronJob", made["metadata"]["uid"])
    assert owner["controller"]
    status = until(lambda: cron_jobs.get("often").json.get("status"), "no status")
    (active,) = status["active"]
    assert (active["name"], active["uid"]) == (name, metadata["uid"])
    assert active["kind"] == "Job"
    assert "lastScheduleTime" in status
    until(lambda: "SuccessfulCreate" in batch.reasons("often"), "no event")


def test_what_has_ended_is_told_and_no_longer_active(batch: Batch, cron_jobs: Collection) -> None:
    cron_jobs.made(_cron_job("ends", "@every 1s", concurrencyPolicy="Forbid"))
    (name,) = until(batch.jobs.names, "no job")
    cron_jobs.patch("ends", {"spec": {"suspend": True}})
    (pod,) = batch.wait_running(name, 1)
    batch.end(pod)
    done = batch.ended(name, "Complete")
    until(
        lambda: (
            cron_jobs.get("ends").json["status"].get("lastSuccessfulTime")
            == done["lastTransitionTime"]
        ),
        "not told",
    )
    assert "active" not in cron_jobs.get("ends").json["status"]
    until(lambda: "SawCompletedJob" in batch.reasons("ends"), "no event")


def test_a_suspended_cron_job_makes_none(batch: Batch, cron_jobs: Collection) -> None:
    cron_jobs.made(_cron_job("held", OFTEN, suspend=True))
    cron_jobs.made(_cron_job("due", OFTEN))
    until(batch.jobs.names, "no job")
    assert all(name.startswith("due-") for name in batch.jobs.names())


def test_finished_jobs_beyond_the_history_go(batch: Batch, cron_jobs: Collection) -> None:
    owner = cron_jobs.made(
        _cron_job("history", "0 0 1 1 *", successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    )
    reference = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "history",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    for name, outcome in (("a", "Succeeded"), ("b", "Succeeded"), ("c", "Failed")):
        one = job(name, backoffLimit=0)
        one["metadata"]["ownerReferences"] = [reference]
        batch.jobs.made(one)
        (pod,) = batch.wait_running(name, 1)
        batch.end(pod, outcome)
    until(lambda: len(batch.jobs.names()) == 1, f"{batch.jobs.names()} are there")
    assert batch.jobs.names()[0] in ("a", "b")
    # A pod in the background: those of deleted Jobs go, too.
    until(lambda: len(batch.pods.names()) == 1, "pods are left")


def test_kubectl_makes_a_job_of_a_cron_job(batch: Batch, cron_jobs: Collection) -> None:
    cron_jobs.made(_cron_job("yearly", "@yearly"))
    cluster = batch.cluster
    cluster.kubectl("-n", batch.namespace, "create", "job", "now", "--from=cronjob/yearly")
    (pod,) = batch.wait_running("now", 1)
    batch.end(pod)
    cluster.kubectl(
        "-n", batch.namespace, "wait", "--for=condition=complete", "job/now", "--timeout=20s"
    )
    annotations = batch.jobs.get("now").json["metadata"]["annotations"]
    assert annotations["cronjob.kubernetes.io/instantiate"] == "manual"


def test_a_cron_job_that_is_deleted_takes_its_jobs_along(
    batch: Batch, cron_jobs: Collection
) -> None:
    cron_jobs.made(_cron_job("gone", OFTEN))
    until(batch.jobs.names, "no job")
    cron_jobs.delete("gone")
    until(lambda: not batch.jobs.names() and not batch.pods.names(), "its jobs are left")


def test_a_job_made_before_a_crash_is_taken_for_ours(batch: Batch, cron_jobs: Collection) -> None:
    """Its name says which it is: the status is made up for, and no second one is made."""
    cron_jobs.made(_cron_job("crash", OFTEN))
    (name,) = until(batch.jobs.names, "no job")
    until(lambda: (cron_jobs.get("crash").json.get("status") or {}).get("active"), "not told")
    # What a controller that was killed in between has left.
    known = cron_jobs.get("crash").json
    cron_jobs.put("crash/status", {**known, "status": {}})
    until(
        lambda: any(
            one["name"] == name
            for one in cron_jobs.get("crash").json.get("status", {}).get("active", ())
        ),
        "it is not taken up",
    )

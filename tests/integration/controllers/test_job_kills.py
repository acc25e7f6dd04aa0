"""Controllers that are killed in the middle of a Job: no pod is counted twice, none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.api_calls import Json, collection, named
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.job_calls import Batch, index_of, job, until

PATIENCE_S = 120.0
COMPLETIONS = 240
KILLS = (0.15, 0.4, 0.6, 0.85)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose controllers are killed."""
    with run_cluster(tmp_path_factory.mktemp("jobs")) as running:
        running.wait_started()
        yield running


@contextmanager
def _kubelet(batch: Batch, name: str, fails: Callable[[Json], bool]) -> Iterator[None]:
    """End a Job's pods as they come, until the block ends."""
    ended = threading.Event()

    def play() -> None:
        while not ended.wait(0.02):
            for pod in batch.running(name):
                change = {"status": {"phase": "Failed" if fails(pod) else "Succeeded"}}
                # It may be gone by now: surplus after a kill is deleted.
                batch.pods.patch(f"{pod['metadata']['name']}/status", change)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(own: Cluster, wanted: Json, fails: Callable[[Json], bool]) -> tuple[Json, list[Json]]:
    """Run a Job to its end, with kills; return its status and its pods."""
    name = wanted["metadata"]["name"]
    collection(own, "", "namespaces").made(named(name))
    batch = Batch(own, name)
    batch.jobs.made(wanted)

    def counted() -> int:
        status = batch.status(name)
        return int(status.get("succeeded", 0)) + int(status.get("failed", 0))

    with _kubelet(batch, name, fails):
        for part in KILLS:
            until(lambda part=part: counted() >= COMPLETIONS * part, "it stands", PATIENCE_S)
            own.kill("controllers")
        until(
            lambda: batch.condition(name, "Complete") or batch.condition(name, "Failed"),
            f"it does not end: {batch.status(name)}",
            PATIENCE_S,
        )
    until(lambda: batch.untracked(name), "finalizers are left")
    return batch.status(name), batch.of(name)


def _ended(pods: list[Json], phase: str) -> int:
    return sum(pod["status"].get("phase") == phase for pod in pods)


def test_every_pod_of_a_job_is_counted_once(own: Cluster) -> None:
    wanted = job("plain", completions=COMPLETIONS, parallelism=40)
    status, pods = _run(own, wanted, lambda _pod: False)
    assert status["succeeded"] == _ended(pods, "Succeeded") >= COMPLETIONS
    assert status.get("failed", 0) == _ended(pods, "Failed") == 0
    assert status["uncountedTerminatedPods"] == {}


def test_every_index_succeeds_or_fails_once(own: Cluster) -> None:
    wanted = job(
        "indexed",
        completions=COMPLETIONS,
        parallelism=40,
        completionMode="Indexed",
        backoffLimitPerIndex=0,
    )
    status, pods = _run(own, wanted, lambda pod: index_of(pod) % 10 == 3)
    failed = {index for index in range(COMPLETIONS) if index % 10 == 3}
    assert status["succeeded"] == COMPLETIONS - len(failed)
    assert status["failed"] == _ended(pods, "Failed") >= len(failed)
    assert status["failedIndexes"] == ",".join(map(str, sorted(failed)))
    assert {index_of(pod) for pod in pods} == set(range(COMPLETIONS))


def test_controllers_are_refused_nothing_that_they_do(own: Cluster) -> None:
    """After all of the above, a CronJob and what is cleared away."""
    collection(own, "", "namespaces").made(named("roles"))
    batch = Batch(own, "roles")
    template = {"spec": job("x", ttlSecondsAfterFinished=0)["spec"]}
    made = {**named("often"), "spec": {"schedule": "@every 1s", "jobTemplate": template}}
    collection(own, "roles", "cronjobs", "batch/v1").made(made)
    (name, *_) = until(batch.jobs.names, "no job")
    (pod,) = batch.wait_running(name, 1)
    batch.end(pod)
    until(lambda: batch.jobs.get(name).code == 404, "it is not deleted")
    log: Path = own.directory / "logs" / "controllers.log"
    late = log.read_text(errors="replace").rpartition("controllers are ready")[2]
    refused = [line for line in late.splitlines() if "forbidden" in line]
    assert not refused

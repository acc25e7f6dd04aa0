"""Short forms for tests of Jobs, which play the kubelet: pods end when a test says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster

PATIENCE_S = 30.0
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


def until(look: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return what `look` finds, as soon as it finds something."""
    deadline_s = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
    return found


def job(name: str, **spec: Any) -> Json:
    """Return a Job; what is given goes into its spec."""
    container = {"name": "main", "image": "example.com/main:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


@dataclass(frozen=True)
class Batch:
    """The Jobs of a namespace and their pods."""

    cluster: Cluster
    namespace: str

    @property
    def jobs(self) -> Collection:
        """The Jobs."""
        return collection(self.cluster, self.namespace, "jobs", "batch/v1")

    @property
    def pods(self) -> Collection:
        """The pods."""
        return collection(self.cluster, self.namespace, "pods")

    def status(self, name: str) -> Json:
        """Return a Job's status."""
        found: Json = self.jobs.get(name).json.get("status") or {}
        return found

    def condition(self, name: str, kind: str) -> Json | None:
        """Return a condition of a Job."""
        return next(
            (one for one in self.status(name).get("conditions", ()) if one["type"] == kind), None
        )

    def ended(self, name: str, kind: str) -> Json:
        """Return a condition by which a Job ends, once it holds."""
        found: Json = until(
            lambda: (one := self.condition(name, kind)) and one["status"] == "True" and one,
            f"{name} is not {kind}: {self.status(name)}",
        )
        return found

    def of(self, name: str) -> list[Json]:
        """Return a Job's pods, in the order of their indexes and names."""
        found = self.pods.list(f"?labelSelector=job-name={name}").json["items"]
        return sorted(found, key=lambda pod: (index_of(pod), pod["metadata"]["name"]))

    def running(self, name: str) -> list[Json]:
        """Return those of a Job's pods that have not ended and are not being deleted."""
        return [
            pod
            for pod in self.of(name)
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def wait_running(self, name: str, count: int) -> list[Json]:
        """Return a Job's running pods, once there are so many."""
        found: list[Json] = until(
            lambda: len(pods := self.running(name)) == count and (pods or [{}]),
            f"{name} has not {count} pods but {len(self.running(name))}: {self.status(name)}",
        )
        return found

    def end(self, pod: Json, phase: str = "Succeeded", **status: Any) -> None:
        """End a pod as a kubelet does."""
        change = {"status": {"phase": phase, **status}}
        answer = self.pods.patch(f"{pod['metadata']['name']}/status", change)
        assert answer.code == 200, answer.body

    def fail(self, pod: Json, code: int) -> None:
        """End a pod whose container exits with a code, now."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = {"terminated": {"exitCode": code, "finishedAt": now}}
        told = {"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
        self.end(pod, "Failed", containerStatuses=[{**told, "state": state}])

    def untracked(self, name: str) -> bool:
        """Tell whether no pod of a Job has the finalizer any more."""
        return not any(FINALIZER in pod["metadata"].get("finalizers", ()) for pod in self.of(name))

    def reasons(self, name: str) -> list[str]:
        """Return the reasons of the events about an object, sorted."""
        events = collection(self.cluster, self.namespace, "events").list().json["items"]
        return sorted(one["reason"] for one in events if one["involvedObject"]["name"] == name)


def index_of(pod: Json) -> int:
    """Return a pod's completion index, -1 if it has none."""
    return int(pod["metadata"].get("annotations", {}).get(INDEX, -1))

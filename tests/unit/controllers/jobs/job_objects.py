"""Jobs and their pods, as a watch tells of them."""

from __future__ import annotations

from typing import Any

from controllers.jobs.job_pods import FAILURES, FINALIZER, IGNORED_FAILURES, INDEX, JobPodBook
from controllers.jobs.job_view import JobView
from kube import times
from kube.informers.changes import Change
from kube.informers.informer import Delta
from runtime.clock import SimulatedClock

NOW_S = 1_800_000_000
Json = dict[str, Any]


def stamp(ago_s: int = 0) -> str:
    """Return a time before now."""
    return times.format_seconds(NOW_S - ago_s)


def job(status: Json | None = None, **spec: Any) -> Json:
    """Return a Job of uid `j`, as the server defaults it; what is given goes into its spec."""
    filled = {
        "parallelism": 2,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "podReplacementPolicy": "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "j"}},
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}},
        **spec,
    }
    metadata = {"name": "job", "namespace": "n", "uid": "j", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": filled, "status": status or {}}


def pod(
    name: str,
    phase: str = "Running",
    index: int | None = None,
    *,
    tracked: bool = True,
    deleting: bool = False,
    revision: int = 10,
    **status: Any,
) -> Json:
    """Return a pod of the Job."""
    metadata: Json = {
        "name": name,
        "namespace": "n",
        "uid": name,
        "resourceVersion": str(revision),
        "creationTimestamp": stamp(60),
        "labels": {"batch.kubernetes.io/controller-uid": "j"},
        "ownerReferences": [{"kind": "Job", "name": "job", "uid": "j", "controller": True}],
    }
    if index is not None:
        metadata["annotations"] = {INDEX: str(index)}
    if tracked:
        metadata["finalizers"] = [FINALIZER]
    if deleting:
        metadata["deletionTimestamp"] = stamp()
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, **status}}


def counted(made: Json, failures: int, ignored: int = 0) -> Json:
    """Put counts of failures into a pod's annotations."""
    annotations = made["metadata"].setdefault("annotations", {})
    annotations |= {FAILURES: str(failures), IGNORED_FAILURES: str(ignored)}
    return made


def exited(made: Json, code: int, ago_s: int = 0) -> Json:
    """Let a pod's container have exited."""
    terminated = {"exitCode": code, "finishedAt": stamp(ago_s)}
    made["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": terminated}}]
    return made


class Told:
    """A book of pods, and what it told."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(NOW_S)
        self.changed: list[str] = []
        self.strays: list[str] = []
        self.book = JobPodBook(
            self.clock,
            lambda old, new: self.changed.append((new or old).key),  # type: ignore[union-attr]
            self.strays.append,
        )

    def tell(self, *pods: Json, change: Change = Change.ADDED) -> None:
        """Let the watch tell of pods."""
        deltas = [Delta(change, f"n/{one['metadata']['name']}", one) for one in pods]
        self.book.take(deltas)
        self.book.check()


def view(owner: Json, *pods: Json) -> JobView:
    """Return a Job and its pods at `NOW_S`."""
    told = Told()
    told.tell(*pods)
    whole = {f"n/{one['metadata']['name']}": one for one in pods}
    return JobView(owner, told.book.of("j"), whole.get, NOW_S)

"""Counting the pods that have ended, each once (trackJobStatusAndRemoveFinalizers).

    ended, with finalizer -> uid in uncountedTerminatedPods -> without finalizer -> in the counter
                             (status written)                  (pod patched)        (status written)

A pod is counted when its uid is in the list and it has no finalizer any more, which is found out
alike whether this process or one before it has come so far. Succeeded pods of indexed Jobs need no
uid: that their index is in `completedIndexes` says the same. At most UNCOUNTED_MAX at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from controllers.jobs import conditions
from controllers.jobs.job_pods import JobPod
from controllers.jobs.job_view import JobView
from controllers.jobs.pod_work import PodWork
from kube.json_types import JsonObject

UNCOUNTED_MAX: Final = 500
Write = Callable[[JsonObject], Awaitable[None]]
"""Writes a status."""


@dataclass(slots=True)
class Chosen:
    """The pods whose ends are to be counted now.

    Attributes:
        pods: whose finalizers go.
        succeeded: indexes that succeeded, which the status does not have yet.
        is_all: whether there were no more.
    """

    pods: list[JobPod] = field(default_factory=list)
    succeeded: list[int] = field(default_factory=list)
    is_all: bool = True


def choose(view: JobView, finished: JsonObject | None, uncounted: dict[str, list[str]]) -> Chosen:
    """Choose what is counted now, and put uids into `uncounted`, in place."""
    chosen = Chosen()
    pods: list[JobPod] = [*view.active, *view.terminating, *view.ended]
    pods = [pod for pod in pods if pod.is_tracked and _may_go(view, pod, finished)]
    if view.is_indexed:
        pods.sort(key=lambda pod: pod.completion)
    for pod in pods:
        chosen.pods.append(pod)
        _count(view, pod, finished, chosen, uncounted)
        if len(chosen.succeeded) + sum(map(len, uncounted.values())) >= UNCOUNTED_MAX:
            chosen.is_all = False
            break
    return chosen


def _may_go(view: JobView, pod: JobPod, finished: JsonObject | None) -> bool:
    """Tell whether a pod's finalizer is to go (canRemoveFinalizer)."""
    if view.is_going or finished is not None or pod.phase == "Succeeded":
        return True
    if not view.is_failed(pod):
        return False
    delayed = view.delayed.get(pod.completion)
    return delayed is None or delayed.uid != pod.uid


def _count(
    view: JobView,
    pod: JobPod,
    finished: JsonObject | None,
    chosen: Chosen,
    uncounted: dict[str, list[str]],
) -> None:
    if pod.phase == "Succeeded" and pod.uid not in view.uncounted_failed:
        if not view.is_indexed:
            if pod.uid not in view.uncounted_succeeded:
                uncounted["succeeded"].append(pod.uid)
        elif view.has_index(pod) and pod.completion not in view.succeeded_before:
            chosen.succeeded.append(pod.completion)
        return
    # Of a Job that fails, what was not done has failed.
    fails = finished is not None and finished["type"] != conditions.SUCCESS_MET
    if not fails and not view.is_failed(pod):
        return
    if pod.uid in view.uncounted_failed or (view.is_indexed and not view.has_index(pod)):
        return
    if view.verdict(pod).is_counted:
        uncounted["failed"].append(pod.uid)


def settle(status: JsonObject, tracked: set[str]) -> None:
    """Count for good the uids whose pods have no finalizer any more, in place."""
    uncounted = status["uncountedTerminatedPods"]
    left: dict[str, list[str]] = {}
    for name in ("succeeded", "failed"):
        uids: list[str] = uncounted.get(name) or []
        waiting = [uid for uid in uids if uid in tracked]
        if waiting:
            left[name] = waiting
        if count := len(uids) - len(waiting):
            status[name] = status.get(name, 0) + count
    status["uncountedTerminatedPods"] = left


async def track(
    view: JobView,
    status: JsonObject,
    finished: JsonObject | None,
    work: PodWork,
    write: Write,
) -> JsonObject | None:
    """Count what has ended, and end the Job when it is all counted.

    Args:
        view: the Job and its pods.
        status: what is to be told of it; changed in place.
        finished: by which condition the Job is to end, if it is.
        work: takes finalizers away.
        write: writes the status, if it has changed.

    Returns:
        The condition by which the Job has ended; None: it has not yet.

    Raises:
        StatusError, Unreachable: something was not written; what was is in the status.
    """
    pods = (*view.active, *view.terminating, *view.ended)
    tracked = {pod.uid for pod in pods if pod.is_tracked}
    settle(status, tracked)
    lists: dict[str, list[str]] = {
        name: list(status["uncountedTerminatedPods"].get(name, ()))
        for name in ("succeeded", "failed")
    }
    chosen = choose(view, finished, lists)
    status["uncountedTerminatedPods"] = {name: uids for name, uids in lists.items() if uids}
    _tell_indexes(view, status, chosen)
    final = _announce(view, status, finished)
    await write(status)
    done, failure = await work.untrack_all(chosen.pods)
    settle(status, tracked - done)
    if failure is not None:
        await write(status)
        raise failure
    is_over = final is not None and chosen.is_all and _enact(view, status, final)
    await write(status)
    return final if is_over else None


def _tell_indexes(view: JobView, status: JsonObject, chosen: Chosen) -> None:
    if not view.is_indexed:
        return
    succeeded = view.succeeded_indexes.with_indexes(chosen.succeeded)
    _put(status, "succeeded", len(succeeded))
    _put(status, "completedIndexes", str(succeeded))
    if view.failed_indexes is None:
        status.pop("failedIndexes", None)
    else:
        status["failedIndexes"] = str(view.failed_indexes)


def _put(status: JsonObject, name: str, value: Any) -> None:
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _announce(view: JobView, status: JsonObject, finished: JsonObject | None) -> JsonObject | None:
    """Put the condition into the status that is told before the end; return that of the end."""
    if finished is None:
        return None
    reason, message = finished.get("reason", ""), finished.get("message", "")
    if finished["type"] == conditions.FAILURE_TARGET:
        conditions.ensure(status, finished)
        return conditions.new(conditions.FAILED, reason, message, view.now_s)
    if finished["type"] == conditions.SUCCESS_MET:
        if conditions.find(status, conditions.SUCCESS_MET) is None:
            conditions.ensure(status, finished)
        return conditions.new(conditions.COMPLETE, reason, message, view.now_s)
    return finished


def _enact(view: JobView, status: JsonObject, final: JsonObject) -> bool:
    """Put the condition of the end into the status, unless something is still to be waited for."""
    if status["uncountedTerminatedPods"] or status.get("terminating"):
        return False
    conditions.ensure(status, final)
    # One that was suspended before it ended has no time of its start, and must have one.
    status.setdefault("startTime", final["lastTransitionTime"])
    if final["type"] == conditions.COMPLETE:
        status["completionTime"] = final["lastTransitionTime"]
    return True

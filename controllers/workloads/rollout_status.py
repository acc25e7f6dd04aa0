"""A Deployment's status and conditions, from those of its ReplicaSets.

Texts, reasons and the order of questions are upstream's (deployment/sync.go and progress.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controllers.workloads.pods import condition_of, epoch_s
from controllers.workloads.rollout_math import (
    max_unavailable,
    replicas_of,
    status_of,
    told,
    wanted,
)
from kube import times
from kube.json_types import JsonObject

AVAILABLE: Final = "Available"
PROGRESSING: Final = "Progressing"
REPLICA_FAILURE: Final = "ReplicaFailure"
TIMED_OUT: Final = "ProgressDeadlineExceeded"
NEW_AVAILABLE: Final = "NewReplicaSetAvailable"
PAUSED: Final = "DeploymentPaused"
RESUMED: Final = "DeploymentResumed"
_NO_DEADLINE: Final = 2**31 - 1
_COUNTS: Final = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def has_deadline(deployment: JsonObject) -> bool:
    """Tell whether progress is asked for within some time."""
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    return deadline is not None and deadline != _NO_DEADLINE


def condition(kind: str, *, status: str, reason: str, message: str, now_s: float) -> JsonObject:
    """Return a new condition."""
    now = times.format_seconds(int(now_s))
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def put(status: JsonObject, new: JsonObject) -> None:
    """Set a condition, in place; one of the same status and reason stays as it was."""
    conditions: list[Any] = list(status.get("conditions") or ())
    current = next((one for one in conditions if one["type"] == new["type"]), None)
    if current is not None:
        if (current["status"], current.get("reason")) == (new["status"], new.get("reason")):
            return
        if current["status"] == new["status"]:
            new = {**new, "lastTransitionTime": current["lastTransitionTime"]}
        conditions.remove(current)
    status["conditions"] = [*conditions, new]


def drop(status: JsonObject, kind: str) -> None:
    """Take a condition away, in place."""
    left = [one for one in status.get("conditions") or () if one["type"] != kind]
    if left:
        status["conditions"] = left
    else:
        status.pop("conditions", None)


def calculate(
    deployment: JsonObject, sets: Sequence[JsonObject], new: JsonObject | None, now_s: float
) -> JsonObject:
    """Return the status that a Deployment's ReplicaSets make."""
    available = told(sets, "availableReplicas")
    counts = {
        "replicas": told(sets, "replicas"),
        "updatedReplicas": 0 if new is None else status_of(new, "replicas"),
        "readyReplicas": told(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted(sets) - available),
    }
    known = deployment.get("status") or {}
    status: JsonObject = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {name: count for name, count in counts.items() if count}
    # Absent means: nobody has told.
    status["terminatingReplicas"] = told(sets, "terminatingReplicas")
    if "collisionCount" in known:
        status["collisionCount"] = known["collisionCount"]
    if known.get("conditions"):
        status["conditions"] = list(known["conditions"])
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        state, reason = "True", "MinimumReplicasAvailable"
        message = "Deployment has minimum availability."
    else:
        state, reason = "False", "MinimumReplicasUnavailable"
        message = "Deployment does not have minimum availability."
    put(
        status,
        condition(AVAILABLE, status=state, reason=reason, message=message, now_s=now_s),
    )
    return status


def is_complete(deployment: JsonObject, status: JsonObject) -> bool:
    """Tell whether all pods are there, new and available."""
    total = replicas_of(deployment)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return False
    names = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(name, 0) == total for name in names)


def _progresses(deployment: JsonObject, status: JsonObject) -> bool:
    before = [status_of(deployment, name) for name in _COUNTS]
    after = [int(status.get(name, 0)) for name in _COUNTS]
    return (
        after[1] > before[1]
        or after[0] - after[1] < before[0] - before[1]
        or after[2] > before[2]
        or after[3] > before[3]
    )


def _has_timed_out(deployment: JsonObject, now_s: float) -> bool:
    current = condition_of(deployment, PROGRESSING)
    if current is None or current.get("reason") == NEW_AVAILABLE:
        return False
    if current.get("reason") == TIMED_OUT:
        return True
    deadline_s: int = deployment["spec"]["progressDeadlineSeconds"]
    return now_s > epoch_s(current.get("lastUpdateTime")) + deadline_s


def put_progress(
    deployment: JsonObject, status: JsonObject, new: JsonObject | None, now_s: float
) -> None:
    """Set or take away the condition of progress, in place."""
    if not has_deadline(deployment):
        drop(status, PROGRESSING)
        return
    current = condition_of(deployment, PROGRESSING)
    is_done = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == NEW_AVAILABLE
    )
    if is_done:
        return
    name = deployment["metadata"]["name"] if new is None else new["metadata"]["name"]
    what = f'{"Deployment" if new is None else "ReplicaSet"} "{name}"'

    def say(state: str, reason: str, text: str) -> JsonObject:
        return condition(
            PROGRESSING, status=state, reason=reason, message=f"{what} {text}", now_s=now_s
        )

    if is_complete(deployment, status):
        put(status, say("True", NEW_AVAILABLE, "has successfully progressed."))
    elif _progresses(deployment, status):
        made = say("True", "ReplicaSetUpdated", "is progressing.")
        if current is not None and current["status"] == "True":
            made["lastTransitionTime"] = current["lastTransitionTime"]
        # Even one that says the same is set anew: its time is when there was progress last.
        drop(status, PROGRESSING)
        put(status, made)
    elif _has_timed_out(deployment, now_s):
        put(status, say("False", TIMED_OUT, "has timed out progressing."))


def put_failures(status: JsonObject, sets: Sequence[JsonObject], new: JsonObject | None) -> None:
    """Show the failure of a ReplicaSet's creates or deletes, the new one's first, in place."""
    for one in ([new] if new is not None else []) + list(sets):
        failure = condition_of(one, REPLICA_FAILURE)
        if failure is not None and failure["status"] == "True":
            # ReplicaSets' conditions do not tell when they were last looked at.
            put(status, {"lastUpdateTime": failure["lastTransitionTime"], **failure})
            return
    drop(status, REPLICA_FAILURE)


def look_again_s(deployment: JsonObject, status: JsonObject, now_s: float) -> float | None:
    """Return in how many seconds progress will be overdue; None: nobody waits for it."""
    current = condition_of(deployment, PROGRESSING)
    if current is None or not has_deadline(deployment):
        return None
    if is_complete(deployment, status) or current.get("reason") == TIMED_OUT:
        return None
    deadline_s: int = deployment["spec"]["progressDeadlineSeconds"]
    due_s = epoch_s(current.get("lastUpdateTime")) + deadline_s
    # A second more, as times of the API have no parts of seconds.
    return max(1.0, due_s - now_s + 1.0)

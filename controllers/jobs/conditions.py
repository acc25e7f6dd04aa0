"""Conditions of Jobs: how they are written and read."""

from __future__ import annotations

from typing import Any, Final

from kube import times
from kube.json_types import JsonObject

COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
SUSPENDED: Final = "Suspended"
FAILURE_TARGET: Final = "FailureTarget"
SUCCESS_MET: Final = "SuccessCriteriaMet"
POD_FAILURE_POLICY: Final = "PodFailurePolicy"
SUCCESS_POLICY: Final = "SuccessPolicy"
COMPLETIONS_REACHED: Final = "CompletionsReached"
BACKOFF_LIMIT: Final = "BackoffLimitExceeded"
DEADLINE: Final = "DeadlineExceeded"
MAX_FAILED_INDEXES: Final = "MaxFailedIndexesExceeded"
FAILED_INDEXES: Final = "FailedIndexes"


def new(kind: str, reason: str, message: str, now_s: float, *, status: str = "True") -> JsonObject:
    """Return a new condition."""
    now = times.format_seconds(int(now_s))
    made = {"type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def find(status: JsonObject, kind: str) -> JsonObject | None:
    """Return a condition that holds."""
    for condition in status.get("conditions") or ():
        if condition["type"] == kind and condition["status"] == "True":
            found: JsonObject = condition
            return found
    return None


def ensure(status: JsonObject, wanted: JsonObject) -> bool:
    """Set a condition, in place; return whether that changed anything.

    One that does not hold is not set where there was none: that would say nothing.
    """
    conditions: list[Any] = list(status.get("conditions") or ())
    for at, known in enumerate(conditions):
        if known["type"] != wanted["type"]:
            continue
        names = ("status", "reason", "message")
        if all(known.get(name, "") == wanted.get(name, "") for name in names):
            return False
        conditions[at] = wanted
        break
    else:
        if wanted["status"] == "False":
            return False
        conditions.append(wanted)
    status["conditions"] = conditions
    return True


def finished(job: JsonObject) -> JsonObject | None:
    """Return the condition that says that a Job has ended."""
    status = job.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in (COMPLETE, FAILED) and condition["status"] == "True":
            ended: JsonObject = condition
            return ended
    return None

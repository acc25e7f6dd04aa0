"""By what a Job is to end: the conditions that syncJob of upstream's job_controller.go arrives at.

The first that holds decides: what the status says already, the failure policy, the limit of
failures, the deadline; then, for indexed Jobs, their failed indexes and the success policy. A Job
that merely has all its completions is found complete later, when no pod is active any more.
"""

from __future__ import annotations

from typing import Final

from controllers.jobs import conditions
from controllers.jobs.job_view import JobView
from controllers.jobs.policies import success_message
from kube.json_types import JsonObject

_RUNNING: Final = frozenset({"Running", "Pending"})
_LIMIT: Final = 6


def outcome(view: JobView) -> JsonObject | None:
    """Return the condition by which a Job is to end, if it is."""
    ended = conditions.find(view.status, conditions.SUCCESS_MET) or _failure(view)
    if ended is None and view.is_indexed:
        ended = _index_outcome(view)
    return ended


def _failure(view: JobView) -> JsonObject | None:
    target = conditions.find(view.status, conditions.FAILURE_TARGET)
    if target is not None:
        reason, message = target.get("reason", ""), target.get("message", "")
        return conditions.new(conditions.FAILED, reason, message, view.now_s)
    if view.spec.get("podFailurePolicy") is not None:
        for pod in view.failed_pods:
            said = view.verdict(pod).message
            if said is not None:
                return _target(view, conditions.POD_FAILURE_POLICY, said)
    limit: int = view.spec.get("backoffLimit", _LIMIT)
    if view.failed > limit or _restarts_too_often(view, limit):
        text = "Job has reached the specified backoff limit"
        return _target(view, conditions.BACKOFF_LIMIT, text)
    left_s = view.deadline_s()
    if left_s is not None and left_s <= 0:
        text = "Job was active longer than specified deadline"
        return _target(view, conditions.DEADLINE, text)
    return None


def _restarts_too_often(view: JobView, limit: int) -> bool:
    if view.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    pods = (*view.active, *view.terminating)
    restarts = sum(pod.restarts for pod in pods if pod.phase in _RUNNING)
    return restarts > 0 if limit == 0 else restarts >= limit


def _index_outcome(view: JobView) -> JsonObject | None:
    failed, succeeded = view.failed_indexes, view.succeeded_indexes
    completions = view.completions or 0
    if failed is not None:
        most = view.spec.get("maxFailedIndexes")
        if most is not None and len(failed) > most:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return _target(view, conditions.MAX_FAILED_INDEXES, text)
        if failed and len(failed) + len(succeeded) >= completions:
            return _target(view, conditions.FAILED_INDEXES, "Job has failed indexes")
    met = success_message(view.spec.get("successPolicy"), completions, succeeded)
    if met is None:
        return None
    return conditions.new(conditions.SUCCESS_MET, conditions.SUCCESS_POLICY, met, view.now_s)


def _target(view: JobView, reason: str, message: str) -> JsonObject:
    return conditions.new(conditions.FAILURE_TARGET, reason, message, view.now_s)


def completed(view: JobView, active: int) -> JsonObject | None:
    """Return the condition of success if a Job has what it wants and so many pods are active."""
    if active:
        return None
    has_all = view.succeeded > 0 if view.completions is None else view.succeeded >= view.completions
    if not has_all:
        return None
    text = "Reached expected number of succeeded pods"
    return conditions.new(conditions.SUCCESS_MET, conditions.COMPLETIONS_REACHED, text, view.now_s)

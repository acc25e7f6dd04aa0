"""Checks of changes of a Job's status, which an external controller may write too.

Most rules hold only where the status changed: a status that became wrong by a change of the spec
must not keep its controller from repairing it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from apiserver.types.workloads.counts import check_counts
from apiserver.types.workloads.indexes import IndexesError, count_indexes, first_overlap
from kube.field import INVALID, FieldError, duplicate, invalid, required
from kube.json_types import JsonObject

_TERMINAL: Final = ("Failed", "Complete", "FailureTarget")
_CONDITIONS: Final = "status.conditions"


def validate_job_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a Job's new status."""
    errors: list[FieldError] = []
    status, before, spec = new.get("status", {}), old.get("status", {}), new["spec"]
    names = ("active", "succeeded", "failed", "ready", "terminating")
    check_counts(status, names, "status", errors)
    _check_uncounted(status.get("uncountedTerminatedPods", {}), errors)
    now, then = _true_conditions(status), _true_conditions(before)
    _check_finished(status, before, now, then, errors)
    _check_times(status, before, now, then, errors)
    _check_indexes(status, before, spec, errors)
    _check_success(spec, now, then, errors)
    _check_progress(status, before, spec, errors)
    return errors


def _true_conditions(status: JsonObject) -> set[str]:
    return {
        condition.get("type", "")
        for condition in status.get("conditions", ())
        if condition.get("status") == "True"
    }


def _is_finished(conditions: set[str]) -> bool:
    return not conditions.isdisjoint({"Complete", "Failed"})


def _changed(new: JsonObject, old: JsonObject, name: str, zero: Any = None) -> bool:
    return bool(new.get(name, zero) != old.get(name, zero))


def _refuse(errors: list[FieldError], text: str) -> None:
    errors.append(FieldError(INVALID, _CONDITIONS, text))


def _check_uncounted(pods: JsonObject, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(name, ())):
            where = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                errors.append(invalid(where, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(where, uid))
            seen.add(uid)


def _check_finished(
    status: JsonObject,
    before: JsonObject,
    now: set[str],
    then: set[str],
    errors: list[FieldError],
) -> None:
    toggled = now ^ then
    if toggled & {"Complete", "Failed"} and {"Complete", "Failed"} <= now:
        _refuse(errors, "cannot set Complete=True and Failed=true conditions")
    if toggled & {"Complete", "FailureTarget"} and {"Complete", "FailureTarget"} <= now:
        _refuse(errors, "cannot set Complete=True and FailureTarget=true conditions")
    if "Failed" in toggled & now and "FailureTarget" not in now:
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        _refuse(errors, text)
    if "Complete" in toggled & now and "SuccessCriteriaMet" not in now:
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        _refuse(errors, text)
    if not _is_finished(now):
        return
    new_end = not _is_finished(then)
    active = status.get("active", 0)
    if active > 0 and (new_end or _changed(status, before, "active", 0)):
        errors.append(invalid("status.active", active, "active>0 is invalid for finished job"))
    if "startTime" not in status and (new_end or "startTime" in before):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    pods = status.get("uncountedTerminatedPods", {})
    if any(pods.values()) and (new_end or _changed(status, before, "uncountedTerminatedPods")):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        errors.append(invalid("status.uncountedTerminatedPods", pods, text))
    terminating = status.get("terminating", 0)
    if terminating > 0 and (new_end or _changed(status, before, "terminating", 0)):
        text = "terminating>0 is invalid for finished job"
        errors.append(invalid("status.terminating", terminating, text))


def _check_times(
    status: JsonObject,
    before: JsonObject,
    now: set[str],
    then: set[str],
    errors: list[FieldError],
) -> None:
    path = "status.completionTime"
    end, start = status.get("completionTime"), status.get("startTime")
    ended = _changed(status, before, "completionTime")
    if ended or ("Complete" in now) != ("Complete" in then):
        if end is not None and "Complete" not in now:
            text = "cannot set completionTime when there is no Complete=True condition"
            errors.append(invalid(path, end, text))
        if end is None and "Complete" in now:
            errors.append(required(path, "completionTime is required for Complete jobs"))
    if (
        (ended or _changed(status, before, "startTime"))
        and start
        and end
        and (datetime.fromisoformat(end) < datetime.fromisoformat(start))
    ):
        errors.append(invalid(path, end, "completionTime cannot be set before startTime"))
    if ended and end is not None and "completionTime" in before:
        errors.append(invalid(path, end, "completionTime cannot be mutated"))


def _check_indexes(
    status: JsonObject, before: JsonObject, spec: JsonObject, errors: list[FieldError]
) -> None:
    completions = spec.get("completions")
    completed, failed = status.get("completedIndexes", ""), status.get("failedIndexes")
    completed_changed = _changed(status, before, "completedIndexes", "")
    failed_changed = _changed(status, before, "failedIndexes")
    path = "status.failedIndexes"
    if completed_changed and completions is not None:
        _check_index_text(completed, completions, "completedIndexes", errors)
    per_index = "backoffLimitPerIndex" in spec
    if failed_changed and completions is not None and per_index and failed is not None:
        _check_index_text(failed, completions, "failedIndexes", errors)
    if completed_changed and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(invalid("status.completedIndexes", completed, text))
    if failed_changed and failed is not None and not per_index:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(invalid(path, failed, text))
    if (completed_changed or failed_changed) and completions is not None and failed is not None:
        index = first_overlap(completed, failed, completions)
        if index is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {index}"
            errors.append(invalid(path, failed, text))


def _check_index_text(text: str, completions: int, name: str, errors: list[FieldError]) -> None:
    try:
        count_indexes(text, completions)
    except IndexesError as error:
        errors.append(invalid(f"status.{name}", text, f"error parsing {name}: {error}"))


def _check_success(
    spec: JsonObject, now: set[str], then: set[str], errors: list[FieldError]
) -> None:
    met = "SuccessCriteriaMet" in now
    if met and "Failed" in now:
        _refuse(errors, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and "FailureTarget" in now:
        _refuse(errors, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if "successPolicy" in spec and not met and "Complete" in now:
        _refuse(
            errors,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        )
    for name in _TERMINAL:
        if name in then and name not in now:
            _refuse(errors, f"cannot disable the terminal {name}=True condition")
    if "SuccessCriteriaMet" in then and not met:
        _refuse(errors, "cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in then and "SuccessCriteriaMet" not in then and met:
        _refuse(
            errors,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        )


def _check_progress(
    status: JsonObject, before: JsonObject, spec: JsonObject, errors: list[FieldError]
) -> None:
    failed, succeeded = status.get("failed", 0), status.get("succeeded", 0)
    if failed < before.get("failed", 0):
        errors.append(invalid("status.failed", failed, "cannot decrease the failed counter"))
    # Indexed jobs that can be scaled down may lose successes.
    elastic = spec.get("completionMode") == "Indexed" and (
        spec.get("completions") == spec.get("parallelism")
    )
    if not elastic and succeeded < before.get("succeeded", 0):
        text = "cannot decrease the succeeded counter"
        errors.append(invalid("status.succeeded", succeeded, text))
    moved = _changed(status, before, "startTime")
    if moved and "startTime" in before and not spec.get("suspend"):
        text = "startTime cannot be removed for unsuspended job"
        errors.append(required("status.startTime", text))
    ready = status.get("ready", 0)
    if ready > status.get("active", 0) and (
        _changed(status, before, "ready", 0) or _changed(status, before, "active", 0)
    ):
        errors.append(invalid("status.ready", ready, "cannot set more ready pods than active"))

"""CronJobs: Jobs made on a schedule."""

from __future__ import annotations

import re
from typing import Final

from apiserver.types.formats import is_dns1123_label
from apiserver.types.hooks import TypeHooks
from apiserver.types.pods.defaults import default_pod_template
from apiserver.types.workloads.counts import check_counts
from apiserver.types.workloads.job_spec import check_job_spec
from apiserver.types.workloads.jobs import default_failure_policy, job_spec_warnings
from kube.cron import schedule_fault, zone_fault
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject

_POLICIES: Final = ("Allow", "Forbid", "Replace")
# The names of its Jobs are eleven characters longer.
_NAME_CHARS_MAX: Final = 52
_match_zone_part = re.compile(r"[A-Za-z.\-_0-9+]{1,14}").fullmatch


def default_cron_job(obj: JsonObject) -> None:
    """Default a CronJob; of its Job template only the pods are, until the Job is made."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    default_failure_policy(job)
    default_pod_template(job.setdefault("template", {}))


def _reset_status(obj: JsonObject) -> None:
    obj["status"] = {}


def validate_cron_job(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a new CronJob."""
    errors = _validate(obj, None)
    name = obj["metadata"].get("name", "")
    if len(name) > _NAME_CHARS_MAX:
        text = f"must be no more than {_NAME_CHARS_MAX} characters"
        errors.append(invalid("metadata.name", name, text))
    return errors


def validate_cron_job_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a changed CronJob; what was wrong before with its times may stay."""
    return _validate(new, old["spec"])


def _validate(obj: JsonObject, before: JsonObject | None) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj["spec"]
    _check_schedule(spec, before, "spec.schedule", errors)
    check_counts(spec, ("startingDeadlineSeconds",), "spec", errors)
    zone = spec.get("timeZone")
    if zone is not None and (before is None or before.get("timeZone") != zone):
        _check_zone(zone, "spec.timeZone", errors)
    policy = spec.get("concurrencyPolicy", "")
    if policy not in _POLICIES:
        where = "spec.concurrencyPolicy"
        errors.append(not_supported(where, policy, _POLICIES) if policy else required(where))
    job = spec.get("jobTemplate", {}).get("spec", {})
    check_job_spec(job, "spec.jobTemplate.spec", errors)
    if "selector" in job:
        text = "`selector` will be auto-generated"
        errors.append(invalid("spec.jobTemplate.spec.selector", job["selector"], text))
    if job.get("manualSelector"):
        where = "spec.jobTemplate.spec.manualSelector"
        errors.append(not_supported(where, value=True, supported=("nil", "false")))
    names = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    check_counts(spec, names, "spec", errors)
    return errors


def _check_schedule(
    spec: JsonObject, before: JsonObject | None, path: str, errors: list[FieldError]
) -> None:
    schedule = spec.get("schedule", "")
    if not schedule:
        errors.append(required(path))
        return
    if fault := schedule_fault(schedule):
        errors.append(invalid(path, schedule, fault))
    if "TZ" not in schedule:
        return
    if before is None or "TZ" not in before.get("schedule", ""):
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid(path, schedule, text))
    elif "timeZone" in spec:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.append(invalid(path, schedule, text))


def _check_zone(zone: str, path: str, errors: list[FieldError]) -> None:
    if not zone:
        errors.append(invalid(path, zone, "timeZone must be nil or non-empty string"))
        return
    for part in zone.split("/"):
        if part in {".", ".."} or part.startswith("-") or not _match_zone_part(part):
            errors.append(invalid(path, zone, f"unknown time zone {zone}"))
            return
    if zone.lower() == "local":
        text = (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        errors.append(invalid(path, zone, text))
    if fault := zone_fault(zone):
        errors.append(invalid(path, zone, fault))


def _warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    found = []
    spec = new["spec"]
    if old is None and (faults := is_dns1123_label(new["metadata"].get("name", ""))):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in "
            f"surprising behavior; a DNS label is recommended: [{' '.join(faults)}]"
        )
    if old is None or old["spec"] != spec:
        job = spec.get("jobTemplate", {}).get("spec", {})
        found += job_spec_warnings(job, "spec.jobTemplate.spec")
    if "TZ" in spec.get("schedule", ""):
        found.append(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    return found


HOOKS: Final[dict[str, TypeHooks]] = {
    "batch/cronjobs": TypeHooks(
        default=default_cron_job,
        prepare_create=_reset_status,
        validate_create=validate_cron_job,
        validate_update=validate_cron_job_update,
        warnings=_warnings,
        generation=True,
        has_status=True,
    ),
}

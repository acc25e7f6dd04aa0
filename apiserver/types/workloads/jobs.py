"""Jobs: defaults, generated selectors, validation of their spec and of its changes."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from apiserver.types.formats import is_dns1123_label
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import validate_label_selector
from apiserver.types.pods.defaults import default_pod_template
from apiserver.types.pods.warnings import template_warnings
from apiserver.types.workloads.counts import (
    check_immutable,
    check_selects_template,
)
from apiserver.types.workloads.fields import status_successful
from apiserver.types.workloads.job_spec import check_job_spec
from apiserver.types.workloads.job_status import validate_job_status
from apiserver.types.workloads.selectors import SelectorError, matches
from kube.field import FieldError, invalid, required
from kube.json_types import JsonObject

JOB_NAME: Final = "batch.kubernetes.io/job-name"
CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
LEGACY_JOB_NAME: Final = "job-name"
LEGACY_CONTROLLER_UID: Final = "controller-uid"
_INT32_MAX: Final = 2**31 - 1
_IMMUTABLE: Final = (
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)


def default_job(obj: JsonObject) -> None:
    """Default a Job."""
    spec = obj.setdefault("spec", {})
    template = spec.setdefault("template", {})
    _default_labels(obj.setdefault("metadata", {}), template)
    default_job_spec(spec)


def _default_labels(meta: JsonObject, template: JsonObject) -> None:
    labels = template.get("metadata", {}).get("labels")
    if labels and not meta.get("labels"):
        meta["labels"] = dict(labels)


def default_job_spec(spec: JsonObject) -> None:
    """Default a JobSpec that is a Job's own."""
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    limit = _INT32_MAX if "backoffLimitPerIndex" in spec else 6
    spec.setdefault("backoffLimit", limit)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    policy = spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed")
    spec.setdefault("manualSelector", False)
    default_failure_policy(spec)
    default_pod_template(spec.setdefault("template", {}))


def default_failure_policy(spec: JsonObject) -> None:
    """Default the patterns of a pod failure policy, as in Jobs so in CronJobs' templates."""
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            # A status that was not sent is an empty one by now.
            pattern["status"] = pattern.get("status") or "True"


def prepare_job_create(obj: JsonObject) -> None:
    """Generate a new Job's selector from its uid, which has to be set by now, and its name."""
    obj["status"] = {}
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return
    meta = obj["metadata"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    name, uid = meta.get("name", ""), meta.get("uid", "")
    # Labels that the user gave stay; if they conflict, validation says so.
    labels.setdefault(LEGACY_JOB_NAME, name)
    labels.setdefault(JOB_NAME, name)
    labels.setdefault(LEGACY_CONTROLLER_UID, uid)
    labels.setdefault(CONTROLLER_UID, uid)
    selected = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selected.setdefault(CONTROLLER_UID, uid)
    # Upstream defaults once more when it reads what it has stored, and sees the labels above then.
    _default_labels(meta, spec["template"])


def validate_job(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a Job."""
    return _validate(obj, prefixed_labels=True)


def _validate(obj: JsonObject, *, prefixed_labels: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj["spec"]
    _check_generated(obj, errors, prefixed_labels=prefixed_labels)
    check_job_spec(spec, "spec", errors)
    selector = spec.get("selector")
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += validate_label_selector(selector, "spec.selector")
    # What is wrong with it was said above.
    with suppress(SelectorError):
        check_selects_template(selector, spec["template"], "spec.template", errors)
    completions = spec.get("completions")
    if spec.get("completionMode") == "Indexed" and completions:
        name = obj["metadata"].get("name", "")
        host = f"{name}-{completions - 1}"
        if is_dns1123_label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            errors.append(invalid("metadata.name", name, text))
    return errors


def _check_generated(obj: JsonObject, errors: list[FieldError], *, prefixed_labels: bool) -> None:
    """Check that a generated selector and labels are what the server generates."""
    spec, meta = obj["spec"], obj["metadata"]
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return
    name, uid = meta.get("name", ""), meta.get("uid", "")
    if not uid:
        errors.append(required("metadata.uid"))
    expected = {LEGACY_CONTROLLER_UID: uid, LEGACY_JOB_NAME: name}
    if prefixed_labels:
        expected |= {CONTROLLER_UID: uid, JOB_NAME: name}
    labels = spec["template"].get("metadata", {}).get("labels", {})
    for key, value in expected.items():
        where = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(required(where, f"must be '{value}'"))
        elif labels[key] != value:
            errors.append(invalid(where, labels, f"must be '{value}'"))
    # What is wrong with it is said where the selector itself is checked.
    with suppress(SelectorError):
        if not matches(selector, expected):
            errors.append(invalid("spec.selector", selector, "`selector` not auto-generated"))


def validate_job_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a changed Job and of the change."""
    spec, before = new["spec"], old["spec"]
    had = before.get("template", {}).get("metadata", {}).get("labels", {})
    errors = _validate(new, prefixed_labels=JOB_NAME in had and CONTROLLER_UID in had)
    _check_completions(spec, before, errors)
    check_immutable(spec, before, "selector", "spec", errors)
    template = before.get("template", {})
    if before.get("suspend") and "startTime" not in old.get("status", {}):
        template = _with_scheduling_of(spec["template"], template)
    if spec["template"] != template:
        errors.append(invalid("spec.template", spec["template"], "field is immutable"))
    for name in _IMMUTABLE:
        check_immutable(spec, before, name, "spec", errors)
    return errors


def _check_completions(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> None:
    """Indexed Jobs are elastic: completions may change together with parallelism."""
    now = spec.get("completions")
    if now == before.get("completions"):
        return
    if spec.get("completionMode") != "Indexed":
        errors.append(invalid("spec.completions", now, "field is immutable"))
    elif now is not None and now != spec.get("parallelism"):
        text = "can only be modified in tandem with spec.parallelism"
        errors.append(invalid("spec.completions", now, text))


def _with_scheduling_of(new: JsonObject, old: JsonObject) -> JsonObject:
    """Return the old template with the new one's scheduling, free before the Job first starts."""
    template, spec = dict(old), dict(old.get("spec", {}))
    wanted = new.get("spec", {})
    for name in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(spec, wanted, name)
    affinity = dict(spec.get("affinity", {}))
    _take(affinity, wanted.get("affinity", {}), "nodeAffinity")
    if affinity or "affinity" in wanted:
        spec["affinity"] = affinity
    else:
        spec.pop("affinity", None)
    meta = dict(old.get("metadata", {}))
    for name in ("labels", "annotations"):
        _take(meta, new.get("metadata", {}), name)
    template["spec"] = spec
    if meta or "metadata" in new:
        template["metadata"] = meta
    return template


def _take(target: JsonObject, source: JsonObject, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)


def _warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    found = []
    spec = new["spec"]
    if old is None and (faults := is_dns1123_label(new["metadata"].get("name", ""))):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in "
            f"surprising behavior; a DNS label is recommended: [{' '.join(faults)}]"
        )
    if old is None or old["spec"] != spec:
        found += job_spec_warnings(spec, "spec")
    return found


def job_spec_warnings(spec: JsonObject, path: str) -> list[str]:
    """Return the warnings of a JobSpec at `path`."""
    found = []
    if spec.get("completionMode") == "Indexed":
        completions, parallelism = spec.get("completions", 0), spec.get("parallelism", 0)
        if completions > 100_000 and parallelism > 10_000:
            found.append(
                f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a "
                "parallelism higher than 10^4, Kubernetes might not be able to track "
                "completedIndexes when a big number of indexes fail"
            )
    return found + template_warnings(spec.get("template", {}), f"{path}.template")


HOOKS: Final[dict[str, TypeHooks]] = {
    "batch/jobs": TypeHooks(
        default=default_job,
        prepare_create=prepare_job_create,
        validate_create=validate_job,
        validate_update=validate_job_update,
        validate_status=validate_job_status,
        warnings=_warnings,
        fields={"status.successful": status_successful},
        generation=True,
        has_status=True,
    ),
}

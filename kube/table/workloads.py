"""Workloads: what owns pods, the templates they are made from, and what limits their disruption."""

from __future__ import annotations

from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject
from kube.kinds import split_group_version
from kube.table import text
from kube.table.layout import AGE, NAME, Column, Layout, shows, worded
from kube.table.text import NONE, age_of, name_of

_CONTAINERS: Final = worded("Containers", "Names of the template's containers.", wide=True)
_IMAGES: Final = worded("Images", "Images of the template's containers.", wide=True)
_READY: Final = worded("Ready", "Pods that are ready, of the pods wanted.")


def _deployment(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    try:
        chosen = text.selector(spec.get("selector"))
    except ValueError:
        chosen = "<invalid>"
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age_of(obj, now_s),
        *text.template_containers(spec),
        chosen,
    ]


def _replica_set(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    chosen = text.selector_or_none(spec.get("selector"))
    return [*_replicas(obj, now_s), *text.template_containers(spec), chosen]


def _replication_controller(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    chosen = text.labels(spec.get("selector"))
    return [*_replicas(obj, now_s), *text.template_containers(spec), chosen]


def _replicas(obj: JsonObject, now_s: float) -> list[Any]:
    status = obj.get("status", {})
    return [
        name_of(obj),
        obj.get("spec", {}).get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age_of(obj, now_s),
    ]


def _stateful_set(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    ready = obj.get("status", {}).get("readyReplicas", 0)
    return [
        name_of(obj),
        f"{ready}/{spec.get('replicas', 0)}",
        age_of(obj, now_s),
        *text.template_containers(spec),
    ]


def _daemon_set(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    return [
        name_of(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        text.labels(text.dig(spec, "template", "spec", "nodeSelector")),
        age_of(obj, now_s),
        *text.template_containers(spec),
        text.selector_or_none(spec.get("selector")),
    ]


def _job(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    return [
        name_of(obj),
        _job_status(obj),
        _job_completions(obj),
        _job_duration(obj.get("status", {}), now_s),
        age_of(obj, now_s),
        *text.template_containers(spec),
        text.selector_or_none(spec.get("selector")),
    ]


def _job_status(obj: JsonObject) -> str:
    conditions = obj.get("status", {}).get("conditions", ())
    if text.condition_status(conditions, "Complete") == "True":
        return "Complete"
    if text.condition_status(conditions, "Failed") == "True":
        return "Failed"
    if text.is_deleted(obj):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget"):
        if text.condition_status(conditions, kind) == "True":
            return kind
    return "Running"


def _job_completions(obj: JsonObject) -> str:
    spec, succeeded = obj.get("spec", {}), obj.get("status", {}).get("succeeded", 0)
    if "completions" in spec:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(status: JsonObject, now_s: float) -> str:
    if "startTime" not in status:
        return ""
    ended = status.get("completionTime")
    end_s = durations.timestamp_s(ended) if ended else now_s
    return durations.age(status["startTime"], end_s)


def _cron_job(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    last = status.get("lastScheduleTime")
    job = text.dig(spec, "jobTemplate", "spec") or {}
    suspend = spec.get("suspend")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone", NONE),
        text.UNSET if suspend is None else str(suspend),
        len(status.get("active", ())),
        durations.age(last, now_s) if last else NONE,
        age_of(obj, now_s),
        *text.template_containers(job),
        text.selector_or_none(job.get("selector")),
    ]


def _pod_template(obj: JsonObject, _now_s: float) -> list[Any]:
    template = obj.get("template", {})
    pod_labels = text.labels(template.get("metadata", {}).get("labels"))
    return [name_of(obj), *text.containers(template.get("spec", {})), pod_labels]


def _controller_revision(obj: JsonObject, now_s: float) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences", ())
    owner = next((ref for ref in owners if ref.get("controller")), None)
    controller = NONE
    if owner:
        group = split_group_version(owner["apiVersion"])[0]
        kind = f"{owner['kind']}.{group}" if group else owner["kind"]
        controller = f"{kind.lower()}/{owner['name']}"
    return [name_of(obj), controller, obj.get("revision", 0), age_of(obj, now_s)]


def _disruption_budget(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    return [
        name_of(obj),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        obj.get("status", {}).get("disruptionsAllowed", 0),
        age_of(obj, now_s),
    ]


def _scale(obj: JsonObject, now_s: float) -> list[Any]:
    wanted = obj.get("spec", {}).get("replicas", 0)
    return [name_of(obj), wanted, obj.get("status", {}).get("replicas", 0), age_of(obj, now_s)]


def _replica_columns(spec: str, status: str) -> tuple[Column, ...]:
    return (
        NAME,
        shows("Desired", f"{spec}.replicas", "integer"),
        shows("Current", f"{status}.replicas", "integer"),
        shows("Ready", f"{status}.readyReplicas", "integer"),
        AGE,
        _CONTAINERS,
        _IMAGES,
        shows("Selector", f"{spec}.selector", wide=True),
    )


LAYOUTS: Final = {
    "apps/deployments": Layout(
        columns=(
            NAME,
            _READY,
            shows("Up-to-date", "apps.v1.DeploymentStatus.updatedReplicas"),
            shows("Available", "apps.v1.DeploymentStatus.availableReplicas"),
            AGE,
            _CONTAINERS,
            _IMAGES,
            shows("Selector", "apps.v1.DeploymentSpec.selector", wide=True),
        ),
        cells=_deployment,
    ),
    "apps/replicasets": Layout(
        _replica_columns("apps.v1.ReplicaSetSpec", "apps.v1.ReplicaSetStatus"), _replica_set
    ),
    "replicationcontrollers": Layout(
        _replica_columns(
            "core.v1.ReplicationControllerSpec", "core.v1.ReplicationControllerStatus"
        ),
        _replication_controller,
    ),
    "apps/statefulsets": Layout((NAME, _READY, AGE, _CONTAINERS, _IMAGES), _stateful_set),
    "apps/daemonsets": Layout(
        columns=(
            NAME,
            shows("Desired", "apps.v1.DaemonSetStatus.desiredNumberScheduled", "integer"),
            shows("Current", "apps.v1.DaemonSetStatus.currentNumberScheduled", "integer"),
            shows("Ready", "apps.v1.DaemonSetStatus.numberReady", "integer"),
            shows("Up-to-date", "apps.v1.DaemonSetStatus.updatedNumberScheduled", "integer"),
            shows("Available", "apps.v1.DaemonSetStatus.numberAvailable", "integer"),
            shows("Node Selector", "core.v1.PodSpec.nodeSelector"),
            AGE,
            _CONTAINERS,
            _IMAGES,
            shows("Selector", "apps.v1.DaemonSetSpec.selector", wide=True),
        ),
        cells=_daemon_set,
    ),
    "batch/jobs": Layout(
        columns=(
            NAME,
            worded("Status", "How far the job is."),
            shows("Completions", "batch.v1.JobStatus.succeeded"),
            worded("Duration", "How long the job took, or has been running."),
            AGE,
            _CONTAINERS,
            _IMAGES,
            shows("Selector", "batch.v1.JobSpec.selector", wide=True),
        ),
        cells=_job,
    ),
    "batch/cronjobs": Layout(
        columns=(
            NAME,
            shows("Schedule", "batch.v1.CronJobSpec.schedule"),
            shows("Timezone", "batch.v1.CronJobSpec.timeZone"),
            shows("Suspend", "batch.v1.CronJobSpec.suspend", "boolean"),
            shows("Active", "batch.v1.CronJobStatus.active", "integer"),
            shows("Last Schedule", "batch.v1.CronJobStatus.lastScheduleTime"),
            AGE,
            _CONTAINERS,
            _IMAGES,
            shows("Selector", "batch.v1.JobSpec.selector", wide=True),
        ),
        cells=_cron_job,
    ),
    "podtemplates": Layout(
        columns=(
            NAME,
            worded("Containers", "Names of the template's containers."),
            worded("Images", "Images of the template's containers."),
            worded("Pod Labels", "Labels that pods of the template get."),
        ),
        cells=_pod_template,
    ),
    "apps/controllerrevisions": Layout(
        columns=(
            NAME,
            worded("Controller", "What the revision is of."),
            shows("Revision", "apps.v1.ControllerRevision.revision"),
            AGE,
        ),
        cells=_controller_revision,
    ),
    "policy/poddisruptionbudgets": Layout(
        columns=(
            NAME,
            worded("Min Available", "How many pods must stay available."),
            worded("Max Unavailable", "How many pods may be unavailable."),
            worded("Allowed Disruptions", "How many pods may be disrupted now.", "integer"),
            AGE,
        ),
        cells=_disruption_budget,
    ),
    "autoscaling/scale": Layout(
        columns=(
            Column("Name", field=NAME.field),
            shows("Desired", "autoscaling.v1.ScaleSpec.replicas", "integer"),
            shows("Available", "autoscaling.v1.ScaleStatus.replicas", "integer"),
            AGE,
        ),
        cells=_scale,
    ),
}

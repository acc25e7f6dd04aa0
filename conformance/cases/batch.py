"""CronJobs as objects."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import same
from conformance.operations import annotating, annotation, check_discovery, check_operations
from conformance.registry import case
from conformance.samples import PAUSE_IMAGE
from conformance.stage import Stage
from kube.json_types import JsonObject

_GROUP: Final = "batch/v1"


@case("[sig-apps] CronJob should support CronJob API operations [Conformance]")
async def cron_jobs(stage: Stage) -> None:
    """CronJobs have all verbs, and a status."""
    await check_discovery(stage, _GROUP, "cronjobs", "cronjobs/status")
    resource = stage.of(_GROUP, "cronjobs", "CronJob")
    containers = [{"name": "c", "image": PAUSE_IMAGE}]
    pods = {"spec": {"restartPolicy": "OnFailure", "containers": containers}}
    template: Any = {
        "spec": {
            "schedule": "* */1 * * ?",
            "concurrencyPolicy": "Allow",
            "suspend": True,
            "jobTemplate": {"spec": {"parallelism": 1, "completions": 1, "template": pods}},
        }
    }
    name = f"status-{stage.unique}"
    await resource.create({**template, "metadata": {"name": name}})
    when = "2026-01-01T00:00:00Z"
    patch: Any = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"lastScheduleTime": when},
    }
    patched = await resource.patch(name, patch, part="status")
    same(patched["status"]["lastScheduleTime"], when, "the status patched")
    same(annotation(patched, "patchedstatus"), "true", "the annotation patched with it")
    later = "2026-01-01T00:00:30Z"

    def change(obj: JsonObject) -> None:
        obj["status"]["lastScheduleTime"] = later

    updated = await resource.update(name, change, "status")
    same(updated["status"]["lastScheduleTime"], later, "the status updated")
    same((await resource.get(name, "status"))["metadata"]["name"], name, "/status")
    await check_operations(stage, resource, annotating(template))

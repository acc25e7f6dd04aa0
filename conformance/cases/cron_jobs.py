"""CronJobs, by the minute: whether Jobs run beside each other, wait or take each other's place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from conformance.checks import eventually, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from conformance.workloads import BUSYBOX_IMAGE, runs_for
from kube.json_types import JsonObject

# A minute has begun by then, and the controller has seen to it.
_MINUTE_S: Final = 75.0
_CASE_S: Final = 240.0


def _cron_jobs(stage: Stage) -> Resource:
    return stage.of("batch/v1", "cronjobs", "CronJob")


def _jobs(stage: Stage) -> Resource:
    return stage.of("batch/v1", "jobs", "Job")


def _cron_job(name: str, policy: str, **spec: Any) -> JsonObject:
    container = {"name": "c", "image": BUSYBOX_IMAGE, "command": ["sleep", "300"]}
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [container]}}
    job = {"spec": {"parallelism": 1, "completions": 1, "template": runs_for(template, 300)}}
    spec |= {"schedule": "*/1 * * * ?", "concurrencyPolicy": policy, "jobTemplate": job}
    return {"metadata": {"name": name}, "spec": spec}


async def _active(stage: Stage, name: str, count: int) -> list[str]:
    """Return the names of the Jobs that a CronJob says are active, once there are `count`."""

    async def look() -> list[str]:
        status = (await _cron_jobs(stage).get(name)).get("status", {})
        names = [entry["name"] for entry in status.get("active") or []]
        return names if len(names) >= count else []

    return await eventually(f"{count} Jobs are active", look, within_s=_MINUTE_S * count)


async def _running(stage: Stage) -> list[str]:
    """Return the names of Jobs that have not finished."""
    jobs = await _jobs(stage).items()
    return [job["metadata"]["name"] for job in jobs if "completionTime" not in job["status"]]


@case(
    "[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]", timeout_s=_CASE_S
)
async def concurrent(stage: Stage) -> None:
    """The next minute's Job runs beside that of the last."""
    await _cron_jobs(stage).create(_cron_job("concurrent", "Allow"))
    active = await _active(stage, "concurrent", 2)
    same(sorted(await _running(stage))[:2], sorted(active)[:2], "Jobs that run")


@case(
    "[sig-apps] CronJob should not schedule jobs when suspended [Conformance] [Slow]",
    timeout_s=_CASE_S,
)
async def suspended(stage: Stage) -> None:
    """A minute begins, and no Job."""
    await _cron_jobs(stage).create(_cron_job("suspended", "Allow", suspend=True))
    async with _jobs(stage).watch() as watch:
        await watch.nothing(within_s=_MINUTE_S)
    same(await _jobs(stage).names(), [], "Jobs")


@case(
    "[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Conformance] [Slow]",
    timeout_s=_CASE_S,
)
async def forbidden(stage: Stage) -> None:
    """While a Job runs, no other begins."""
    await _cron_jobs(stage).create(_cron_job("forbid", "Forbid"))
    first = await _active(stage, "forbid", 1)
    same(await _running(stage), first, "Jobs that run")
    await asyncio.sleep(_MINUTE_S)
    same(await _active(stage, "forbid", 1), first, "Jobs that are active a minute later")
    same(await _jobs(stage).names(), first, "Jobs a minute later")


@case(
    "[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]", timeout_s=_CASE_S
)
async def replacing(stage: Stage) -> None:
    """The next minute's Job takes the place of the last."""
    await _cron_jobs(stage).create(_cron_job("replace", "Replace"))
    first = await _active(stage, "replace", 1)
    same(await _running(stage), first, "Jobs that run")

    def other(names: list[str]) -> bool:
        return len(names) == 1 and names != first

    await eventually("another Job runs", _checked(stage, other), within_s=_MINUTE_S)


def _checked(stage: Stage, holds: Callable[[list[str]], bool]) -> Callable[[], Any]:
    async def look() -> bool:
        return holds(await _running(stage))

    return look

"""One sync of one CronJob: clear away, note what has ended, start what is due (syncCronJob).

Reasons, texts and the order of questions are upstream's. The status is changed here and written at
the end, by whatever was found until then, even where starting a Job failed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from controllers.jobs import conditions
from controllers.jobs.missed_starts import Missed, NeverDue, Schedule, look_again_s, recent
from controllers.jobs.templates import JOB
from controllers.recorder import Recorder
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import Failure, has_cause, reference_of
from controllers.workloads.pods import controller_of, epoch_s
from kube import times
from kube.client import ApiClient, Unreachable
from kube.cron import CronError, parse_schedule, zone_fault, zone_of
from kube.field import quote
from kube.json_types import JsonObject
from kube.status import StatusError

CRON_JOB: Final = Kind("batch/v1", "CronJob", "cronjobs")
SCHEDULED_AT: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MINUTE_S: Final = 60
_log = logging.getLogger(__name__)


def schedule_text(cron_job: JsonObject) -> str:
    """Return a CronJob's schedule with its time zone (formatSchedule)."""
    spec = cron_job["spec"]
    schedule: str = spec["schedule"]
    zone = spec.get("timeZone")
    if "TZ" in schedule or zone is None or zone_fault(zone):
        return schedule
    return f"TZ={zone} {schedule}"


def job_name(cron_job: JsonObject, start_s: int) -> str:
    """Return the name of the Job that is due at a time."""
    return f"{cron_job['metadata']['name']}-{start_s // _MINUTE_S}"


def new_job(cron_job: JsonObject, start_s: int) -> JsonObject:
    """Return the Job that is due at a time."""
    template = cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    at = datetime.fromtimestamp(start_s, zone_of(cron_job["spec"].get("timeZone") or ""))
    stamp = at.isoformat().replace("+00:00", "Z")
    made: JsonObject = {
        "name": job_name(cron_job, start_s),
        "annotations": {**(metadata.get("annotations") or {}), SCHEDULED_AT: stamp},
        "ownerReferences": [CRON_JOB.controls(cron_job)],
    }
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": made,
        "spec": template["spec"],
    }


def by_start(job: JsonObject) -> tuple[bool, int, str]:
    """Order Jobs by when they started, those that did not last (byJobStartTime)."""
    start = (job.get("status") or {}).get("startTime")
    return start is None, epoch_s(start), job["metadata"]["name"]


class CronSync:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        cron_job: as the cache has it.
        jobs: those it controls.

    Attributes:
        again_s: in how many seconds to look again; None: when something has changed.
        failure: what is to be tried again.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        cron_job: JsonObject,
        jobs: Sequence[JsonObject],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._cron_job = cron_job
        self._jobs = list(jobs)
        self._told: JsonObject = cron_job.get("status") or {}
        self._status: JsonObject = dict(self._told)
        self._spec: JsonObject = cron_job["spec"]
        self._namespace: str = cron_job["metadata"]["namespace"]
        self._key = f"{self._namespace}/{cron_job['metadata']['name']}"
        self._about = reference_of(CRON_JOB, cron_job)
        self.again_s: float | None = None
        self.failure: Failure | None = None

    @property
    def _active(self) -> list[Any]:
        return list(self._status.get("active") or ())

    def _set_active(self, active: list[Any]) -> None:
        if active:
            self._status["active"] = active
        else:
            self._status.pop("active", None)

    def _drop_active(self, uid: str) -> None:
        self._set_active([one for one in self._active if one.get("uid") != uid])

    async def run(self) -> None:
        """Do it; what fails is in `failure`."""
        try:
            await self._clear_away()
            await self._note_jobs()
            await self._note_missing()
            await self._start_if_due()
        except (StatusError, Unreachable) as error:
            self.failure = error

    async def write_status(self) -> JsonObject | None:
        """Write the status if it has changed; return the CronJob then.

        Raises:
            StatusError, Unreachable: it may not have been written.
        """
        if self._status == self._told:
            return None
        body = {**self._cron_job, "status": self._status}
        return await self._client.request("PUT", f"{CRON_JOB.path(self._key)}/status", body)

    async def _clear_away(self) -> None:
        """Delete the oldest of the Jobs that have ended, beyond those to be kept."""
        for kind, name in (
            (conditions.COMPLETE, "successfulJobsHistoryLimit"),
            (conditions.FAILED, "failedJobsHistoryLimit"),
        ):
            limit = self._spec.get(name)
            if limit is None:
                continue
            ended = [job for job in self._jobs if _ended_as(job) == kind]
            ended.sort(key=by_start)
            for job in ended[: max(0, len(ended) - limit)]:
                await self._delete(job)

    async def _delete(self, job: JsonObject) -> Failure | None:
        """Delete a Job and its pods; return why it was not."""
        name = job["metadata"]["name"]
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
        }
        try:
            await self._client.request("DELETE", JOB.path(f"{self._namespace}/{name}"), options)
        except (StatusError, Unreachable) as error:
            if not (isinstance(error, StatusError) and error.code == 404):
                self._recorder.warn(self._about, "FailedDelete", f"Deleted job: {error}")
                return error
        self._drop_active(job["metadata"]["uid"])
        self._recorder.note(self._about, "SuccessfulDelete", f"Deleted job {name}")
        return None

    async def _note_jobs(self) -> None:
        """Take note of what its Jobs have come to."""
        for job in self._jobs:
            metadata = job["metadata"]
            name = metadata["name"]
            ended = _ended_as(job)
            is_active = any(one.get("uid") == metadata["uid"] for one in self._active)
            if is_active and ended:
                self._drop_active(metadata["uid"])
                text = f"Saw completed job: {name}, status: {ended}"
                self._recorder.note(self._about, "SawCompletedJob", text)
            elif not is_active and not ended and not await self._is_known(metadata["uid"]):
                text = f"Saw a job that the controller did not create or forgot: {name}"
                self._recorder.warn(self._about, "UnexpectedJob", text)
            if ended == conditions.COMPLETE:
                done = job["status"].get("completionTime")
                if epoch_s(done) > epoch_s(self._status.get("lastSuccessfulTime")):
                    self._status["lastSuccessfulTime"] = done

    async def _is_known(self, uid: str) -> bool:
        """Tell whether the CronJob, read anew, has a Job among its active ones."""
        latest = await self._client.request("GET", CRON_JOB.path(self._key))
        active = (latest.get("status") or {}).get("active") or ()
        return any(one.get("uid") == uid for one in active)

    async def _note_missing(self) -> None:
        """Forget active Jobs that do not exist any more."""
        known = {job["metadata"]["uid"] for job in self._jobs}
        for one in self._active:
            if one.get("uid") in known:
                continue
            try:
                await self._get_job(one["name"])
            except StatusError as error:
                if error.code != 404:
                    raise
                text = f"Active job went missing: {one['name']}"
                self._recorder.note(self._about, "MissingJob", text)
                self._drop_active(one.get("uid", ""))

    async def _get_job(self, name: str) -> JsonObject:
        return await self._client.request("GET", JOB.path(f"{self._namespace}/{name}"))

    async def _start_if_due(self) -> None:
        if "deletionTimestamp" in self._cron_job["metadata"]:
            return
        zone = self._spec.get("timeZone")
        if zone is not None and (fault := zone_fault(zone)):
            text = f"invalid timeZone: {quote(zone)}: {fault}"
            self._recorder.warn(self._about, "UnknownTimeZone", text)
            return
        if self._spec.get("suspend"):
            return
        schedule = self._schedule()
        if schedule is None:
            return
        now_s = self._client.clock.now_s()
        try:
            found = recent(self._cron_job, now_s, schedule, within_deadline=True)
        except NeverDue as error:
            text = f"invalid schedule: {self._spec['schedule']} : {error}"
            self._recorder.warn(self._about, "InvalidSchedule", text)
            return
        if found.start_s is not None:
            if found.missed is Missed.MANY:
                text = (
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds "
                    "or check clock skew"
                )
                self._recorder.warn(self._about, "TooManyMissedTimes", text)
            if not await self._may_start(found.start_s, now_s) or not await self._start(
                found.start_s
            ):
                # What was started before, or by others, is looked at when it changes.
                self.again_s = look_again_s(self._cron_job, now_s, schedule)
                return
        self.again_s = look_again_s({**self._cron_job, "status": self._status}, now_s, schedule)

    def _schedule(self) -> Schedule | None:
        text: str = self._spec["schedule"]
        if "TZ" in text:
            why = (
                f"CRON_TZ or TZ used in schedule {quote(text)} is not officially supported, see "
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
                "details"
            )
            self._recorder.warn(self._about, "UnsupportedSchedule", why)
        try:
            return parse_schedule(schedule_text(self._cron_job))
        except CronError as error:
            why = f"unparseable schedule: {quote(text)} : {error}"
            self._recorder.warn(self._about, "UnparseableSchedule", why)
            return None

    async def _may_start(self, start_s: int, now_s: float) -> bool:
        """Tell whether the Job that is due at a time is to be started."""
        deadline_s = self._spec.get("startingDeadlineSeconds")
        if deadline_s is not None and start_s + deadline_s < now_s:
            at = format_datetime(datetime.fromtimestamp(start_s, zone_of("")))
            text = f"Missed scheduled time to start a job: {at}"
            self._recorder.warn(self._about, "MissSchedule", text)
            return False
        name = job_name(self._cron_job, start_s)
        active = self._active
        if any(one["name"] == name for one in active):
            return False
        if epoch_s(self._status.get("lastScheduleTime")) == start_s:
            return False
        policy = self._spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            text = (
                "Not starting job because prior execution is running and concurrency policy is "
                "Forbid"
            )
            self._recorder.note(self._about, "JobAlreadyActive", text)
            return False
        if policy == "Replace":
            await self._replace(active)
        return True

    async def _replace(self, active: list[Any]) -> None:
        for one in active:
            try:
                job = await self._get_job(one["name"])
            except (StatusError, Unreachable) as error:
                self._recorder.warn(self._about, "FailedGet", f"Get job: {error}")
                raise
            failure = await self._delete(job)
            if failure is not None:
                raise failure

    async def _start(self, start_s: int) -> bool:
        """Start a Job; return whether it is now among the active ones by our doing."""
        wanted = new_job(self._cron_job, start_s)
        path = f"/apis/{JOB.api_version}/namespaces/{self._namespace}/{JOB.plural}"
        try:
            job = await self._client.request("POST", path, wanted)
        except (StatusError, Unreachable) as error:
            if isinstance(error, StatusError) and error.reason == "AlreadyExists":
                # Ours, if we were killed before we told of it.
                job = await self._get_job(wanted["metadata"]["name"])
                owner = controller_of(job)
                uid = self._cron_job["metadata"]["uid"]
                known = any(one.get("uid") == job["metadata"]["uid"] for one in self._active)
                if owner is None or owner.uid != uid or known:
                    return False
                _log.info("job %s is there already", wanted["metadata"]["name"])
            else:
                if not has_cause(error, "NamespaceTerminating"):
                    text = f"Error creating job: {error}"
                    self._recorder.warn(self._about, "FailedCreate", text)
                raise
        else:
            text = f"Created job {job['metadata']['name']}"
            self._recorder.note(self._about, "SuccessfulCreate", text)
        self._set_active([*self._active, reference_of(JOB, job)])
        self._status["lastScheduleTime"] = times.format_seconds(start_s)
        return True


def _ended_as(job: JsonObject) -> str:
    """Return the type of the condition by which a Job has ended, "": it has not."""
    ended = conditions.finished(job)
    return "" if ended is None else str(ended["type"])

"""The controller of CronJobs (pkg/controller/cronjob, version 2): a Job for each time that is due.

Invariants: a Job is named by its CronJob and the minute it was due in, so that none is made twice,
whoever is killed between making it and telling of it; the status is written once in a sync, and
only where it has changed; Jobs are found by their owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from controllers.jobs.cron_sync import CRON_JOB, CronSync, schedule_text
from controllers.jobs.missed_starts import look_again_s
from controllers.recorder import Recorder
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import controller_of
from controllers.workloads.replica_sets import OWNER_INDEX
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient
from kube.cron import CronError, parse_schedule
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

_WORKERS: Final = 5


class CronJobController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        cron_jobs: the informer of CronJobs.
        jobs: the informer of Jobs, indexed by the uid of their controller (OWNER_INDEX).
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, cron_jobs: Informer, jobs: Informer
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._cron_jobs = cron_jobs.store
        self._jobs = jobs.store
        self._queue: WorkQueue[str] = WorkQueue()
        self._written: dict[str, int] = {}
        cron_jobs.on_changes(self._observe)
        jobs.on_changes(self._observe_jobs)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"cron jobs {number}")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, cron_job, before in deltas:
            if change is Change.DELETED:
                self._written.pop(key, None)
            elif change is Change.MODIFIED and self._has_new_times(cron_job, before):
                self._reschedule(key, cron_job)
            else:
                self._queue.add(key)

    def _has_new_times(self, cron_job: JsonObject, before: bytes) -> bool:
        old, new = orjson.loads(before)["spec"], cron_job["spec"]
        return any(old.get(name) != new.get(name) for name in ("schedule", "timeZone"))

    def _reschedule(self, key: str, cron_job: JsonObject) -> None:
        """Look at a CronJob when it is due by its new times: what they had before counts not."""
        schedule: str = cron_job["spec"]["schedule"]
        try:
            times = parse_schedule(schedule_text(cron_job))
        except CronError:
            about = reference_of(CRON_JOB, cron_job)
            text = f"unparseable schedule for cronjob: {schedule}"
            self._recorder.warn(about, "UnParseableCronJobSchedule", text)
            return
        again_s = look_again_s(cron_job, self._client.clock.now_s(), times)
        if again_s is None:
            self._queue.add(key)
        else:
            self._queue.add_after(key, again_s)

    def _observe_jobs(self, deltas: Sequence[Delta]) -> None:
        for _, key, job, _ in deltas:
            owner = controller_of(job)
            if owner is not None and owner.kind == CRON_JOB.kind:
                self._queue.add(f"{key.partition('/')[0]}/{owner.name}")

    async def sync(self, key: str) -> float | None:
        """Start the Job that is due, if one is; return when to look again."""
        cron_job = self._cron_jobs.get(key)
        if cron_job is None:
            return None
        metadata = cron_job["metadata"]
        if int(metadata["resourceVersion"]) < self._written.get(key, 0):
            # The watch is about to tell of what we wrote, and then it is our turn again.
            return None
        jobs = list(self._jobs.find(OWNER_INDEX, metadata["uid"]))
        work = CronSync(self._client, self._recorder, cron_job, jobs)
        await work.run()
        written = await work.write_status()
        if written is not None and key in self._cron_jobs:
            self._written[key] = int(written["metadata"]["resourceVersion"])
        if work.failure is not None:
            raise work.failure
        return work.again_s

"""Deletes Jobs some time after they have ended (pkg/controller/ttlafterfinished).

Before one is deleted it is read anew: its `ttlSecondsAfterFinished` may have changed meanwhile. Its
pods go before it does, as it is deleted in the foreground.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from controllers.jobs import conditions
from controllers.jobs.templates import JOB
from controllers.workloads.pods import epoch_s
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 5
_log = logging.getLogger(__name__)


def left_s(job: JsonObject, now_s: float) -> float | None:
    """Return for how many seconds a Job is to stay; None: it is not ours to delete."""
    limit_s = job["spec"].get("ttlSecondsAfterFinished")
    ended = conditions.finished(job)
    if limit_s is None or ended is None or "deletionTimestamp" in job["metadata"]:
        return None
    at = ended.get("lastTransitionTime")
    if not at:
        metadata = job["metadata"]
        who = f"{metadata['namespace']}/{metadata['name']}"
        raise ValueError(f"unable to find the time when the Job {who} finished")
    remaining_s: float = epoch_s(at) + limit_s - now_s
    return remaining_s


class EndedJobsController:
    """See the module's head.

    Args of the constructor:
        client: who deletes.
        jobs: the informer of Jobs.
    """

    def __init__(self, client: ApiClient, jobs: Informer) -> None:
        self._client = client
        self._jobs = jobs.store
        self._queue: WorkQueue[str] = WorkQueue()
        jobs.on_changes(self._observe)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"ended jobs {number}")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, job, _ in deltas:
            if change is Change.DELETED or "ttlSecondsAfterFinished" not in job["spec"]:
                continue
            if conditions.finished(job) is not None:
                self._queue.add(key)

    async def sync(self, key: str) -> float | None:
        """Delete a Job whose time has come; return when that will be."""
        now_s = self._client.clock.now_s()
        job = self._jobs.get(key)
        remaining_s = None if job is None else left_s(job, now_s)
        if remaining_s is None or remaining_s > 0:
            return remaining_s
        try:
            latest = await self._client.request("GET", JOB.path(key))
            remaining_s = left_s(latest, now_s)
            if remaining_s is None or remaining_s > 0:
                return remaining_s
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "propagationPolicy": "Foreground",
                "preconditions": {"uid": latest["metadata"]["uid"]},
            }
            await self._client.request("DELETE", JOB.path(key), options)
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        _log.info("job %s is deleted, its time is over", key)
        return None

"""The controller of Jobs (pkg/controller/job): when which Job is looked at, and the loose ends.

A change of a Job's spec is acted on at once. Changes of its pods, and of its status, are gathered
for BATCH_S: a thousand pods that end within it cost one sync. What a sync wrote to the Job must
have come back by the watch before the next: it would count by an old status, which the server
refuses.

Loose ends are pods that have the tracking finalizer, but no Job that would count them: it is gone,
has ended, or was never theirs. Their finalizers go without being counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from controllers.jobs import conditions
from controllers.jobs.backoff import Row
from controllers.jobs.job_claims import JobClaims, named_uids, selected_uid
from controllers.jobs.job_pods import FINALIZER, JobPod, JobPodBook
from controllers.jobs.job_round import JobRound
from controllers.jobs.job_view import JobView
from controllers.jobs.pod_work import PodWork, untrack
from controllers.jobs.templates import JOB
from controllers.recorder import Recorder
from controllers.workloads.claims import CannotAdopt
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import ORPHANS, PodBook, PodBrief, controller_of, selects
from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.informers.store import Indexer
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

BATCH_S: Final = 0.1
"""Upstream gathers for a second; a sync here costs what has changed, and may come sooner."""
_WORKERS: Final = 5
_STRAY_WORKERS: Final = 4
_BACKOFF: Final = Backoff(1.0, 60.0)
_OURSELVES: Final = "kubernetes.io/job-controller"
_MODES: Final = (None, "NonIndexed", "Indexed")
BY_HAND: Final = "selector-by-hand"
_log = logging.getLogger(__name__)


def _by_hand(job: JsonObject) -> str | tuple[str, ...]:
    namespace: str = job["metadata"]["namespace"]
    return () if selected_uid(job) is not None else namespace


INDEXERS: Final[dict[str, Indexer]] = {BY_HAND: _by_hand}
"""How the informer must find Jobs: those with selectors written by hand, by namespace."""


class _Known(NamedTuple):
    """What is remembered of a Job beside the informer's store."""

    key: str
    generation: int
    is_finished: bool
    is_ours: bool


class JobController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        jobs: the informer of Jobs, with INDEXERS.
        pods: the informer of pods.
        briefs: all pods, fed by that informer already.
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, jobs: Informer, pods: Informer, briefs: PodBook
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._jobs = jobs.store
        self._pods = pods.store
        self._clock = client.clock
        self._book = JobPodBook(client.clock, self._observe_pod, self._observe_stray)
        self._work = PodWork(client, recorder, self._book)
        self._claims = JobClaims(client, briefs, self._book)
        self._queue: WorkQueue[str] = WorkQueue(_BACKOFF)
        self._strays: WorkQueue[str] = WorkQueue(_BACKOFF)
        self._known: dict[str, _Known] = {}
        self._rows: dict[str, Row] = {}
        self._written: dict[str, int] = {}
        jobs.on_changes(self._observe_jobs)
        pods.on_changes(self._book.take)
        briefs.listen_for(ORPHANS, self._offer)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"jobs {number}")
        for number in range(_STRAY_WORKERS):
            worker = run_worker(self._strays, self.release_stray)
            scope.spawn(worker, name=f"loose ends of jobs {number}")

    def _observe_jobs(self, deltas: Sequence[Delta]) -> None:
        for change, key, job, _ in deltas:
            uid = job["metadata"]["uid"]
            if change is Change.DELETED:
                known = self._known.pop(uid, None)
                self._rows.pop(uid, None)
                self._written.pop(uid, None)
                if known is None or known.is_ours:
                    self._leave(uid)
                continue
            generation = job["metadata"].get("generation", 0)
            is_finished = conditions.finished(job) is not None
            is_ours = job["spec"].get("managedBy") in (None, _OURSELVES)
            known = self._known.get(uid)
            self._known[uid] = _Known(key, generation, is_finished, is_ours)
            if is_finished:
                self._rows.pop(uid, None)
                self._written.pop(uid, None)
                if is_ours:
                    self._leave(uid)
            elif known is None or known.generation != generation:
                self._queue.add(key)
            else:
                self._queue.add_after(key, BATCH_S)

    def _leave(self, uid: str) -> None:
        """Let go what is left of a Job that counts no more."""
        for pod in self._book.of(uid):
            if pod.is_tracked:
                self._strays.add(pod.key)

    def _observe_pod(self, old: JobPod | None, new: JobPod | None) -> None:
        if old is not None and (new is None or new.job != old.job):
            self._look_at(old.job)
        if new is None:
            return
        known = self._look_at(new.job)
        # A finished Job does not count, and a Job that is gone can't.
        if new.is_deleting and new.is_tracked and (known is None or known.is_finished):
            self._strays.add(new.key)

    def _look_at(self, uid: str) -> _Known | None:
        known = self._known.get(uid)
        if known is not None and not known.is_finished:
            self._queue.add_after(known.key, BATCH_S)
        return known

    def _observe_stray(self, key: str) -> None:
        self._strays.add(key)

    def _offer(self, old: PodBrief | None, new: PodBrief | None) -> None:
        """Have whoever selects an orphan look at it, if that is news."""
        if new is None or new.owner is not None or new.is_deleting:
            return
        if old is not None and old.owner is None and old.labels == new.labels:
            return
        for uid in named_uids(new.labels):
            self._look_at(uid)
        keys = self._jobs.keys(BY_HAND, new.key.partition("/")[0])
        labels = dict(new.labels) if keys else {}
        for key in keys:
            job = self._jobs.get(key)
            if job is not None and selects(job["spec"].get("selector"))(labels):
                self._queue.add_after(key, BATCH_S)

    async def sync(self, key: str) -> float | None:
        """Bring a Job forward; return when to look again."""
        job = self._jobs.get(key)
        if job is None:
            return None
        uid = job["metadata"]["uid"]
        known = self._known.get(uid)
        if known is None or known.is_finished or not known.is_ours:
            return None
        if job["spec"].get("completionMode") not in _MODES:
            text = "Skipped Job sync because completion mode is unknown"
            self._recorder.warn(reference_of(JOB, job), "UnknownCompletionMode", text)
            return None
        if _revision(job) < self._written.get(uid, 0):
            # The watch is about to tell of what we wrote, and then it is our turn again.
            return None
        self._book.expire()
        try:
            await self._claims.claim(job)
        except CannotAdopt as error:
            _log.info("%s", error)
            return None
        view = JobView(job, self._book.of(uid), self._pods.get, self._clock.now_s())
        work = JobRound(view, self._rows.get(uid, Row()), self._work, self._recorder)
        writer = _Writer(self._client, key, job)

        async def write(status: JsonObject) -> None:
            await writer.write(status)
            if writer.is_changed and uid in self._known:
                self._written[uid] = _revision(writer.job)
            if uid in self._known:
                self._rows[uid] = work.row

        await work.run(write)
        return None if work.again_s is None else max(BATCH_S, work.again_s)

    async def release_stray(self, key: str) -> None:
        """Take the finalizer from a pod that nobody counts."""
        pod = self._pods.get(key)
        if pod is None or FINALIZER not in (pod["metadata"].get("finalizers") or ()):
            return
        owner = controller_of(pod)
        if owner is not None:
            known = self._known.get(owner.uid)
            if owner.kind != JOB.kind:
                return
            if known is not None and not (known.is_ours and known.is_finished):
                return
        answer = await untrack(self._client, key, pod["metadata"]["uid"])
        if answer is not None:
            self._book.note(answer)


def _revision(obj: JsonObject) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


class _Writer:
    """Writes the status of one Job during one sync, where it has changed."""

    def __init__(self, client: ApiClient, key: str, job: JsonObject) -> None:
        self._client = client
        self._path = f"{JOB.path(key)}/status"
        self._told: JsonObject = job.get("status") or {}
        self.job = job
        self.is_changed = False

    async def write(self, status: JsonObject) -> None:
        """Write a status, unless it is what the Job says already.

        Raises:
            StatusError, Unreachable: it may not have been written.
        """
        if status == self._told:
            return
        self.job = await self._client.request("PUT", self._path, {**self.job, "status": status})
        self.is_changed = True
        # What was sent, not what came back: the caller goes on with that.
        self._told = {**status}

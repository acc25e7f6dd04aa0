"""One sync of one Job: decide, act on its pods, tell and count (syncJob and manageJob).

Invariants: a sync creates or deletes pods, never both; it creates at most PODS_MAX; nothing is
created for a Job that is to end, is suspended or is being deleted.
"""

from __future__ import annotations

from typing import Any, Final

from controllers.jobs import conditions, selection
from controllers.jobs.backoff import Row
from controllers.jobs.job_view import JobView
from controllers.jobs.outcome import completed, outcome
from controllers.jobs.pod_work import Deleted, PodWork
from controllers.jobs.templates import JOB, PodTemplate
from controllers.jobs.tracking import Write, track
from controllers.recorder import Recorder
from controllers.workloads.pod_control import Failure, reference_of
from kube import times
from kube.json_types import JsonObject

PODS_MAX: Final = 500
"""So many pods are created or deleted in one sync, so that other Jobs have their turn."""


class JobRound:
    """See the module's head.

    Args of the constructor:
        view: the Job and its pods.
        row: the failures in a row before this sync.
        work: acts on pods.
        recorder: tells of it.

    Attributes:
        row: the failures in a row as they are now.
        again_s: in how many seconds to look again; None: when something has changed.
    """

    def __init__(self, view: JobView, row: Row, work: PodWork, recorder: Recorder) -> None:
        self._view = view
        self._work = work
        self._recorder = recorder
        self._job = view.job
        self._active = len(view.active)
        self._ready = sum(pod.is_ready for pod in view.active)
        self._terminating = len(view.terminating)
        self._failure: Failure | None = None
        self.again_s: float | None = None
        self.row = row.after(
            [pod.finished_s for pod in view.new_succeeded],
            [pod.finished_s for pod in view.new_failed],
        )

    async def run(self, write: Write) -> None:
        """Do it.

        Args:
            write: writes the Job's status, if it has changed.

        Raises:
            StatusError, Unreachable: something was not done, and is to be tried again.
        """
        view = self._view
        status = self._begin()
        finished = outcome(view)
        if finished is not None:
            deleted = await self._work.delete(self._job, view.active, untracked=False)
            if deleted.total != self._active:
                # It has not ended while a pod runs that nobody has told to stop.
                finished = None
            self._take_off(deleted)
        else:
            self._look_again(view.deadline_s())
            if not view.is_going:
                await self._manage()
            finished = completed(view, self._active)
            if finished is None and not view.is_going:
                self._tell_suspended(status)
        for name, count in (("active", self._active), ("succeeded", status.get("succeeded", 0))):
            if count:
                status[name] = count
            else:
                status.pop(name, None)
        status |= {"ready": self._ready, "terminating": self._terminating}
        final = await track(view, status, finished, self._work, write)
        if final is not None:
            self._tell_end(status, final)
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> JsonObject:
        """Return the status to be told, as far as it is known before anything is done."""
        view = self._view
        status: JsonObject = dict(view.status)
        status["uncountedTerminatedPods"] = dict(status.get("uncountedTerminatedPods") or {})
        if "startTime" not in status and not view.is_suspended:
            status["startTime"] = times.format_seconds(int(view.now_s))
            limit_s = view.spec.get("activeDeadlineSeconds")
            self._look_again(None if limit_s is None else float(limit_s))
        return status

    def _look_again(self, delay_s: float | None) -> None:
        if delay_s is not None:
            self.again_s = delay_s if self.again_s is None else min(self.again_s, delay_s)

    def _take_off(self, deleted: Deleted) -> None:
        self._active -= deleted.total
        self._terminating += deleted.total
        self._ready -= deleted.ready
        self._failure = deleted.failure

    async def _manage(self) -> None:
        """Create or delete pods."""
        view = self._view
        if view.is_suspended:
            surplus = selection.surplus(view, self._active)
        else:
            too_many = max(0, self._active - selection.wanted(view))
            surplus = selection.surplus(view, too_many)[:PODS_MAX]
        if surplus:
            self._take_off(await self._work.delete(self._job, surplus, untracked=True))
        elif not view.is_suspended and (count := selection.missing(view)):
            await self._create(count)

    async def _create(self, count: int) -> None:
        view = self._view
        if view.index_limit is None:
            pause_s = self.row.remaining_s(view.now_s)
            if pause_s > 0:
                self._look_again(pause_s)
                return
        count = min(count, PODS_MAX)
        template = PodTemplate(self._job)
        pods: list[JsonObject]
        if view.is_indexed:
            indexes = self._ready_indexes(selection.pending_indexes(view, count))
            pods = [template.indexed(index, view.next_counts(index)) for index in indexes]
        else:
            pods = [template.pod()] * count
        created, self._failure = await self._work.create(self._job, pods)
        self._active += created

    def _ready_indexes(self, indexes: list[int]) -> list[int]:
        """Return the indexes that need not wait, having failed before."""
        view = self._view
        if view.index_limit is None:
            return indexes
        pauses = {index: selection.index_pause_s(view, index) for index in indexes}
        ready = [index for index, pause_s in pauses.items() if pause_s <= 0]
        if not ready and pauses:
            self._look_again(min(pauses.values()))
        return ready

    def _tell_suspended(self, status: JsonObject) -> None:
        """Set the condition that the Job is suspended, or is not any more, in place."""
        view = self._view
        about = reference_of(JOB, self._job)
        now_s = view.now_s
        if view.is_suspended:
            # It may be scheduled elsewhere meanwhile, which its time of start would forbid.
            status.pop("startTime", None)
            text = "Job suspended"
            made = conditions.new(conditions.SUSPENDED, "JobSuspended", text, now_s)
            if conditions.ensure(status, made):
                self._recorder.note(about, "Suspended", text)
            return
        text = "Job resumed"
        made = conditions.new(conditions.SUSPENDED, "JobResumed", text, now_s, status="False")
        if conditions.ensure(status, made):
            self._recorder.note(about, "Resumed", text)
            # How long it may be active counts from now.
            status["startTime"] = times.format_seconds(int(now_s))

    def _tell_end(self, status: JsonObject, final: Any) -> None:
        about = reference_of(JOB, self._job)
        if final["type"] != conditions.COMPLETE:
            self._recorder.warn(about, final.get("reason", ""), final.get("message", ""))
            return
        completions = self._view.completions
        if completions is not None and status.get("succeeded", 0) > completions:
            text = "Too many succeeded pods running after completion count reached"
            self._recorder.warn(about, "TooManySucceededPods", text)
        self._recorder.note(about, "Completed", "Job completed")

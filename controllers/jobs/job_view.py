"""A Job and its pods at one moment, and what follows from them: pure, nothing is written here.

Which pods count as failed, which indexes are done, how many succeeded: the rules are those of
upstream's job_controller.go and indexed_job_utils.go. By what a Job is to end is in outcome.py,
which pods are to come and go in selection.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from controllers.jobs.intervals import Indexes, parse
from controllers.jobs.job_pods import UNKNOWN, JobPod, JobPods
from controllers.jobs.policies import COUNTED, FAIL_INDEX, Verdict, judge
from controllers.workloads.pods import epoch_s
from kube.json_types import JsonObject


class JobView:
    """See the module's head.

    Args of the constructor:
        job: as the cache has it.
        pods: its pods; what becomes of them later is not looked at.
        fetch: returns a pod, whole, by its key.
        now_s: seconds since the epoch.

    Attributes:
        active, terminating, ended: the pods, see JobPods.
        completions: how many are wanted, None: any will do.
    """

    def __init__(
        self,
        job: JsonObject,
        pods: JobPods,
        fetch: Callable[[str], JsonObject | None],
        now_s: float,
    ) -> None:
        self.job = job
        self.spec: JsonObject = job["spec"]
        self.status: JsonObject = job.get("status") or {}
        self.now_s = now_s
        self.active = list(pods.active.values())
        self.terminating = list(pods.terminating.values())
        self.ended = list(pods.ended.values())
        self.completions: int | None = self.spec.get("completions")
        self.is_indexed = self.spec.get("completionMode") == "Indexed"
        self.is_suspended = bool(self.spec.get("suspend"))
        self.is_going = "deletionTimestamp" in job["metadata"]
        self.index_limit: int | None = (
            self.spec.get("backoffLimitPerIndex") if self.is_indexed else None
        )
        # A pod that is going is replaced, and counts as failed, only when it has ended.
        self.waits_for_end = (
            self.spec.get("podReplacementPolicy") == "Failed"
            or self.spec.get("podFailurePolicy") is not None
        )
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        self.uncounted_succeeded = frozenset(uncounted.get("succeeded") or ())
        self.uncounted_failed = frozenset(uncounted.get("failed") or ())
        self._fetch = fetch
        self._verdicts = pods.verdicts

    def is_failed(self, pod: JobPod) -> bool:
        """Tell whether a pod counts as failed (isPodFailed)."""
        if pod.phase == "Failed":
            return True
        return not self.waits_for_end and pod.is_deleting and pod.phase != "Succeeded"

    def has_index(self, pod: JobPod) -> bool:
        """Tell whether a pod has an index that the Job has."""
        return pod.completion != UNKNOWN and pod.completion < (self.completions or 0)

    def is_countable(self, pod: JobPod) -> bool:
        """Tell whether a pod's end would count and has not been counted for good."""
        return pod.is_tracked and (not self.is_indexed or self.has_index(pod))

    def verdict(self, pod: JobPod) -> Verdict:
        """Return what the failure policy says of a failed pod."""
        policy = self.spec.get("podFailurePolicy")
        if policy is None:
            return COUNTED
        known = self._verdicts.get(pod.key)
        if known is not None and known[0] == pod.revision:
            return known[1]
        whole = self._fetch(pod.key)
        if whole is None or whole["metadata"].get("uid") != pod.uid:
            return COUNTED
        verdict = judge(policy, whole)
        if whole["metadata"].get("resourceVersion") == pod.revision:
            self._verdicts[pod.key] = pod.revision, verdict
        return verdict

    @cached_property
    def failed_pods(self) -> list[JobPod]:
        """All that count as failed."""
        return [pod for pod in (*self.terminating, *self.ended) if self.is_failed(pod)]

    @cached_property
    def new_succeeded(self) -> list[JobPod]:
        """Those that succeeded and are not in the status yet."""
        return [
            pod
            for pod in self.ended
            if pod.phase == "Succeeded"
            and self.is_countable(pod)
            and pod.uid not in self.uncounted_succeeded
        ]

    @cached_property
    def new_failed(self) -> list[JobPod]:
        """Those that failed and are not in the status yet."""
        return [
            pod
            for pod in self.failed_pods
            if self.is_countable(pod) and pod.uid not in self.uncounted_failed
        ]

    @cached_property
    def succeeded_before(self) -> Indexes:
        """The indexes that the status says succeeded."""
        return parse(self.status.get("completedIndexes", ""), self.completions or 0)

    @cached_property
    def succeeded_indexes(self) -> Indexes:
        """Those, and the ones that succeeded since."""
        return self.succeeded_before.with_indexes(
            pod.completion
            for pod in self.ended
            if pod.phase == "Succeeded" and self.is_countable(pod)
        )

    @cached_property
    def failed_indexes(self) -> Indexes | None:
        """The indexes that failed for good; None: indexes have no limits of their own."""
        if self.index_limit is None:
            return None
        before = parse(self.status.get("failedIndexes", ""), self.completions or 0)
        return before.with_indexes(
            pod.completion
            for pod in self.failed_pods
            if self.is_countable(pod) and self._fails_its_index(pod)
        )

    def _fails_its_index(self, pod: JobPod) -> bool:
        verdict = self.verdict(pod)
        assert self.index_limit is not None
        return verdict.action == FAIL_INDEX or (
            verdict.is_counted and pod.failures >= self.index_limit
        )

    @cached_property
    def delayed(self) -> dict[int, JobPod]:
        """The last failed pod of each index that is to be tried again.

        It keeps its finalizer until there is a pod in its place, which takes its counts over.
        """
        if self.index_limit is None or self.failed_indexes is None:
            return {}
        active = {pod.completion for pod in self.active}
        found: dict[int, JobPod] = {}
        for pod in self.failed_pods:
            index = pod.completion
            if not self.is_countable(pod) or index in active:
                continue
            if index in self.succeeded_indexes or index in self.failed_indexes:
                continue
            last = found.get(index)
            if last is None or (
                last.failures + last.ignored <= pod.failures + pod.ignored
                and pod.finished_s >= last.finished_s
            ):
                found[index] = pod
        return found

    def next_counts(self, index: int) -> tuple[int, int] | None:
        """Return the counts of failures for an index's next pod; None: they are not counted."""
        if self.index_limit is None:
            return None
        pod = self.delayed.get(index)
        if pod is None:
            return 0, 0
        is_counted = self.verdict(pod).is_counted
        return pod.failures + is_counted, pod.ignored + (not is_counted)

    @cached_property
    def succeeded(self) -> int:
        """How many succeeded, those not counted for good among them."""
        if self.is_indexed:
            return len(self.succeeded_indexes)
        known: int = self.status.get("succeeded", 0)
        return known + len(self.new_succeeded) + len(self.uncounted_succeeded)

    @cached_property
    def failed(self) -> int:
        """How many failed, without those that a policy ignores."""
        counted = sum(self.verdict(pod).is_counted for pod in self.new_failed)
        known: int = self.status.get("failed", 0)
        return known + counted + len(self.uncounted_failed)

    def deadline_s(self) -> float | None:
        """Return in how many seconds the Job has been active for too long; None: it may."""
        limit_s, start = self.spec.get("activeDeadlineSeconds"), self.status.get("startTime")
        if limit_s is None or start is None or self.is_suspended:
            return None
        left_s: float = epoch_s(start) + limit_s - self.now_s
        return left_s

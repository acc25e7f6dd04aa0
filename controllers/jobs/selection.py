"""Which pods a Job is to have: how many, of which indexes, and which go when there are too many."""

from __future__ import annotations

from controllers.jobs.backoff import Row
from controllers.jobs.job_pods import UNKNOWN, JobPod
from controllers.jobs.job_view import JobView


def wanted(view: JobView) -> int:
    """Return how many pods are to be active."""
    parallelism: int = view.spec.get("parallelism", 1)
    if view.completions is None:
        # After the first success the others may end, but are not replaced.
        return len(view.active) if view.succeeded else parallelism
    return max(0, min(view.completions - view.succeeded, parallelism))


def missing(view: JobView) -> int:
    """Return how many pods are to be created, backoff aside."""
    going = len(view.terminating) if view.waits_for_end else 0
    return max(0, wanted(view) - len(view.active) - going)


def pending_indexes(view: JobView, count: int) -> list[int]:
    """Return the first indexes that need a pod."""
    taken = view.succeeded_indexes.with_indexes(
        pod.completion for pod in view.active if pod.completion != UNKNOWN
    )
    if view.waits_for_end:
        taken = taken.with_indexes(
            pod.completion for pod in view.terminating if pod.completion != UNKNOWN
        )
    if view.failed_indexes:
        taken = taken.merge(view.failed_indexes)
    return taken.first_missing(count, view.completions or 0)


def index_pause_s(view: JobView, index: int) -> float:
    """Return for how long an index that failed is not tried again."""
    pod = view.delayed.get(index)
    if pod is None:
        return 0.0
    return Row(pod.failures + pod.ignored + 1, pod.finished_s).remaining_s(view.now_s)


def surplus(view: JobView, at_least: int) -> list[JobPod]:
    """Return the active pods to delete: those of no use, then the least advanced."""
    if not view.is_indexed:
        return sorted(view.active, key=_rank)[:at_least] if at_least else []
    useless: list[JobPod] = []
    best: dict[int, JobPod] = {}
    for pod in view.active:
        known = best.get(pod.completion)
        if not view.has_index(pod):
            useless.append(pod)
        elif known is None:
            best[pod.completion] = pod
        else:
            # Of several the most advanced stays.
            best[pod.completion] = max(known, pod, key=_rank)
            useless.append(min(known, pod, key=_rank))
    more = at_least - len(useless)
    if more > 0:
        useless += sorted(best.values(), key=_rank)[:more]
    return useless


def _rank(pod: JobPod) -> tuple[object, ...]:
    return pod.rank

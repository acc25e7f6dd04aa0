"""How long a Job waits before it replaces failed pods (backoff_utils.go).

Ten seconds after the first failure in a row, doubled by each further one, ten minutes at most. A
success ends the row. Where each index has a limit of its own, its row is counted by the annotations
of its pods, else in memory: a controller that is started anew begins to count anew, as upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from controllers.workloads.pods import condition_of, epoch_s
from kube.json_types import JsonObject

FIRST_S: Final = 10.0
MOST_S: Final = 600.0


def finished_s(pod: JsonObject) -> int:
    """Return when a pod ended: the last of its containers, or what comes nearest to that."""
    metadata = pod["metadata"]
    ended = _containers_finished_s(pod)
    if ended is not None:
        return ended
    ready = condition_of(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return epoch_s(ready["lastTransitionTime"])
    if "deletionTimestamp" in metadata:
        grace_s = metadata.get("deletionGracePeriodSeconds") or 0
        return epoch_s(metadata["deletionTimestamp"]) - int(grace_s)
    return epoch_s(metadata.get("creationTimestamp"))


def _containers_finished_s(pod: JsonObject) -> int | None:
    status = pod.get("status") or {}
    # Sidecars end after the containers they serve.
    sidecars = {
        one["name"]
        for one in pod["spec"].get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }
    regular = _latest_s(None, status.get("containerStatuses") or (), lambda _name: True)
    statuses = status.get("initContainerStatuses") or ()
    return _latest_s(regular, statuses, sidecars.__contains__)


def _latest_s(
    latest: int | None, statuses: Iterable[JsonObject], counts: Callable[[str], bool]
) -> int | None:
    for one in statuses:
        if not counts(one["name"]):
            continue
        terminated = (one.get("state") or {}).get("terminated")
        if terminated is None or not terminated.get("finishedAt"):
            return None
        ended = epoch_s(terminated["finishedAt"])
        latest = ended if latest is None else max(latest, ended)
    return latest


class Row(NamedTuple):
    """Failures in a row.

    Attributes:
        failures: how many.
        last_s: when the last of them was.
    """

    failures: int = 0
    last_s: int = 0

    def after(self, succeeded_s: Sequence[int], failed_s: Sequence[int]) -> Row:
        """Return the row after pods have ended at these times."""
        if not succeeded_s:
            if not failed_s:
                return self
            return Row(self.failures + len(failed_s), max(failed_s))
        later = [one for one in failed_s if one > max(succeeded_s)]
        return Row(len(later), max(later)) if later else Row()

    def remaining_s(self, now_s: float) -> float:
        """Return how long pods are not replaced yet."""
        if not self.failures:
            return 0.0
        # Beyond seven doublings it is the most anyway.
        pause_s = min(MOST_S, FIRST_S * 2.0 ** min(self.failures - 1, 7))
        return max(0.0, pause_s - (now_s - self.last_s))

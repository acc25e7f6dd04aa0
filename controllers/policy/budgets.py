"""What a PodDisruptionBudget's pods allow (pkg/controller/disruption). Pure, on briefs of pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controllers.workloads.pods import PodBrief
from kube import times
from kube.json_types import JsonObject

DELETION_TIMEOUT_S: Final = 120.0
ALLOWED: Final = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class Disrupted:
    """The pods that were evicted and not yet seen to go.

    Attributes:
        times: when each was, by name, as the API writes it.
        expired: those that should have been gone by now.
        recheck_s: after how long the next should be gone, None: there is none.
    """

    times: dict[str, str]
    expired: tuple[PodBrief, ...]
    recheck_s: float | None


def share_of(value: int | str, total: int) -> int:
    """Return a count, or a percentage of a total, rounded up.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError("invalid type: string is not a percentage")
    return -(-int(value[:-1]) * total // 100)


def needs_scale(spec: JsonObject) -> bool:
    """Tell whether it matters how many pods their owners want."""
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def desired_healthy(spec: JsonObject, expected: int) -> int:
    """Return how many pods must be healthy.

    Args:
        spec: of the budget.
        expected: how many pods there should be.

    Raises:
        ValueError: what the spec says is no number.
    """
    if (most := spec.get("maxUnavailable")) is not None:
        return max(0, expected - share_of(most, expected))
    if (least := spec.get("minAvailable")) is not None:
        return share_of(least, expected)
    return 0


def disrupted_pods(pods: Iterable[PodBrief], noted: Mapping[str, str], now_s: float) -> Disrupted:
    """Return which of the noted evictions still count: of pods that are there, and not for long."""
    kept: dict[str, str] = {}
    expired: list[PodBrief] = []
    recheck_s: float | None = None
    if noted:
        for pod in pods:
            at = noted.get(pod.name)
            if at is None or pod.is_deleting:
                continue
            left_s = times.epoch_seconds(at) + DELETION_TIMEOUT_S - now_s
            if left_s < 0:
                expired.append(pod)
                continue
            kept[pod.name] = at
            recheck_s = left_s if recheck_s is None else min(recheck_s, left_s)
    return Disrupted(kept, tuple(expired), recheck_s)


def count_healthy(pods: Iterable[PodBrief], disrupted: Mapping[str, str], now_s: float) -> int:
    """Return how many pods are ready, and neither going nor about to go."""
    return sum(
        pod.ready_s is not None
        and not pod.is_deleting
        and not _is_about_to_go(disrupted.get(pod.name) if disrupted else None, now_s)
        for pod in pods
    )


def _is_about_to_go(at: str | None, now_s: float) -> bool:
    return at is not None and times.epoch_seconds(at) + DELETION_TIMEOUT_S > now_s


def status_of(
    budget: JsonObject, counts: tuple[int, int, int], disrupted: Mapping[str, str], now: str
) -> JsonObject:
    """Return a budget's status.

    Args:
        budget: as it is.
        counts: healthy, desired and expected pods.
        disrupted: evictions that count.
        now: for the condition, should it change.
    """
    healthy, desired, expected = counts
    # With no pods to be expected nothing is allowed: the first may come before the next sync.
    allowed = max(0, healthy - desired) if expected > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    status: JsonObject = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": generation,
    }
    if disrupted:
        status["disruptedPods"] = dict(disrupted)
    reason = "SufficientPods" if allowed else "InsufficientPods"
    condition = {
        "type": ALLOWED,
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
    }
    known = (budget.get("status") or {}).get("conditions") or []
    status["conditions"] = with_condition(known, condition, now)
    return status


def failed_status(budget: JsonObject, text: str, now: str) -> JsonObject:
    """Return the status of a budget that cannot be counted: nothing is allowed."""
    status = dict(budget.get("status") or {})
    status["disruptionsAllowed"] = 0
    condition = {
        "type": ALLOWED,
        "status": "False",
        "reason": "SyncFailed",
        "message": text,
        "observedGeneration": status.get("observedGeneration", 0),
    }
    status["conditions"] = with_condition(status.get("conditions") or [], condition, now)
    return status


def with_condition(
    conditions: Sequence[JsonObject], condition: JsonObject, now: str
) -> list[JsonObject]:
    """Return conditions with one set: its time changes with its status alone."""
    result, found = [], False
    for one in conditions:
        if one["type"] != condition["type"]:
            result.append(one)
            continue
        found = True
        since = one["lastTransitionTime"] if one["status"] == condition["status"] else now
        result.append({**condition, "lastTransitionTime": since})
    if not found:
        result.append({**condition, "lastTransitionTime": now})
    return result

"""When a DisruptionTarget condition is stale (disruption_test.go, TestStalePodDisruption)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.policy.stale_targets import stale_in_s
from kube import times

NOW_S = 1_800_000_000


def pod(age_s: int, *, phase: str = "Running", **condition: Any) -> dict[str, Any]:
    """Return a pod whose condition is so old."""
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": times.format_seconds(NOW_S - age_s),
        **condition,
    }
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "conditions": [told]}}


@pytest.mark.parametrize(
    ("found", "wanted_s"),
    [
        (pod(150), 0),
        (pod(20), 100),
        (pod(150, status="False"), None),
        (pod(150, reason="TerminationByKubelet"), None),
        (pod(150, phase="Failed"), None),
        (pod(150, phase="Succeeded"), None),
        (pod(150, type="Other"), None),
        ({**pod(150), "metadata": {"name": "p", "deletionTimestamp": "x"}}, None),
    ],
)
def test_a_condition_is_stale_after_two_minutes_unless_the_pod_goes_or_is_over(
    found: dict[str, Any], wanted_s: float | None
) -> None:
    assert stale_in_s(found, NOW_S) == wanted_s

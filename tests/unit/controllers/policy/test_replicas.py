"""How many pods a metric asks for: the tables of replica_calculator_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.policy import replicas
from controllers.policy.metrics import PodMetric
from controllers.policy.replicas import CannotCalculate, Tolerances
from kube import times

NOW_S = 1_800_000_000.0
TOLERANCES = Tolerances()


def pod(number: int, **changes: Any) -> dict[str, Any]:
    """Return a pod that requests a CPU, and has been ready for nearly an hour."""
    state = {"phase": "Running", "ready": "True", "started_s": 3600.0, "changed_s": 3500.0}
    state |= changes
    condition = {
        "type": "Ready",
        "status": state["ready"],
        "lastTransitionTime": times.format_seconds(int(NOW_S - state["changed_s"])),
    }
    metadata: dict[str, Any] = {"name": f"p{number}"}
    if state.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    resources = {"requests": {"cpu": state.get("cpu", "1")}}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {
            "phase": state["phase"],
            "startTime": times.format_seconds(int(NOW_S - state["started_s"])),
            "conditions": [condition],
        },
    }


def by_cpu(
    current: int, target: int, levels: list[int], pods: list[dict[str, Any]] | None = None
) -> tuple[int, int]:
    """Return how many pods a percentage of requested CPU asks for, and the percentage."""
    found = pods if pods is not None else [pod(n) for n in range(current)]
    metrics = {f"p{n}": PodMetric(level, NOW_S) for n, level in enumerate(levels)}
    wanted = ("cpu", "", target)
    made = replicas.by_utilization(current, found, metrics, wanted, (TOLERANCES, NOW_S))
    return made.replicas, made.utilization


@pytest.mark.parametrize(
    ("current", "target", "levels", "wanted"),
    [
        (3, 30, [300, 500, 700], (5, 50)),
        (5, 50, [100, 300, 500, 250, 250], (3, 28)),
        (3, 100, [1010, 1030, 1020], (3, 102)),
        (3, 60, [300, 500, 700], (3, 50)),
        # A pod whose metrics are missing is taken to be against the change.
        (4, 100, [400, 95], (3, 24)),
        (2, 100, [1000], (2, 100)),
        (2, 100, [1900], (2, 190)),
        (2, 100, [600], (2, 60)),
        # With a target of more than all, it uses as much as is wanted.
        (2, 200, [200], (2, 20)),
    ],
)
def test_replicas_follow_the_ratio_of_use_to_target(
    current: int, target: int, levels: list[int], wanted: tuple[int, int]
) -> None:
    assert by_cpu(current, target, levels) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        # Not ready: it uses nothing when more are asked for.
        ([{"ready": "False", "changed_s": 3595.0}, {}, {}], (4, 60)),
        ([{"phase": "Pending"}, {}, {}], (4, 60)),
        # One that has begun only now, its metric older than a window since it is ready.
        ([{"started_s": 60.0, "changed_s": 30.0}, {}, {}], (4, 60)),
        # One that was ready once counts, though it is not now.
        ([{"ready": "False", "changed_s": 100.0}, {}, {}], (5, 50)),
        # Going or over: not there.
        ([{"deleting": True}, {}, {}], (4, 60)),
        ([{"phase": "Failed"}, {}, {}], (4, 60)),
    ],
)
def test_pods_that_do_not_run_well_do_not_count(
    changes: list[dict[str, Any]], wanted: tuple[int, int]
) -> None:
    pods = [pod(n, **one) for n, one in enumerate(changes)]
    assert by_cpu(3, 30, [300, 500, 700], pods) == wanted


def test_pods_that_are_not_ready_are_no_reason_to_scale_down_less() -> None:
    pods = [pod(0, ready="False", changed_s=3595.0), *(pod(n) for n in range(1, 5))]
    assert by_cpu(5, 50, [100, 300, 500, 250, 250], pods) == (3, 32)


def test_tolerances_of_both_directions_are_settings() -> None:
    metrics = {"p0": PodMetric(1050), "p1": PodMetric(1050)}
    pods = [pod(0), pod(1)]
    for tolerances, wanted in ((Tolerances(0.1, 0.1), 2), (Tolerances(0.1, 0.01), 3)):
        made = replicas.by_average(2, pods, dict(metrics), ("memory", 1000), (tolerances, NOW_S))
        assert made.replicas == wanted


@pytest.mark.parametrize(
    ("current", "target", "levels", "wanted"),
    [
        (3, 15000, [20000, 10000, 30000], (4, 20000)),
        (5, 20000, [12000, 12000, 12000, 12000, 12000], (3, 12000)),
        (3, 20000, [20000, 21000, 21000], (3, 20666)),
        (4, 20000, [20000], (4, 20000)),
    ],
)
def test_an_average_value_is_compared_as_it_is(
    current: int, target: int, levels: list[int], wanted: tuple[int, int]
) -> None:
    pods = [pod(n) for n in range(current)]
    metrics = {f"p{n}": PodMetric(level) for n, level in enumerate(levels)}
    made = replicas.by_average(current, pods, metrics, ("", target), (TOLERANCES, NOW_S))
    assert (made.replicas, made.usage) == wanted


@pytest.mark.parametrize(
    ("current", "value", "target", "wanted"),
    [(3, 20000, 15000, 4), (3, 14400, 15000, 3), (0, 2500, 1000, 3), (0, 0, 1000, 0)],
)
def test_one_value_scales_the_pods_that_are_ready(
    current: int, value: int, target: int, wanted: int
) -> None:
    pods = [pod(n) for n in range(current)]
    assert replicas.by_value(current, pods, value, target, TOLERANCES).replicas == wanted


@pytest.mark.parametrize(
    ("there", "value", "target", "wanted"),
    [(3, 20000, 5000, (4, 6667)), (4, 19000, 5000, (4, 4750)), (0, 5000, 1000, (5, 0))],
)
def test_one_value_may_be_shared_by_all_pods(
    there: int, value: int, target: int, wanted: tuple[int, int]
) -> None:
    made = replicas.by_value_per_pod(there, value, target, TOLERANCES)
    assert (made.replicas, made.usage) == wanted


def test_numbers_that_no_object_can_hold_are_cut() -> None:
    huge = replicas.by_value_per_pod(1, replicas.INT64_MAX, 1, TOLERANCES)
    assert huge == (replicas.INT32_MAX, replicas.INT64_MAX, 0)


def test_without_pods_or_metrics_there_is_no_number() -> None:
    with pytest.raises(CannotCalculate, match="no pods returned by selector"):
        by_cpu(1, 30, [100], [])
    with pytest.raises(CannotCalculate, match="did not receive metrics for targeted pods"):
        by_cpu(1, 30, [100], [pod(0, phase="Pending")])


def test_requests_are_those_of_containers_and_sidecars_or_of_the_pod() -> None:
    found = pod(0, cpu="100m")
    found["spec"]["initContainers"] = [
        {"name": "init", "resources": {"requests": {"cpu": "7"}}},
        {
            "name": "side",
            "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "50m"}},
        },
    ]
    assert replicas.requests_of([found], "cpu") == {"p0": 150}
    assert replicas.requests_of([found], "cpu", "side") == {"p0": 50}
    found["spec"]["resources"] = {"requests": {"cpu": "800m"}}
    assert replicas.requests_of([found], "cpu") == {"p0": 800}
    assert replicas.requests_of([found], "cpu", "c") == {"p0": 100}


@pytest.mark.parametrize(
    ("resource", "container", "text"),
    [
        ("memory", "", "missing request for memory in container c of Pod p0"),
        ("cpu", "other", "container other not found in Pod p0"),
    ],
)
def test_a_missing_request_is_named(resource: str, container: str, text: str) -> None:
    with pytest.raises(CannotCalculate) as caught:
        replicas.requests_of([pod(0)], resource, container)
    assert str(caught.value) == text

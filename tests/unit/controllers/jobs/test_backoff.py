"""How long failed pods are not replaced: upstream's tables of backoff_utils_test.go."""

from __future__ import annotations

import pytest

from controllers.jobs.backoff import Row, finished_s
from tests.unit.controllers.jobs.job_objects import NOW_S, Json, pod, stamp


@pytest.mark.parametrize(
    ("before", "succeeded", "failed", "after"),
    [
        (Row(), [], [], Row()),
        (Row(2, 50), [], [], Row(2, 50)),
        (Row(2, 50), [], [60, 70], Row(4, 70)),
        (Row(2, 50), [60], [], Row()),
        (Row(2, 50), [60], [55], Row()),
        (Row(2, 50), [60], [60], Row()),
        (Row(2, 50), [60], [55, 70, 65], Row(2, 70)),
        (Row(2, 50), [60, 80], [70], Row()),
    ],
)
def test_a_success_ends_the_row(
    before: Row, succeeded: list[int], failed: list[int], after: Row
) -> None:
    assert before.after(succeeded, failed) == after


@pytest.mark.parametrize(
    ("failures", "ago_s", "remaining_s"),
    [
        (0, 0, 0),
        (1, 0, 10),
        (1, 4, 6),
        (1, 10, 0),
        (1, 100, 0),
        (2, 0, 20),
        (3, 5, 35),
        (6, 0, 320),
        (7, 0, 600),
        (7, 100, 500),
        (10_000, 0, 600),
    ],
)
def test_the_pause_doubles_up_to_ten_minutes(failures: int, ago_s: int, remaining_s: float) -> None:
    assert Row(failures, NOW_S - ago_s).remaining_s(NOW_S) == remaining_s


def _container(name: str, ago_s: int | None) -> Json:
    ended = {"running": {}} if ago_s is None else {"terminated": {"finishedAt": stamp(ago_s)}}
    return {"name": name, "state": ended}


def test_a_pod_ends_with_the_last_of_its_containers() -> None:
    made = pod("a", "Failed", containerStatuses=[_container("a", 9), _container("b", 7)])
    assert finished_s(made) == NOW_S - 7


def test_a_sidecar_ends_after_its_containers_and_other_init_containers_do_not_count() -> None:
    made = pod(
        "a",
        "Failed",
        containerStatuses=[_container("a", 9)],
        initContainerStatuses=[_container("side", 5), _container("first", 3)],
    )
    made["spec"]["initContainers"] = [
        {"name": "side", "restartPolicy": "Always"},
        {"name": "first"},
    ]
    assert finished_s(made) == NOW_S - 5


def test_without_ended_containers_other_times_are_taken() -> None:
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": stamp(8)}
    running = [_container("a", None)]
    made = pod("a", "Failed", deleting=True, containerStatuses=running, conditions=[ready])
    made["metadata"]["deletionGracePeriodSeconds"] = 30
    assert finished_s(made) == NOW_S - 8
    made["status"]["conditions"] = []
    assert finished_s(made) == NOW_S - 30
    del made["metadata"]["deletionTimestamp"]
    assert finished_s(made) == NOW_S - 60

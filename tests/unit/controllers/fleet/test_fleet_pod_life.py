"""How pods live: phases, conditions, restarts, ends, as a kubelet tells them."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from controllers.fleet.containers import State, backoff_s
from controllers.fleet.lives import Life, unusable
from controllers.fleet.pod_life import NEVER, Condition, Pod, Verdict
from controllers.fleet.pod_status import read_status, status_patch
from controllers.fleet.shapes import full_image_name, shape_of

START = 1_000_000.0


def _pod(life: Life | None = None, **spec: Any) -> Pod:
    spec.setdefault("containers", [{"name": "main", "image": "nginx"}])
    return Pod("ns/p", "uid-1", shape_of(spec), life or Life(), START)


def _status(pod: Pod) -> Any:
    return orjson.loads(status_patch(pod, "127.0.0.1"))["status"]


def _states(status: Any, kind: str = "containerStatuses") -> list[str]:
    found = []
    for one in status[kind]:
        (name,) = one["state"]
        found.append(one["state"][name].get("reason", name))
    return found


def _conditions(status: Any) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


def test_a_pod_whose_steps_take_no_time_runs_and_is_ready_at_once() -> None:
    pod = _pod()
    assert pod.advance(START, 1.0) == NEVER
    status = _status(pod)
    assert (pod.phase, _states(status)) == ("Running", ["running"])
    assert set(_conditions(status).values()) == {"True"}
    (container,) = status["containerStatuses"]
    assert container["image"] == "docker.io/library/nginx:latest"
    assert container["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert container["containerID"].startswith("containerd://")
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)


def test_pulling_starting_and_readiness_take_their_time_one_after_the_other() -> None:
    pod = _pod(Life(pull_s=2, start_s=1, ready_s=4))
    assert pod.advance(START, 1.0) == START + 2
    assert _states(_status(pod)) == ["ContainerCreating"]
    assert pod.advance(START + 2, 1.0) == START + 3
    assert pod.advance(START + 3, 1.0) == START + 7
    status = _status(pod)
    assert (pod.phase, _conditions(status)["Ready"]) == ("Running", "False")
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [main]"
    assert pod.advance(START + 7, 1.0) == NEVER
    assert _conditions(_status(pod))["Ready"] == "True"


def test_a_slow_node_stretches_what_comes_before_readiness() -> None:
    pod = _pod(Life(pull_s=2))
    assert pod.advance(START, 10.0) == START + 20


def test_readiness_waits_for_the_delays_of_probes() -> None:
    probe = {"initialDelaySeconds": 5, "httpGet": {"port": 80}}
    pod = _pod(containers=[{"name": "main", "image": "a", "readinessProbe": probe}])
    assert pod.advance(START, 1.0) == START + 5
    assert _conditions(_status(pod))["ContainersReady"] == "False"
    pod.advance(START + 5, 1.0)
    assert _conditions(_status(pod))["ContainersReady"] == "True"


def test_a_readiness_gate_holds_readiness_but_not_that_of_containers() -> None:
    pod = _pod(readinessGates=[{"conditionType": "example.com/gate"}])
    pod.advance(START, 1.0)
    shown = _conditions(_status(pod))
    assert (shown["Ready"], shown["ContainersReady"]) == ("False", "True")
    pod.gates = frozenset({"example.com/gate"})
    pod.advance(START + 1, 1.0)
    assert _conditions(_status(pod))["Ready"] == "True"


def test_init_containers_run_one_by_one_and_sidecars_beside_the_rest() -> None:
    pod = _pod(
        Life(init_s=2),
        initContainers=[
            {"name": "first", "image": "a"},
            {"name": "side", "image": "a", "restartPolicy": "Always"},
            {"name": "second", "image": "a"},
        ],
    )
    pod.advance(START, 1.0)
    status = _status(pod)
    inits = "initContainerStatuses"
    assert _states(status, inits) == ["running", "PodInitializing", "PodInitializing"]
    assert (pod.phase, _conditions(status)["Initialized"]) == ("Pending", "False")
    pod.advance(START + 2, 1.0)
    assert _states(_status(pod), inits) == ["Completed", "running", "running"]
    pod.advance(START + 4, 1.0)
    status = _status(pod)
    assert _states(status, inits) == ["Completed", "running", "Completed"]
    assert (pod.phase, _conditions(status)["Ready"]) == ("Running", "True")


def test_an_init_container_that_fails_ends_a_pod_that_never_restarts() -> None:
    init = [{"name": "i", "image": "a"}]
    pod = _pod(Life(init_code=2), initContainers=init, restartPolicy="Never")
    pod.advance(START, 1.0)
    assert (pod.phase, _states(_status(pod), "initContainerStatuses")) == ("Failed", ["Error"])
    told = next(one for one in _status(pod)["conditions"] if one["type"] == "Initialized")
    assert (told["status"], told["reason"]) == ("False", "ContainersNotInitialized")
    assert told["message"] == "containers with incomplete status: [i]"
    again = _pod(Life(init_code=2, init_s=1), initContainers=init)
    again.advance(START + 1, 1.0)
    again.advance(START + 2, 1.0)
    assert again.phase == "Pending"
    assert _states(_status(again), "initContainerStatuses") == ["CrashLoopBackOff"]


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, "Running"),
        ("Always", 0, "Running"),
    ],
)
def test_what_an_exit_means_depends_on_the_restart_policy(
    policy: str, code: int, phase: str
) -> None:
    pod = _pod(Life(run_s=1, exit_code=code), restartPolicy=policy)
    pod.advance(START, 1.0)
    pod.advance(START + 1, 1.0)
    assert pod.phase == phase


def test_a_finished_pods_sidecars_end_with_it() -> None:
    side = {"name": "side", "image": "a", "restartPolicy": "Always"}
    pod = _pod(Life(run_s=1), initContainers=[side], restartPolicy="Never")
    pod.advance(START, 1.0)
    pod.advance(START + 1, 1.0)
    assert pod.phase == "Succeeded"
    assert all(one.is_over for one in pod.containers)
    shown = {one["type"]: one.get("reason") for one in _status(pod)["conditions"]}
    assert (shown["Ready"], shown["Initialized"]) == ("PodCompleted", "PodCompleted")


def test_crashes_are_backed_off_as_upstream_does() -> None:
    """At once, then 10 s, doubling to 5 minutes (kubelet's MaxContainerBackOff)."""
    assert [backoff_s(n) for n in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    pod = _pod(Life(run_s=1, exit_code=1))
    now_s, waits = START, []
    for _ in range(60):
        due_s = pod.advance(now_s, 1.0)
        (one,) = pod.containers
        if one.state is State.BACKOFF and one.ended is not None:
            wait_s = round(due_s - one.ended.finished_s)
            if wait_s not in waits:
                waits.append(wait_s)
            if wait_s == 20:
                told = _status(pod)["containerStatuses"][0]
                waiting = told["state"]["waiting"]
                assert waiting["reason"] == "CrashLoopBackOff"
                assert waiting["message"] == (
                    "back-off 20s restarting failed container=main pod=p_ns(uid-1)"
                )
                assert told["lastState"]["terminated"]["exitCode"] == 1
                assert told["restartCount"] == 2
        now_s = due_s
    assert waits == [10, 20, 40, 80, 160, 300]


def test_a_container_that_ran_for_long_is_restarted_at_once() -> None:
    pod = _pod(Life(run_s=700, exit_code=1))
    now_s = START
    for _ in range(5):
        now_s = pod.advance(now_s, 1.0)
    (one,) = pod.containers
    assert one.restarts >= 3
    assert one.state is State.RUNNING


def test_an_image_that_cannot_be_had_is_tried_again_and_again() -> None:
    pod = _pod(Life(pull_failure="ErrImagePull"))
    due_s = pod.advance(START, 1.0)
    assert (pod.phase, _states(_status(pod)), due_s) == ("Pending", ["ErrImagePull"], START + 10)
    due_s = pod.advance(due_s, 1.0)
    assert (_states(_status(pod)), due_s) == (["ImagePullBackOff"], START + 30)


@pytest.mark.parametrize(("wanted_s", "end_s", "code"), [(3, 3, 0), (60, 30, 137)])
def test_a_deleted_pod_ends_within_its_grace(wanted_s: float, end_s: float, code: int) -> None:
    pod = _pod(Life(terminate_s=wanted_s))
    pod.advance(START, 1.0)
    pod.end(START + 100, 30)
    assert pod.advance(START + 100, 1.0) == START + 100 + end_s
    assert pod.phase == "Running"
    pod.advance(START + 100 + end_s, 1.0)
    assert pod.phase == ("Succeeded" if code == 0 else "Failed")
    assert _status(pod)["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_a_shorter_grace_counts_and_a_longer_one_does_not() -> None:
    pod = _pod(Life(terminate_s=60))
    pod.advance(START, 1.0)
    pod.end(START, 30)
    pod.end(START + 1, 5)
    assert pod.advance(START + 1, 1.0) == START + 5
    pod.end(START + 1, 50)
    assert pod.advance(START + 1, 1.0) == START + 5


def test_a_pod_deleted_before_it_ran_has_failed() -> None:
    pod = _pod(Life(pull_s=100))
    pod.advance(START, 1.0)
    pod.end(START + 1, 30)
    pod.advance(START + 1, 1.0)
    assert pod.phase == "Failed"


def test_an_active_deadline_ends_a_pod() -> None:
    pod = _pod(activeDeadlineSeconds=10)
    assert pod.advance(START, 1.0) == START + 10
    pod.advance(START + 10, 1.0)
    assert (pod.phase, _status(pod)["reason"]) == ("Failed", "DeadlineExceeded")


def test_an_evicted_pod_says_why_and_is_a_disruption() -> None:
    pod = _pod()
    pod.advance(START, 1.0)
    pod.fail(Verdict("Evicted", "The node was low on resource.", is_disruption=True), START + 5)
    pod.advance(START + 5, 1.0)
    status = _status(pod)
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert _conditions(status)["DisruptionTarget"] == "True"


@pytest.mark.parametrize("after_s", [0, 1, 1.5, 3, 12, 14, 33])
def test_a_pod_read_back_from_its_status_goes_on_as_if_nothing_had_been(after_s: float) -> None:
    life = Life(run_s=1, exit_code=1)
    pod = _pod(life)
    now_s = START
    while now_s <= START + after_s:
        due_s = pod.advance(now_s, 1.0)
        if due_s > START + after_s:
            break
        now_s = due_s
    other = _pod(life)
    read_status(other, _status(pod), 1.0, now_s)
    other.is_scheduled = True
    pod.advance(START + after_s, 1.0)
    other.advance(START + after_s, 1.0)
    assert _status(other) == _status(pod)
    assert other.advance(START + after_s, 1.0) == pytest.approx(
        pod.advance(START + after_s, 1.0), abs=1.0
    )


def test_readiness_that_was_reached_stays_when_a_fleet_is_started_again() -> None:
    pod = _pod(Life(ready_s=50))
    pod.advance(START, 1.0)
    pod.advance(START + 50, 1.0)
    other = _pod(Life(ready_s=500))
    read_status(other, _status(pod), 1.0, START + 60)
    assert other.advance(START + 60, 1.0) == NEVER
    assert other.conditions[Condition.READY] == pod.conditions[Condition.READY]


def test_a_fleet_that_was_away_for_days_does_not_live_through_them() -> None:
    pod = _pod(Life(run_s=1, exit_code=1))
    pod.advance(START, 1.0)
    due_s = pod.advance(START + 1_000_000, 1.0)
    (one,) = pod.containers
    assert one.restarts <= 2
    assert due_s > START + 1_000_000
    assert not math.isinf(due_s)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
        ("registry.k8s.io/pause", "registry.k8s.io/pause:latest"),
        ("localhost:5000/a@sha256:00", "localhost:5000/a@sha256:00"),
    ],
)
def test_images_are_named_as_a_runtime_names_them(image: str, full: str) -> None:
    assert full_image_name(image) == full


@pytest.mark.parametrize(
    ("image", "is_good"),
    [
        ("nginx", True),
        ("registry.k8s.io/e2e-test-images/agnhost:2.59", True),
        ("localhost:5000/a_b/c--d:V1", True),
        ("repo@sha256:" + "0" * 64, True),
        ("Bad Image", False),
        ("Nginx", False),
        ("nginx:", False),
        ("nginx:a b", False),
    ],
)
def test_an_image_whose_name_is_none_is_told(image: str, *, is_good: bool) -> None:
    shape = shape_of({"containers": [{"name": "main", "image": image}]})
    assert shape.bad_image == ("" if is_good else image)
    life = unusable(Life(), image) if shape.bad_image else Life()
    pod = _pod(life, containers=[{"name": "main", "image": image}])
    pod.advance(START, 1.0)
    reasons = [] if is_good else ["InvalidImageName"]
    assert [one for one in _states(_status(pod)) if one != "running"] == reasons

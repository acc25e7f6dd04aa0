"""What `kubectl get pods` says of a pod."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.printers import printer_for

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S
RESTARTED = "1970-01-12T13:45:40Z"  # 60 s before NOW_S
READY, STATUS, RESTARTS, AGE, IP, NODE, NOMINATED, GATES = range(1, 9)


def container(name: str = "c", **state: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 0, "ready": False, "state": state}


def running(name: str = "c", *, restarts: int = 0) -> dict[str, Any]:
    return container(name, running={}) | {"ready": True, "restartCount": restarts}


def pod(*, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "creationTimestamp": CREATED},
        "spec": {"containers": [{"name": "c", "image": "i"}], **(spec or {})},
        "status": {"phase": "Running", **status},
    }


def cells(obj: dict[str, Any]) -> list[Any]:
    return printer_for("pods").cells(obj, NOW_S)


def with_init(
    *statuses: dict[str, Any], sidecars: tuple[str, ...] = (), **status: Any
) -> dict[str, Any]:
    inits = [
        {"name": item["name"], **({"restartPolicy": "Always"} if item["name"] in sidecars else {})}
        for item in statuses
    ]
    status.setdefault("phase", "Pending")
    return pod(spec={"initContainers": inits}, initContainerStatuses=list(statuses), **status)


DONE = container("done", terminated={"exitCode": 0, "reason": "Completed"})


def test_running_pod_shows_every_column() -> None:
    obj = pod(
        spec={"nodeName": "n1"},
        containerStatuses=[running()],
        podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        nominatedNodeName="n2",
    )
    expected = ["p", "1/1", "Running", "0", "5m", "10.0.0.1", "n1", "n2", "<none>"]
    assert cells(obj) == expected


def test_bare_pod_shows_placeholders() -> None:
    expected = ["", "0/0", "", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"]
    assert cells({"metadata": {}}) == expected


def test_pod_status_is_status_reason_before_phase() -> None:
    assert cells(pod(phase="Failed", reason="Evicted"))[STATUS] == "Evicted"


def test_pod_status_shows_scheduling_gate() -> None:
    gate = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert cells(pod(phase="Pending", conditions=[gate]))[STATUS] == "SchedulingGated"


def test_pod_status_shows_init_progress() -> None:
    assert cells(with_init(DONE, container("two", running={})))[STATUS] == "Init:1/2"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "Init:CrashLoopBackOff"),
        ({"waiting": {"reason": "PodInitializing"}}, "Init:0/1"),
        ({"terminated": {"exitCode": 1, "reason": "Error"}}, "Init:Error"),
        ({"terminated": {"exitCode": 3}}, "Init:ExitCode:3"),
        ({"terminated": {"exitCode": 137, "signal": 9}}, "Init:Signal:9"),
    ],
)
def test_pod_status_shows_why_an_init_container_is_not_done(
    state: dict[str, Any], expected: str
) -> None:
    assert cells(with_init(container("one", **state)))[STATUS] == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"waiting": {}}, "Running"),
        ({"terminated": {"exitCode": 1, "reason": "OOMKilled"}}, "OOMKilled"),
        ({"terminated": {"exitCode": 2}}, "ExitCode:2"),
        ({"terminated": {"exitCode": 0, "signal": 15}}, "Signal:15"),
    ],
)
def test_pod_status_shows_what_a_container_waits_for_or_ended_with(
    state: dict[str, Any], expected: str
) -> None:
    assert cells(pod(containerStatuses=[container(**state)]))[STATUS] == expected


def test_first_container_that_has_something_to_say_decides_the_status() -> None:
    first = container("a", waiting={"reason": "First"})
    second = container("b", waiting={"reason": "Second"})
    assert cells(pod(containerStatuses=[first, second]))[STATUS] == "First"


COMPLETED = container("a", terminated={"exitCode": 0, "reason": "Completed"})
FAILED = container("b", terminated={"exitCode": 1, "reason": "Error"})
IS_READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("statuses", "conditions", "expected"),
    [
        ([COMPLETED, running("b")], IS_READY, "Running"),
        ([COMPLETED, running("b")], [], "NotReady"),
        ([COMPLETED, FAILED], [], "Error"),
        ([COMPLETED], [], "Completed"),
    ],
)
def test_one_completed_container_does_not_complete_the_pod(
    statuses: list[Any], conditions: list[Any], expected: str
) -> None:
    assert cells(pod(containerStatuses=statuses, conditions=conditions))[STATUS] == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running"}, "Terminating"),
        ({"phase": "Succeeded"}, "Succeeded"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
    ],
)
def test_deleted_pod_is_terminating_unless_it_has_ended_or_its_node_is_lost(
    status: dict[str, Any], expected: str
) -> None:
    obj = pod(**status)
    obj["metadata"]["deletionTimestamp"] = CREATED
    assert cells(obj)[STATUS] == expected


def test_restarts_tell_when_the_last_one_was() -> None:
    earlier = running("a", restarts=2)
    earlier["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": CREATED}}
    later = running("b", restarts=1)
    later["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": RESTARTED}}
    assert cells(pod(containerStatuses=[earlier, later]))[RESTARTS] == "3 (60s ago)"


def test_restarts_of_ordinary_init_containers_stop_counting_once_they_are_done() -> None:
    restarted = DONE | {"restartCount": 4}
    assert cells(with_init(restarted, container("two", running={})))[RESTARTS] == "4"
    obj = with_init(restarted, phase="Running", containerStatuses=[running(restarts=1)])
    assert cells(obj)[RESTARTS] == "1"


def test_sidecars_count_as_containers() -> None:
    sidecar = running("side", restarts=2) | {"started": True}
    obj = with_init(
        DONE, sidecar, sidecars=("side",), phase="Running", containerStatuses=[running()]
    )
    assert cells(obj)[READY : RESTARTS + 1] == ["2/2", "Running", "2"]


def test_sidecar_that_has_not_started_holds_initialisation_up() -> None:
    obj = with_init(container("side", running={}), sidecars=("side",))
    assert cells(obj)[READY : STATUS + 1] == ["0/2", "Init:0/1"]


def test_initialized_pod_reads_containers_even_if_a_sidecar_fails() -> None:
    broken = container("side", waiting={"reason": "CrashLoopBackOff"})
    conditions = [{"type": "Initialized", "status": "True"}]
    obj = with_init(
        broken, sidecars=("side",), conditions=conditions, containerStatuses=[running()]
    )
    assert cells(obj)[READY : STATUS + 1] == ["1/2", "Init:CrashLoopBackOff"]


def test_readiness_gates_count_true_conditions() -> None:
    gates = [{"conditionType": "a"}, {"conditionType": "b"}]
    conditions = [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}]
    obj = pod(spec={"readinessGates": gates}, conditions=conditions)
    assert cells(obj)[GATES] == "1/2"


def test_rows_of_ended_pods_are_marked_completed() -> None:
    conditions = printer_for("pods").conditions
    assert conditions is not None
    assert conditions(pod()) is None
    ended = conditions(pod(phase="Failed"))
    assert ended is not None
    assert ended[0].items() >= {"type": "Completed", "status": "True", "reason": "Failed"}.items()

"""The scheduler against a real cluster: who is bound where, who is told why not, who has to go.

Nodes are made by the tests, and taken away by them, as all share one cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster, run_cluster

WAIT_S = 20.0
_POLL_S = 0.03


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a scheduler."""
    settings = {"supervisor": {"without": []}}
    with run_cluster(tmp_path_factory.mktemp("scheduled"), settings) as running:
        running.wait_started()
        yield running


@pytest.fixture(autouse=True)
def _no_nodes(cluster: Cluster) -> Iterator[None]:
    """Leave no nodes and no pods behind."""
    yield
    cluster.call("DELETE", "/api/v1/namespaces/default/pods?gracePeriodSeconds=0")
    cluster.call("DELETE", "/api/v1/nodes")


def make_node(cluster: Cluster, name: str, *, cpu: str = "4", **more: Any) -> None:
    """Create a node."""
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "10"}
    node = {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})},
        },
        "spec": {"taints": more.get("taints", [])},
    }
    answer = cluster.call("POST", "/api/v1/nodes", node)
    assert answer.code == 201, answer.body
    # What a node has is its status; its taint goes when it is ready.
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": allocatable, "capacity": allocatable, "conditions": [ready]}
    answer = cluster.call(
        "PATCH",
        f"/api/v1/nodes/{name}/status",
        {"status": status},
        content_type="application/merge-patch+json",
    )
    assert answer.code == 200, answer.body


def make_pod(cluster: Cluster, name: str, *, cpu: str = "1", **spec: Any) -> dict[str, Any]:
    """Create a pod in namespace default."""
    labels = spec.pop("labels", {"app": "a"})
    pod = {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}],
            **spec,
        },
    }
    answer = cluster.call("POST", "/api/v1/namespaces/default/pods", pod)
    assert answer.code == 201, answer.body
    return dict(answer.json)


def wait_pod(cluster: Cluster, name: str, is_so: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return a pod once something is so."""
    deadline_s = time.monotonic() + WAIT_S
    pod: dict[str, Any] = {}
    while time.monotonic() < deadline_s:
        answer = cluster.call("GET", f"/api/v1/namespaces/default/pods/{name}")
        pod = answer.json
        if answer.code == 200 and is_so(pod):
            return pod
        time.sleep(_POLL_S)
    raise AssertionError(f"{pod}\n{cluster.logs()}")


def is_bound(pod: dict[str, Any]) -> bool:
    """Tell whether a pod has a node."""
    return bool(pod["spec"].get("nodeName"))


def why_not(pod: dict[str, Any]) -> str:
    """Return what the condition says of a pod without a node."""
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            assert condition["reason"] == "Unschedulable"
            return str(condition["message"])
    return ""


def events_of(cluster: Cluster, name: str) -> list[tuple[str, str]]:
    """Return reasons and messages of what was told of a pod."""
    listed = cluster.call("GET", "/api/v1/namespaces/default/events").json["items"]
    return [
        (one["reason"], one["message"]) for one in listed if one["involvedObject"]["name"] == name
    ]


def test_a_pod_is_bound_and_told(cluster: Cluster) -> None:
    make_node(cluster, "n1")
    make_pod(cluster, "p1")
    pod = wait_pod(cluster, "p1", is_bound)
    assert pod["spec"]["nodeName"] == "n1"
    assert {"type": "PodScheduled", "status": "True"}.items() <= pod["status"]["conditions"][
        0
    ].items()
    deadline_s = time.monotonic() + WAIT_S
    told = ("Scheduled", "Successfully assigned default/p1 to n1")
    while told not in events_of(cluster, "p1"):
        assert time.monotonic() < deadline_s
        time.sleep(_POLL_S)


def test_a_pod_without_a_node_is_told_why_and_bound_once_there_is_one(cluster: Cluster) -> None:
    make_node(cluster, "small", cpu="1")
    make_node(cluster, "tainted", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    make_pod(cluster, "p1", cpu="2")
    pod = wait_pod(cluster, "p1", why_not)
    assert why_not(pod) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    make_node(cluster, "large")
    assert wait_pod(cluster, "p1", is_bound)["spec"]["nodeName"] == "large"


def test_a_node_that_loses_its_taint_is_taken(cluster: Cluster) -> None:
    make_node(cluster, "n1", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    make_pod(cluster, "tolerant", tolerations=[{"key": "k", "operator": "Exists"}])
    make_pod(cluster, "plain")
    wait_pod(cluster, "tolerant", is_bound)
    wait_pod(cluster, "plain", why_not)
    patch = {"spec": {"taints": None}}
    kind = "application/merge-patch+json"
    assert cluster.call("PATCH", "/api/v1/nodes/n1", patch, content_type=kind).code == 200
    wait_pod(cluster, "plain", is_bound)


def test_room_that_a_deleted_pod_leaves_is_taken(cluster: Cluster) -> None:
    make_node(cluster, "n1")
    make_pod(cluster, "first", cpu="3")
    wait_pod(cluster, "first", is_bound)
    make_pod(cluster, "second", cpu="3")
    wait_pod(cluster, "second", why_not)
    cluster.call("DELETE", "/api/v1/namespaces/default/pods/first")
    wait_pod(cluster, "second", is_bound)


def test_a_gated_pod_waits_until_its_gates_are_gone(cluster: Cluster) -> None:
    make_node(cluster, "n1")
    make_pod(cluster, "gated", schedulingGates=[{"name": "example.com/wait"}])
    make_pod(cluster, "free")
    wait_pod(cluster, "free", is_bound)
    gated = cluster.call("GET", "/api/v1/namespaces/default/pods/gated").json
    assert not is_bound(gated)
    gated["spec"]["schedulingGates"] = []
    assert cluster.call("PUT", "/api/v1/namespaces/default/pods/gated", gated).code == 200
    wait_pod(cluster, "gated", is_bound)


def test_pods_of_another_scheduler_are_left_alone(cluster: Cluster) -> None:
    make_node(cluster, "n1")
    make_pod(cluster, "theirs", schedulerName="another")
    make_pod(cluster, "ours")
    wait_pod(cluster, "ours", is_bound)
    theirs = cluster.call("GET", "/api/v1/namespaces/default/pods/theirs").json
    assert not is_bound(theirs)
    assert not why_not(theirs)


def test_affinity_and_spreading_hold_among_pods_made_at_once(cluster: Cluster) -> None:
    for number in range(4):
        make_node(cluster, f"n{number}", labels={"zone": "xy"[number % 2]})
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "apart"}},
                }
            ]
        }
    }
    for number in range(5):
        make_pod(cluster, f"apart-{number}", cpu="100m", affinity=apart, labels={"app": "apart"})
    for number in range(4):
        spread = [
            {
                "topologyKey": "zone",
                "maxSkew": 1,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "spread"}},
            }
        ]
        make_pod(
            cluster,
            f"spread-{number}",
            cpu="100m",
            topologySpreadConstraints=spread,
            labels={"app": "spread"},
        )
    zones = [
        wait_pod(cluster, f"spread-{n}", is_bound)["spec"]["nodeName"] in ("n0", "n2")
        for n in range(4)
    ]
    assert sorted(zones) == [False, False, True, True]
    listed = cluster.call("GET", "/api/v1/namespaces/default/pods?labelSelector=app=apart").json
    left = [pod["metadata"]["name"] for pod in listed["items"] if not is_bound(pod)]
    for name in left[1:]:
        wait_pod(cluster, name, is_bound)
    last = wait_pod(cluster, "apart-4", why_not)
    assert "4 node(s) didn't match pod anti-affinity rules" in why_not(last)
    listed = cluster.call("GET", "/api/v1/namespaces/default/pods?labelSelector=app=apart").json
    places = [pod["spec"]["nodeName"] for pod in listed["items"] if is_bound(pod)]
    assert sorted(places) == ["n0", "n1", "n2", "n3"]


def test_a_more_important_pod_takes_the_place_of_the_least_important(cluster: Cluster) -> None:
    for name, value in (("low", 10), ("high", 1000)):
        body = {"metadata": {"name": name}, "value": value}
        path = "/apis/scheduling.k8s.io/v1/priorityclasses"
        assert cluster.call("POST", path, body).code in (201, 409)
    make_node(cluster, "n1")
    make_node(cluster, "n2")
    make_pod(cluster, "low", cpu="4", priority=10, priorityClassName="low")
    wait_pod(cluster, "low", is_bound)
    make_pod(cluster, "lowest", cpu="4")
    wait_pod(cluster, "lowest", is_bound)
    make_pod(cluster, "high", cpu="4", priority=1000, priorityClassName="high")
    pod = wait_pod(cluster, "high", is_bound)
    assert "nominatedNodeName" not in pod["status"]
    assert cluster.call("GET", "/api/v1/namespaces/default/pods/lowest").code == 404
    assert is_bound(cluster.call("GET", "/api/v1/namespaces/default/pods/low").json)
    assert "Preempted" in dict(events_of(cluster, "lowest"))


def test_a_scheduler_killed_in_the_middle_is_followed_by_one_that_binds_the_rest(
    cluster: Cluster,
) -> None:
    for number in range(20):
        make_node(cluster, f"n{number:02}")
    for number in range(80):
        make_pod(cluster, f"p{number}", cpu="1")
        if number in (20, 60):
            cluster.kill("scheduler")
    deadline_s = time.monotonic() + 2 * WAIT_S
    pods: list[dict[str, Any]] = []
    while time.monotonic() < deadline_s:
        pods = cluster.call("GET", "/api/v1/namespaces/default/pods").json["items"]
        if all(is_bound(pod) for pod in pods):
            break
        time.sleep(_POLL_S)
    places = [pod["spec"].get("nodeName") for pod in pods]
    assert len(places) == 80
    # As many cpus as there are: each node has exactly what it can hold.
    assert all(places.count(f"n{number:02}") == 4 for number in range(20)), places

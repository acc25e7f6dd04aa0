"""Simulated nodes in a cluster of their own: pods live on them, kubectl finds what it asks for."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.cluster import HOST, Cluster, free_port, run_cluster

_WAIT_S = 20.0
_OWN = "fleet.ultraplane.dev/"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_numbers = itertools.count(1)
kubectl = pytest.mark.kubectl


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with four simulated nodes, one of them with accelerators."""
    templates = [{"name": "node", "weight": 3}, {"name": "gpu", "instance_type": "gpu-8"}]
    settings = {"fleet": {"nodes": 4, "templates": templates, "lease_interval_s": 0.5}}
    with run_cluster(tmp_path_factory.mktemp("fleet"), settings) as running:
        _until(lambda: _ready(running) == {"node-0", "node-1", "node-2", "gpu-0"})
        yield running


@pytest.fixture
def place(fleet: Cluster) -> str:
    """The path of the pods of a namespace of this test's own."""
    name = f"test-{next(_numbers)}"
    assert fleet.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    _until(lambda: fleet.call("GET", account).code == 200)
    return f"/api/v1/namespaces/{name}/pods"


def _until(is_so: Callable[[], Any], wait_s: float = _WAIT_S) -> Any:
    deadline_s = time.monotonic() + wait_s
    while not (found := is_so()):
        assert time.monotonic() < deadline_s, "it did not become so"
        time.sleep(0.05)
    return found


def _ready(cluster: Cluster) -> set[str]:
    nodes = cluster.call("GET", "/api/v1/nodes").json["items"]
    return {one["metadata"]["name"] for one in nodes if _condition(one, "Ready") == "True"}


def _condition(obj: Any, kind: str) -> str:
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == kind:
            return str(one["status"])
    return ""


def _make(
    cluster: Cluster,
    place: str,
    name: str,
    *,
    node: str = "node-0",
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Any:
    own = {_OWN + key: text for key, text in (annotations or {}).items()}
    whole = {
        "nodeName": node,
        "containers": [{"name": "main", "image": "nginx"}],
        "automountServiceAccountToken": False,
        **spec,
    }
    obj = {"metadata": {"name": name, "annotations": own}, "spec": whole}
    answer = cluster.call("POST", place, obj)
    assert answer.code == 201, answer.body
    return answer.json


def _get(cluster: Cluster, path: str) -> Any:
    answer = cluster.call("GET", path)
    return answer.json if answer.code == 200 else {}


def _phase(cluster: Cluster, path: str) -> str:
    return str((_get(cluster, path).get("status") or {}).get("phase", "gone"))


def _annotate(cluster: Cluster, node: str, **annotations: str | None) -> None:
    own = {_OWN + key: text for key, text in annotations.items()}
    patch = {"metadata": {"annotations": own}}
    path = f"/api/v1/nodes/{node}"
    answer = cluster.call("PATCH", path, patch, content_type="application/merge-patch+json")
    assert answer.code == 200, answer.body


def test_nodes_are_registered_as_kubelets_do_and_renew_their_leases(fleet: Cluster) -> None:
    node = _get(fleet, "/api/v1/nodes/gpu-0")
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "gpu-8"
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "8"
    assert _condition(node, "AcceleratedHardwareReady") == "True"
    assert node["spec"]["podCIDR"].startswith("10.128.")
    lease = _get(fleet, f"{_LEASES}/gpu-0")
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    assert lease["spec"]["holderIdentity"] == "gpu-0"
    before = lease["spec"]["renewTime"]
    _until(lambda: _get(fleet, f"{_LEASES}/gpu-0")["spec"]["renewTime"] > before)


def test_a_bound_pod_runs_and_says_so_as_a_kubelet(fleet: Cluster, place: str) -> None:
    made = _make(fleet, place, "p")
    _until(lambda: _condition(_get(fleet, f"{place}/p"), "Ready") == "True")
    pod = _get(fleet, f"{place}/p")
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["hostIP"] == HOST
    assert status["podIP"].startswith("10.128.")
    assert status["qosClass"] == made["status"]["qosClass"]
    kinds = {one["type"] for one in status["conditions"]}
    assert kinds == {
        *("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    }
    (manager,) = [m for m in pod["metadata"]["managedFields"] if m.get("subresource") == "status"]
    assert manager["manager"] == "kubelet"


def test_a_pod_made_ready_late_loses_the_reason_it_was_not(fleet: Cluster, place: str) -> None:
    _make(fleet, place, "p", annotations={"ready": "1s"})
    _until(lambda: _phase(fleet, f"{place}/p") == "Running")
    _until(lambda: _condition(_get(fleet, f"{place}/p"), "Ready") == "True")
    for one in _get(fleet, f"{place}/p")["status"]["conditions"]:
        assert not one.get("reason"), one


def test_a_job_of_pods_that_exit_is_done_and_one_that_fails_tells_its_code(
    fleet: Cluster, place: str
) -> None:
    _make(fleet, place, "well", annotations={"run": "300ms"}, restartPolicy="Never")
    own = {"run": "300ms", "exit-code": "7"}
    _make(fleet, place, "ill", annotations=own, restartPolicy="Never")
    _until(lambda: _phase(fleet, f"{place}/well") == "Succeeded")
    _until(lambda: _phase(fleet, f"{place}/ill") == "Failed")
    (container,) = _get(fleet, f"{place}/ill")["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 7


def test_a_deleted_pod_takes_its_time_within_its_grace_and_goes(fleet: Cluster, place: str) -> None:
    _make(fleet, place, "slow", annotations={"terminate": "60s"})
    _make(fleet, place, "quick")
    for name in ("slow", "quick"):
        _until(lambda name=name: _phase(fleet, f"{place}/{name}") == "Running")
    started_s = time.monotonic()
    fleet.call("DELETE", f"{place}/slow", {"gracePeriodSeconds": 2})
    fleet.call("DELETE", f"{place}/quick")
    _until(lambda: _phase(fleet, f"{place}/quick") == "gone")
    assert time.monotonic() - started_s < 2
    _until(lambda: _phase(fleet, f"{place}/slow") == "gone")
    assert time.monotonic() - started_s > 1


def test_a_finalizer_of_others_holds_a_pod_that_has_ended(fleet: Cluster, place: str) -> None:
    _make(fleet, place, "p")
    path = f"{place}/p"
    merge = "application/merge-patch+json"
    finalizer = {"metadata": {"finalizers": ["example.com/x"]}}
    assert fleet.call("PATCH", path, finalizer, content_type=merge).code == 200
    _until(lambda: _phase(fleet, path) == "Running")
    fleet.call("DELETE", path)
    _until(lambda: _phase(fleet, path) == "Succeeded")
    none = {"metadata": {"finalizers": None}}
    assert fleet.call("PATCH", path, none, content_type=merge).code == 200
    _until(lambda: _phase(fleet, path) == "gone")


def test_a_lost_node_is_silent_and_catches_up_when_it_is_back(fleet: Cluster, place: str) -> None:
    _make(fleet, place, "old", node="node-1")
    _until(lambda: _phase(fleet, f"{place}/old") == "Running")
    _annotate(fleet, "node-1", fault="lost")
    lease = f"{_LEASES}/node-1"

    def is_silent() -> bool:
        before = _get(fleet, lease)["spec"]["renewTime"]
        time.sleep(1.2)
        return bool(_get(fleet, lease)["spec"]["renewTime"] == before)

    _until(is_silent)
    _make(fleet, place, "new", node="node-1")
    fleet.call("DELETE", f"{place}/old", {"gracePeriodSeconds": 1})
    time.sleep(1.5)
    assert _phase(fleet, f"{place}/new") == "Pending"
    assert _phase(fleet, f"{place}/old") == "Running"
    _annotate(fleet, "node-1", fault=None)
    _until(lambda: _phase(fleet, f"{place}/new") == "Running")
    _until(lambda: _phase(fleet, f"{place}/old") == "gone")
    assert not is_silent()


def test_a_node_of_which_others_say_that_it_is_unknown_says_that_it_is_ready(
    fleet: Cluster,
) -> None:
    """As when its Lease was late; a kubelet looks at its Node with each heartbeat."""
    path = "/api/v1/nodes/node-1"
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    foreign = {"type": "NetworkUnavailable", "status": "True", "reason": "NoRouteCreated"}
    patch = {"status": {"conditions": [ready, foreign]}}
    kind = "application/strategic-merge-patch+json"
    answer = fleet.call("PATCH", f"{path}/status", patch, content_type=kind)
    assert answer.code == 200, answer.body
    assert _condition(answer.json, "Ready") == "Unknown"
    _until(lambda: _condition(_get(fleet, path), "Ready") == "True")
    assert _condition(_get(fleet, path), "NetworkUnavailable") == "True"

    def is_left_alone() -> bool:
        before = _get(fleet, path)["metadata"]["resourceVersion"]
        time.sleep(1.5)
        return bool(_get(fleet, path)["metadata"]["resourceVersion"] == before)

    _until(is_left_alone)
    foreign["status"] = "False"
    fleet.call("PATCH", f"{path}/status", {"status": {"conditions": [foreign]}}, content_type=kind)


def test_a_pod_of_which_others_say_that_it_is_not_ready_says_that_it_is(
    fleet: Cluster, place: str
) -> None:
    """As the node lifecycle does of pods on a node that was silent for too long."""
    _make(fleet, place, "p")
    _until(lambda: _condition(_get(fleet, f"{place}/p"), "Ready") == "True")
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    kind = "application/strategic-merge-patch+json"
    answer = fleet.call("PATCH", f"{place}/p/status", patch, content_type=kind)
    assert _condition(answer.json, "Ready") == "False"
    _until(lambda: _condition(_get(fleet, f"{place}/p"), "Ready") == "True")


def test_faults_are_conditions_and_disk_pressure_turns_pods_away(
    fleet: Cluster, place: str
) -> None:
    _make(fleet, place, "present", node="gpu-0")
    _until(lambda: _phase(fleet, f"{place}/present") == "Running")
    _annotate(fleet, "gpu-0", fault="disk-pressure,accelerator-error")
    path = "/api/v1/nodes/gpu-0"
    _until(lambda: _condition(_get(fleet, path), "DiskPressure") == "True")
    assert _condition(_get(fleet, path), "AcceleratedHardwareReady") == "False"
    _make(fleet, place, "late", node="gpu-0")
    _until(lambda: _phase(fleet, f"{place}/late") == "Failed")
    status = _get(fleet, f"{place}/late")["status"]
    assert status["reason"] == "Evicted"
    assert status["message"] == "The node had condition: [DiskPressure]. "
    # The eviction manager takes one after ten seconds.
    _until(lambda: _phase(fleet, f"{place}/present") == "Failed")
    pod = _get(fleet, f"{place}/present")
    assert _condition(pod, "DisruptionTarget") == "True"
    _annotate(fleet, "gpu-0", fault=None)
    _until(lambda: _condition(_get(fleet, path), "DiskPressure") == "False")


def test_a_node_made_with_the_label_is_taken_over_with_pods_bound_before(
    fleet: Cluster, place: str
) -> None:
    name = f"made-{next(_numbers)}"
    _make(fleet, place, "early", node=name)
    labels = {f"{_OWN}template": "node", "node.kubernetes.io/instance-type": "standard-4"}
    obj = {"metadata": {"name": name, "labels": labels}}
    assert fleet.call("POST", "/api/v1/nodes", obj).code == 201
    _until(lambda: name in _ready(fleet))
    assert _get(fleet, f"/api/v1/nodes/{name}")["status"]["capacity"]["cpu"] == "4"
    _until(lambda: _phase(fleet, f"{place}/early") == "Running")
    fleet.call("DELETE", f"/api/v1/nodes/{name}")
    _until(lambda: not _get(fleet, f"{_LEASES}/{name}"))


def test_a_fleet_that_is_killed_goes_on_where_the_api_says_its_pods_are(
    fleet: Cluster, place: str
) -> None:
    _make(fleet, place, "exits", annotations={"run": "4s"}, restartPolicy="Never")
    _make(fleet, place, "crashes", annotations={"run": "500ms", "exit-code": "1"})
    _make(fleet, place, "stays")
    _make(fleet, place, "goes", annotations={"terminate": "60s"})

    def restarts() -> int:
        statuses = _get(fleet, f"{place}/crashes")["status"].get("containerStatuses")
        return int(statuses[0]["restartCount"]) if statuses else -1

    _until(lambda: _phase(fleet, f"{place}/stays") == "Running")
    _until(lambda: restarts() == 1)
    before = _get(fleet, f"{place}/stays")
    fleet.call("DELETE", f"{place}/goes", {"gracePeriodSeconds": 3})
    fleet.kill("fleet")
    _make(fleet, place, "meanwhile")
    _until(lambda: _phase(fleet, f"{place}/meanwhile") == "Running")
    _until(lambda: _phase(fleet, f"{place}/exits") == "Succeeded")
    _until(lambda: _phase(fleet, f"{place}/goes") == "gone")
    after = _get(fleet, f"{place}/stays")
    # Nothing is written of a pod to which nothing has happened.
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert restarts() >= 1
    _until(lambda: restarts() == 2)
    taken = {_get(fleet, f"{place}/{name}")["status"]["podIP"] for name in ("stays", "meanwhile")}
    assert len(taken) == 2


def test_stages_are_a_type_that_the_fleet_makes(fleet: Cluster) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/stages.{_OWN[:-1]}"
    assert _until(lambda: _get(fleet, path))["spec"]["names"]["kind"] == "Stage"


@kubectl
def test_kubectl_reads_logs_runs_commands_and_tells_what_is_used(
    fleet: Cluster, place: str
) -> None:
    namespace = place.split("/")[-2]
    own = {"run": "1s", "exit-code": "3"}
    _make(fleet, place, "p")
    _make(fleet, place, "crashed", annotations=own)
    _until(lambda: _phase(fleet, f"{place}/p") == "Running")

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return fleet.kubectl("-n", namespace, *arguments, stdin=stdin, check=False)

    assert "started from docker.io/library/nginx:latest" in run("logs", "p").stdout
    assert run("exec", "p", "--", "hostname").stdout == "p\n"
    assert run("exec", "-i", "p", "--", "cat", stdin="hello\n").stdout == "hello\n"
    large = "0123456789abcde\n" * 20_000
    assert run("exec", "-i", "p", "--", "cat", stdin=large).stdout == large
    failed = run("exec", "p", "--", "sh", "-c", "exit 3")
    assert failed.returncode == 3
    assert run("exec", "p", "--", "nothing").returncode == 127
    _until(lambda: "exits with code 3" in run("logs", "crashed", "--previous").stdout)
    _until(lambda: "node-0" in run("top", "nodes").stdout)
    assert "p " in run("top", "pods").stdout
    assert run("logs", "p", "--previous").returncode != 0


@kubectl
def test_kubectl_forwards_ports(fleet: Cluster, place: str) -> None:
    namespace, port = place.split("/")[-2], free_port()
    _make(fleet, place, "p")
    _until(lambda: _phase(fleet, f"{place}/p") == "Running")
    command = ["kubectl", "-n", namespace, "port-forward", "p", f"{port}:80"]
    environment = {**os.environ, "KUBECONFIG": str(fleet.kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert b"Forwarding" in child.stdout.readline()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            for _ in range(3):
                with opener.open(f"http://{HOST}:{port}/", timeout=_WAIT_S) as answer:
                    assert f"{namespace}/p" in answer.read().decode()
        finally:
            child.send_signal(signal.SIGTERM)


def test_only_the_api_server_may_ask_a_node(fleet: Cluster) -> None:
    node = _get(fleet, "/api/v1/nodes/node-0")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    answer = fleet.call("GET", "/api/v1/nodes/node-0/proxy/healthz")
    assert (answer.code, answer.body) == (200, b"ok")
    assert fleet.call("GET", "/api/v1/nodes/node-0/proxy/run/everything").code == 404
    result = subprocess.run(
        ["curl", "-sk", "--noproxy", "*", f"https://{HOST}:{port}/healthz"],
        capture_output=True,
        timeout=_WAIT_S,
        check=False,
    )
    assert result.returncode != 0
    assert not result.stdout

"""Nodes that are lost and found, on a cluster whose grace periods are short."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.cluster import Cluster, run_cluster

PATIENCE_S = 30.0
GRACE_S = 1.5
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
UNREACHABLE = "node.kubernetes.io/unreachable"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that loses nodes fast."""
    settings = {
        "controllers": {
            "cluster_cidr": "10.0.0.0/8",
            "node_cidr_mask_size_ipv4": 28,
            "node_monitor_period_s": 0.2,
            "node_monitor_grace_period_s": GRACE_S,
            "node_startup_grace_period_s": 600,
            "node_eviction_rate": 50,
        }
    }
    with run_cluster(tmp_path_factory.mktemp("short"), settings) as running:
        yield running


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` gives once it is something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


class Kubelets:
    """Renews leases of nodes, as long as it is told to."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._alive: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, name: str, **labels: str) -> None:
        """Make a node, ready, with a lease."""
        node = {"metadata": {"name": name, "labels": labels}}
        answer = self._cluster.call("POST", NODES, node)
        assert answer.code == 201, answer.body
        lease = {"metadata": {"name": name}, "spec": {"renewTime": _now(), "holderIdentity": name}}
        assert self._cluster.call("POST", LEASES, lease).code == 201
        self._alive.add(name)
        self.post_ready(name)

    def post_ready(self, name: str) -> None:
        """Write that a node is ready."""
        now = f"{_now()[:19]}Z"
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        answer = self._cluster.call(
            "PATCH",
            f"{NODES}/{name}/status",
            {"status": {"conditions": [ready]}},
            content_type="application/strategic-merge-patch+json",
        )
        assert answer.code == 200, answer.body

    def silence(self, name: str) -> None:
        """Say nothing of a node any more."""
        self._alive.discard(name)

    def revive(self, name: str) -> None:
        """Have a node speak again."""
        self._alive.add(name)
        self.post_ready(name)

    def leave(self) -> None:
        """Delete all nodes and leases, and end."""
        self._stop.set()
        self._thread.join()
        for path in (NODES, LEASES):
            self._cluster.call("DELETE", path)

    def _run(self) -> None:
        while not self._stop.wait(GRACE_S / 6):
            for name in tuple(self._alive):
                self._cluster.call(
                    "PATCH",
                    f"{LEASES}/{name}",
                    {"spec": {"renewTime": _now()}},
                    content_type="application/merge-patch+json",
                )


@contextmanager
def kubelets(cluster: Cluster) -> Iterator[Kubelets]:
    """Kubelets that leave nothing behind."""
    made = Kubelets(cluster)
    try:
        yield made
    finally:
        made.leave()


def taints(cluster: Cluster, name: str) -> set[tuple[str, str]]:
    """Return a node's taints."""
    spec = cluster.call("GET", f"{NODES}/{name}").json["spec"]
    return {(one["key"], one["effect"]) for one in spec.get("taints") or ()}


def conditions(cluster: Cluster, path: str) -> dict[str, Any]:
    """Return an object's conditions by type."""
    status = cluster.call("GET", path).json.get("status") or {}
    return {one["type"]: one for one in status.get("conditions") or ()}


def events(cluster: Cluster, namespace: str, reason: str) -> list[Any]:
    """Return the events of a reason."""
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3D{reason}"
    return list(cluster.call("GET", path).json["items"])


def labels_of(cluster: Cluster, name: str) -> dict[str, str]:
    """Return a node's labels."""
    found: dict[str, str] = cluster.call("GET", f"{NODES}/{name}").json["metadata"]["labels"]
    return found


def is_going(cluster: Cluster, path: str) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in cluster.call("GET", path).json["metadata"]


def eviction_texts(cluster: Cluster) -> set[str]:
    """Return what is told of evictions."""
    return {one["message"] for one in events(cluster, "default", "TaintManagerEviction")}


def pod_on(cluster: Cluster, node: str, name: str, **spec: Any) -> str:
    """Make a pod that runs on a node and is ready; return its path."""
    body = {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": node, **spec},
    }
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    until(lambda: cluster.call("GET", account).code == 200, "no account")  # a controller makes it
    answer = cluster.call("POST", "/api/v1/namespaces/default/pods", body)
    assert answer.code == 201, answer.body
    path = f"/api/v1/namespaces/default/pods/{name}"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    answer = cluster.call(
        "PATCH",
        f"{path}/status",
        {"status": {"phase": "Running", "conditions": [ready]}},
        content_type="application/strategic-merge-patch+json",
    )
    assert answer.code == 200, answer.body
    return path


def end(cluster: Cluster, path: str) -> None:
    """Delete a pod at once."""
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    cluster.call("DELETE", path, options)


def test_a_silent_node_becomes_unknown_is_tainted_and_recovers(short: Cluster) -> None:
    with kubelets(short) as fleet:
        fleet.join("well")
        fleet.join("lost", **{"kubernetes.io/os": "linux"})
        path = pod_on(short, "lost", "on-lost")
        until(
            lambda: labels_of(short, "lost").get("beta.kubernetes.io/os") == "linux",
            "labels are not reconciled",
        )
        time.sleep(GRACE_S)  # for longer than a grace period leases alone keep it well
        assert conditions(short, f"{NODES}/lost")["Ready"]["status"] == "True"
        fleet.silence("lost")
        until(
            lambda: (
                taints(short, "lost") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
            ),
            "it is not tainted",
        )
        found = conditions(short, f"{NODES}/lost")
        assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(
            ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown"
        )
        assert (found["Ready"]["reason"], found["Ready"]["message"]) == (
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        )
        assert found["PIDPressure"]["message"] == "Kubelet never posted node status."
        until(lambda: conditions(short, path)["Ready"]["status"] == "False", "its pod stays ready")
        (told,) = until(lambda: events(short, "default", "NodeNotReady")[:1], "no event")
        assert told["message"] in ("Node lost status is now: NodeNotReady", "Node is not ready")
        assert taints(short, "well") == set()
        fleet.revive("lost")
        until(lambda: not taints(short, "lost"), "its taints stay")
        end(short, path)


def test_where_all_nodes_are_lost_none_is_tainted_to_evict(short: Cluster) -> None:
    with kubelets(short) as fleet:
        for name in ("a", "b", "c"):
            fleet.join(name)
        for name in ("a", "b", "c"):
            fleet.silence(name)
        until(
            lambda: all(taints(short, name) == {(UNREACHABLE, "NoSchedule")} for name in "abc"),
            "not all are unreachable",
        )
        time.sleep(GRACE_S)
        assert all(taints(short, name) == {(UNREACHABLE, "NoSchedule")} for name in "abc")
        fleet.revive("a")
        until(
            lambda: (UNREACHABLE, "NoExecute") in taints(short, "b") and not taints(short, "a"),
            "those that stay lost are not tainted once one is back",
        )


def test_a_pod_leaves_a_tainted_node_when_its_toleration_ends(short: Cluster) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    brief = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
    patient = {**brief, "tolerationSeconds": 600}
    with kubelets(short) as fleet:
        fleet.join("bad")
        paths = [
            pod_on(short, "bad", "none"),
            pod_on(short, "bad", "brief", tolerations=[brief]),
            pod_on(short, "bad", "patient", tolerations=[patient]),
            pod_on(short, "bad", "ever", tolerations=[{"operator": "Exists"}]),
        ]
        assert short.kubectl("taint", "node", "bad", "k=v:NoExecute")
        until(lambda: is_going(short, paths[0]), "who tolerates nothing stays")
        assert not is_going(short, paths[1])
        until(lambda: is_going(short, paths[1]), "who tolerates it for a while stays")
        target = conditions(short, paths[1])["DisruptionTarget"]
        assert (target["status"], target["reason"], target["message"]) == (
            "True",
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
        )
        assert taint["key"] in {key for key, _ in taints(short, "bad")}
        short.kubectl("taint", "node", "bad", "k-")
        until(
            lambda: "Cancelling deletion of Pod default/patient" in eviction_texts(short),
            "nothing cancelled",
        )
        assert {
            f"Marking for deletion Pod default/{name}" for name in ("none", "brief")
        } <= eviction_texts(short)
        assert not is_going(short, paths[2])
        assert not is_going(short, paths[3])
        for path in paths:
            end(short, path)


def test_a_pod_of_a_lost_node_is_marked_by_the_next_process_if_the_first_was_killed(
    short: Cluster,
) -> None:
    with kubelets(short) as fleet:
        fleet.join("well")
        fleet.join("lost")
        until(
            lambda: short.call("GET", f"{NODES}/lost").json["spec"].get("podCIDR"), "has no range"
        )
        paths = [pod_on(short, "lost", f"pod-{number}") for number in range(20)]
        fleet.silence("lost")
        until(
            lambda: conditions(short, f"{NODES}/lost")["Ready"]["status"] == "Unknown", "not lost"
        )
        short.kill("controllers")
        until(
            lambda: all(conditions(short, path)["Ready"]["status"] == "False" for path in paths),
            "a pod stays ready",
        )
        until(lambda: (UNREACHABLE, "NoExecute") in taints(short, "lost"), "it is not tainted")
        for path in paths:
            end(short, path)


def test_each_node_has_a_range_of_its_own_over_kills_and_deletes(short: Cluster) -> None:
    def ranges() -> list[str]:
        return [node["spec"].get("podCIDR", "") for node in short.call("GET", NODES).json["items"]]

    def have_all(count: int) -> bool:
        found = ranges()
        return len(found) == count and all(found)

    for number in range(30):
        if number == 15:
            short.kill("controllers")
        body = {"metadata": {"name": f"ranged-{number}"}}
        assert short.call("POST", NODES, body).code == 201
    until(lambda: have_all(30), "a node has no range")
    found = ranges()
    assert len(set(found)) == 30, found
    assert all(text.endswith("/28") for text in found)
    assert all(text.startswith("10.") for text in found)
    node = short.call("GET", f"{NODES}/ranged-3").json["spec"]
    assert node["podCIDRs"] == [node["podCIDR"]]
    short.call("DELETE", NODES)


def test_cordons_and_conditions_show_as_taints(short: Cluster) -> None:
    with kubelets(short) as fleet:
        fleet.join("n")
        short.kubectl("cordon", "n")
        key = "node.kubernetes.io/unschedulable"
        until(lambda: taints(short, "n") == {(key, "NoSchedule")}, "no taint of the cordon")
        pressure = {"type": "MemoryPressure", "status": "True"}
        answer = short.call(
            "PATCH",
            f"{NODES}/n/status",
            {"status": {"conditions": [pressure]}},
            content_type="application/strategic-merge-patch+json",
        )
        assert answer.code == 200
        memory = ("node.kubernetes.io/memory-pressure", "NoSchedule")
        until(lambda: memory in taints(short, "n"), "no taint of the pressure")
        short.kubectl("uncordon", "n")
        until(lambda: taints(short, "n") == {memory}, "the cordon's taint stays")

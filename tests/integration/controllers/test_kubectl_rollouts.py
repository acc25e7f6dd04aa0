"""`kubectl rollout` with all three types that have it."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import Json, collection
from tests.integration.cluster import Cluster
from tests.integration.kubectl.kubectl_runner import Kubectl
from tests.integration.played_kubelet import PlayedKubelet

KINDS = ["deployment", "statefulset", "daemonset"]


@pytest.fixture
def node(cluster: Cluster, namespace: str) -> str:
    """A node that only the test's daemons run on."""
    nodes = collection(cluster, "", "nodes")
    nodes.made({"metadata": {"name": f"{namespace}-1", "labels": {"fleet": namespace}}})
    return f"{namespace}-1"


def workload(kind: str, namespace: str) -> Json:
    """Return a workload named it, of one pod."""
    labels = {"app": "it"}
    spec: Json = {
        "containers": [{"name": "main", "image": "example.com/it:1"}],
        "nodeSelector": {"fleet": namespace},
    }
    return {
        "metadata": {"name": "it", "annotations": {"kubernetes.io/change-cause": "first"}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **({"serviceName": "it"} if kind == "statefulset" else {}),
        },
    }


@pytest.mark.parametrize("kind", KINDS)
def test_rollouts_have_status_history_undo_and_restart(
    cluster: Cluster, namespace: str, node: str, kubectl: Kubectl, kind: str
) -> None:
    owners = collection(cluster, namespace, f"{kind}s", "apps/v1")
    owners.made(workload(kind, namespace))
    kubelet = PlayedKubelet(cluster, namespace)
    name = f"{kind}/it"

    def roll_out() -> str:
        command = ("rollout", "status", name, "--timeout=0.3s")
        return kubelet.until(
            lambda: (done := kubectl.run(*command)).returncode == 0 and done.stdout, "not out"
        )

    def image() -> str:
        (pod,) = [one for one in kubelet.all() if "deletionTimestamp" not in one["metadata"]]
        return str(pod["spec"]["containers"][0]["image"])

    assert "success" in roll_out() or kind == "statefulset"
    kubectl("set", "image", name, "main=example.com/it:2")
    kubectl("annotate", name, "kubernetes.io/change-cause=second", "--overwrite")
    roll_out()
    kubelet.until(lambda: len(kubelet.names()) == 1, "old pods stay")
    assert image() == "example.com/it:2"
    history = kubectl("rollout", "history", name)
    numbers = [line.split()[0] for line in history.splitlines() if line[:1].isdigit()]
    assert numbers == ["1", "2"]
    assert "example.com/it:1" in kubectl("rollout", "history", name, "--revision=1")
    assert "rolled back" in kubectl("rollout", "undo", name)
    roll_out()
    kubelet.until(lambda: len(kubelet.names()) == 1, "old pods stay")
    assert image() == "example.com/it:1"
    history = kubectl("rollout", "history", name)
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]
    (before,) = kubelet.names()
    uid = kubelet.pods.get(before).json["metadata"]["uid"]
    assert "restarted" in kubectl("rollout", "restart", name)
    roll_out()
    kubelet.until(
        lambda: uid not in {pod["metadata"]["uid"] for pod in kubelet.all()}, "not restarted"
    )
    collection(cluster, "", "nodes").delete(node)

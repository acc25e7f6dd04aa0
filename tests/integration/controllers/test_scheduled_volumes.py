"""Pods and their volumes, decided and bound in a real cluster with simulated nodes and disks."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.fleet.disk_objects import DRIVER
from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import until

VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


class Stage:
    """Claims and pods of one namespace, with a storage class of their own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.class_name = f"class-{namespace}"
        self.pods = collection(cluster, namespace, "pods")
        self.claims = collection(cluster, namespace, "persistentvolumeclaims")

    def storage_class(self, **more: Any) -> None:
        """Make the class."""
        body = {"metadata": {"name": self.class_name}, **more}
        assert self.cluster.call("POST", CLASSES, body).code == 201

    def claim(self, name: str, **more: Any) -> Json:
        """Make a claim of the class."""
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": self.class_name,
            **more,
        }
        made: Json = self.claims.made({"metadata": {"name": name}, "spec": spec})
        return made

    def volume(self, name: str, node: str, size: str = "1Gi") -> str:
        """Make a volume that one node reaches; return its name once it may be had."""
        expression = {"key": HOST, "operator": "In", "values": [node]}
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": self.class_name,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": "/mnt"},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
            },
        }
        whole = f"{name}-{self.namespace}"
        body = {"metadata": {"name": whole}, "spec": spec}
        assert self.cluster.call("POST", VOLUMES, body).code == 201
        until(lambda: self.volume_now(whole)["status"].get("phase") == "Available", "not available")
        return whole

    def volume_now(self, name: str) -> Json:
        """Return a volume."""
        found: Json = self.cluster.call("GET", f"{VOLUMES}/{name}").json
        return found

    def pod(self, name: str, claim: str) -> None:
        """Make a pod that uses a claim."""
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        container = {"name": "main", "image": "nginx"}
        spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
        self.pods.made({"metadata": {"name": name}, "spec": spec})

    def node_of(self, name: str) -> str:
        """Return a pod's node once it has one."""
        found: str = until(
            lambda: self.pods.get(name).json["spec"].get("nodeName"), f"{name} is not bound"
        )
        return found

    def why_not(self, name: str) -> str:
        """Return what a pod without a node is told."""

        def look() -> str:
            for one in self.pods.get(name).json["status"].get("conditions", ()):
                if one["type"] == "PodScheduled" and one["status"] == "False":
                    return str(one["message"])
            return ""

        found: str = until(look, f"{name} is not told anything")
        return found


@pytest.fixture
def stage(simulated: Cluster, namespace: str) -> Stage:
    """A namespace of the cluster with simulated nodes."""
    until(lambda: len(_nodes(simulated)) >= 3, "the nodes are not there")
    return Stage(simulated, namespace)


@pytest.fixture
def cluster(simulated: Cluster) -> Cluster:
    """The cluster in which namespaces are made."""
    return simulated


def _nodes(cluster: Cluster) -> list[str]:
    return Collection(cluster, "/api/v1/nodes").names()


def test_a_pod_goes_where_the_free_volume_is_and_the_next_where_another_is(stage: Stage) -> None:
    stage.storage_class(
        provisioner="kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer"
    )
    first, second, *_ = _nodes(stage.cluster)
    names = {stage.volume("v1", first): first, stage.volume("v2", second): second}
    for number in range(3):
        stage.claim(f"c{number}")
        stage.pod(f"p{number}", f"c{number}")
    bound = {name for name in names if _is_taken(stage, name)}
    placed = {}
    for number in range(3):
        claim = stage.claims.get(f"c{number}").json["spec"].get("volumeName")
        if claim:
            placed[stage.node_of(f"p{number}")] = claim
    assert bound == set(names)
    assert placed == {node: name for name, node in names.items()}
    left = [n for n in range(3) if not stage.pods.get(f"p{n}").json["spec"].get("nodeName")]
    assert len(left) == 1
    nodes = len(_nodes(stage.cluster))
    text = f"{nodes} node(s) didn't find available persistent volumes to bind."
    assert f"0/{nodes} nodes are available: {text}" in stage.why_not(f"p{left[0]}")
    stage.volume("v3", second)
    assert stage.node_of(f"p{left[0]}") == second


def _is_taken(stage: Stage, name: str) -> bool:
    return bool(
        until(lambda: stage.volume_now(name)["status"]["phase"] == "Bound", f"{name} is not bound")
    )


def test_a_volume_is_made_where_the_pod_goes_and_the_pod_is_bound_after_it(stage: Stage) -> None:
    zones = {
        name: stage.cluster.call("GET", f"/api/v1/nodes/{name}").json["metadata"]["labels"][ZONE]
        for name in _nodes(stage.cluster)
    }
    zone = sorted(zones.values())[0]
    stage.storage_class(
        provisioner=DRIVER,
        volumeBindingMode="WaitForFirstConsumer",
        allowedTopologies=[{"matchLabelExpressions": [{"key": ZONE, "values": [zone]}]}],
    )
    stage.claim("c0")
    stage.pod("p0", "c0")
    node = stage.node_of("p0")
    assert zones[node] == zone
    # The pod was bound after its claim was, so it is now.
    claim = stage.claims.get("c0").json
    assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node
    assert claim["status"]["phase"] == "Bound"


def test_a_pod_waits_for_what_is_bound_at_once_and_for_claims_that_are_not_there(
    stage: Stage,
) -> None:
    stage.storage_class(provisioner="nobody.example.org", volumeBindingMode="Immediate")
    stage.pod("p0", "c0")
    nodes = len(_nodes(stage.cluster))
    assert stage.why_not("p0").startswith(
        f'0/{nodes} nodes are available: persistentvolumeclaim "c0" not found. preemption: '
    )
    stage.claim("c0")
    text = "pod has unbound immediate PersistentVolumeClaims."
    until(lambda: text in stage.why_not("p0"), "it is not told what it waits for")
    node = _nodes(stage.cluster)[0]
    stage.volume("v0", node)
    assert stage.node_of("p0") == node


def test_a_claim_for_one_pod_keeps_the_next_pod_waiting(stage: Stage) -> None:
    stage.storage_class(provisioner=DRIVER, volumeBindingMode="WaitForFirstConsumer")
    stage.claim("c0", accessModes=["ReadWriteOncePod"])
    stage.pod("p0", "c0")
    stage.node_of("p0")
    stage.pod("p1", "c0")
    assert "with the same name and ReadWriteOncePod access mode" in stage.why_not("p1")
    assert stage.pods.delete("p0").code == 200
    stage.node_of("p1")


def test_a_scheduler_killed_while_volumes_are_made_is_followed_by_one_that_goes_on(
    stage: Stage,
) -> None:
    stage.storage_class(provisioner=DRIVER, volumeBindingMode="WaitForFirstConsumer")
    for number in range(8):
        stage.claim(f"c{number}")
        stage.pod(f"p{number}", f"c{number}")
        if number in (2, 6):
            stage.cluster.kill("scheduler")
    for number in range(8):
        node = stage.node_of(f"p{number}")
        claim = stage.claims.get(f"c{number}").json
        assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node
        assert claim["status"]["phase"] == "Bound"


def test_a_pod_is_decided_anew_when_its_volume_cannot_be_made_where_it_was_to_go(
    stage: Stage,
) -> None:
    stage.storage_class(provisioner="nobody.example.org", volumeBindingMode="WaitForFirstConsumer")
    stage.claim("c0")
    stage.pod("p0", "c0")

    def selected() -> Any:
        notes = stage.claims.get("c0").json["metadata"].get("annotations") or {}
        return notes.get("volume.kubernetes.io/selected-node")

    node = until(selected, "no node is selected")
    pod = stage.pods.get("p0").json
    assert not pod["spec"].get("nodeName")
    assert pod["status"]["nominatedNodeName"] == node
    # Whoever provisions says so by taking the annotation back.
    gone = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": None}}}
    assert stage.claims.patch("c0", gone).code == 200
    path = f"/api/v1/namespaces/{stage.namespace}/events"

    def told() -> bool:
        text = 'binding volumes: provisioning failed for PVC "c0"'
        text = f'running PreBind plugin "VolumeBinding": {text}'
        return any(one["message"] == text for one in stage.cluster.call("GET", path).json["items"])

    until(told, "nobody tells that it failed")
    until(selected, "no other node is selected")

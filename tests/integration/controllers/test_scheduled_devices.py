"""Pods with device claims in a real cluster: allocated, reserved, freed and given to the next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import until

DRIVER = "gpu.example.com"
GROUP = "resource.k8s.io/v1"


@pytest.fixture
def cluster(simulated: Cluster) -> Cluster:
    """The cluster with simulated nodes."""
    return simulated


class Stage:
    """A namespace, and a pool of devices on one node that a class of its own selects."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.name = namespace
        self.pods = collection(cluster, namespace, "pods")
        self.claims = collection(cluster, namespace, "resourceclaims", GROUP)
        self.templates = collection(cluster, namespace, "resourceclaimtemplates", GROUP)
        self.slices = collection(cluster, "", "resourceslices", GROUP)
        nodes = Collection(cluster, "/api/v1/nodes")
        self.node = until(lambda: nodes.names() if len(nodes.names()) >= 3 else [], "no nodes")[1]
        expression = f'device.attributes["{DRIVER}"].pool == "{namespace}"'
        selectors = [{"cel": {"expression": expression}}]
        collection(cluster, "", "deviceclasses", GROUP).made(
            {"metadata": {"name": namespace}, "spec": {"selectors": selectors}}
        )

    def slice(self, *devices: str) -> None:
        """Publish devices."""
        spec = {
            "driver": DRIVER,
            "nodeName": self.node,
            "pool": {"name": self.name, "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {"name": one, "attributes": {"pool": {"string": self.name}}} for one in devices
            ],
        }
        self.slices.made({"metadata": {"name": self.name}, "spec": spec})

    def request(self, **more: Any) -> Json:
        """Return what a claim asks for."""
        exactly = {"deviceClassName": self.name, **more}
        return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}

    def pod(self, name: str, **claim: str) -> None:
        """Make a pod with one claim."""
        spec = {
            "containers": [
                {"name": "main", "image": "nginx", "resources": {"claims": [{"name": "gpu"}]}}
            ],
            "resourceClaims": [{"name": "gpu", **claim}],
            "terminationGracePeriodSeconds": 0,
        }
        self.pods.made({"metadata": {"name": name}, "spec": spec})

    def node_of(self, name: str) -> str:
        """Return a pod's node once it has one."""
        found: str = until(
            lambda: self.pods.get(name).json["spec"].get("nodeName"), f"{name} is not bound"
        )
        return found

    def told(self, name: str) -> str:
        """Return what a pod without a node is told."""
        for one in self.pods.get(name).json["status"].get("conditions", ()):
            if one["type"] == "PodScheduled" and one["status"] == "False":
                return str(one["message"])
        return ""


@pytest.fixture
def stage(cluster: Cluster, namespace: str) -> Stage:
    """A namespace with devices."""
    return Stage(cluster, namespace)


def test_pods_of_a_template_get_a_device_each_and_the_last_waits_for_one(stage: Stage) -> None:
    stage.slice("g0", "g1")
    stage.templates.made({"metadata": {"name": "one"}, "spec": {"spec": stage.request()}})
    for number in range(3):
        stage.pod(f"p{number}", resourceClaimTemplateName="one")
    bound = until(
        lambda: _two(p for p in stage.pods.list().json["items"] if p["spec"].get("nodeName")),
        "not two are bound",
    )
    got = set()
    for pod in bound:
        assert pod["spec"]["nodeName"] == stage.node
        (status,) = stage.pods.get(pod["metadata"]["name"]).json["status"]["resourceClaimStatuses"]
        claim = stage.claims.get(status["resourceClaimName"]).json
        assert claim["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
        assert [one["uid"] for one in claim["status"]["reservedFor"]] == [pod["metadata"]["uid"]]
        allocation = claim["status"]["allocation"]
        (result,) = allocation["devices"]["results"]
        assert (result["request"], result["pool"]) == ("gpu", stage.name)
        (term,) = allocation["nodeSelector"]["nodeSelectorTerms"]
        assert term["matchFields"][0]["values"] == [stage.node]
        got.add(result["device"])
    assert got == {"g0", "g1"}
    names = {pod["metadata"]["name"] for pod in bound}
    (left,) = {"p0", "p1", "p2"} - names
    until(lambda: "cannot allocate all claims. still not schedulable" in stage.told(left), "untold")
    # When a pod is gone, its claim goes, and its device is free.
    stage.pods.delete(sorted(names)[0])
    assert stage.node_of(left) == stage.node


def _two(pods: Any) -> Any:
    found = list(pods)
    return found if len(found) == 2 else None


def test_pods_that_share_a_claim_are_all_reserved_in_it(stage: Stage) -> None:
    stage.slice("g0")
    stage.pod("early", resourceClaimName="shared")
    until(lambda: 'resourceclaim.resource.k8s.io "shared" not found' in stage.told("early"), "no")
    stage.claims.made({"metadata": {"name": "shared"}, "spec": stage.request()})
    stage.pod("late", resourceClaimName="shared")
    for name in ("early", "late"):
        assert stage.node_of(name) == stage.node
    reserved = stage.claims.get("shared").json["status"]["reservedFor"]
    assert {one["name"] for one in reserved} == {"early", "late"}
    stage.pods.delete("early")
    stage.pods.delete("late")
    until(
        lambda: not stage.claims.get("shared").json.get("status", {}).get("allocation"),
        "the claim is not deallocated",
    )


def test_devices_that_come_later_let_pods_in(stage: Stage) -> None:
    stage.claims.made({"metadata": {"name": "two"}, "spec": stage.request(count=2)})
    stage.pod("p0", resourceClaimName="two")
    until(lambda: "cannot allocate all claims" in stage.told("p0"), "it is told nothing")
    stage.slice("g0", "g1", "g2")
    assert stage.node_of("p0") == stage.node
    results = stage.claims.get("two").json["status"]["allocation"]["devices"]["results"]
    assert [one["device"] for one in results] == ["g0", "g1"]

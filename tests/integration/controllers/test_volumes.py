"""Claims and volumes that find each other, without anybody who makes storage."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.integration.api_calls import collection
from tests.integration.cluster import Cluster
from tests.integration.controllers.test_nodes import end, until

_numbers = itertools.count(1)
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
BOUND_BY = "pv.kubernetes.io/bound-by-controller"
COMPLETED = "pv.kubernetes.io/bind-completed"
pytestmark = pytest.mark.slow


class Storage:
    """Volumes and claims of one test; what it makes has a class of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = f"class-{namespace}-{next(_numbers)}"
        self.claims = collection(cluster, namespace, "persistentvolumeclaims")

    def volume(self, name: str, size: str = "1Gi", **more: Any) -> Any:
        """Make a volume."""
        metadata = {"name": f"{name}-{self.namespace}", **more.pop("metadata", {})}
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": self.name,
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": "d", "volumeHandle": name},
            **more,
        }
        answer = self.cluster.call("POST", VOLUMES, {"metadata": metadata, "spec": spec})
        assert answer.code == 201, answer.body
        return answer.json

    def claim(self, name: str, size: str = "1Gi", **more: Any) -> Any:
        """Make a claim."""
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": self.name,
            **more,
        }
        return self.claims.made({"metadata": {"name": name}, "spec": spec})

    def storage_class(self, **more: Any) -> None:
        """Make the class."""
        body = {"metadata": {"name": self.name}, "provisioner": "p.example.org", **more}
        answer = self.cluster.call("POST", CLASSES, body)
        assert answer.code == 201, answer.body

    def phase(self, name: str) -> str:
        """Return a claim's phase."""
        found: str = self.claims.get(name).json["status"]["phase"]
        return found

    def volume_now(self, name: str) -> Any:
        """Return a volume."""
        return self.cluster.call("GET", f"{VOLUMES}/{name}-{self.namespace}").json

    def bound(self, name: str) -> Any:
        """Return a claim once it is bound."""
        until(lambda: self.phase(name) == "Bound", f"{name} is not bound")
        return self.claims.get(name).json

    def available(self, name: str) -> None:
        """Return once a volume is there for whoever wants it."""
        until(
            lambda: self.volume_now(name)["status"]["phase"] == "Available",
            f"{name} is not available",
        )

    def texts(self, reason: str) -> list[str]:
        """Return what is told for a reason in the namespace."""
        path = f"/api/v1/namespaces/{self.namespace}/events?fieldSelector=reason%3D{reason}"
        return [one["message"] for one in self.cluster.call("GET", path).json["items"]]


@pytest.fixture
def storage(cluster: Cluster, namespace: str) -> Storage:
    """Storage of one test."""
    return Storage(cluster, namespace)


def test_a_claim_gets_the_smallest_volume_that_fits(storage: Storage) -> None:
    for name, size in (("large", "10Gi"), ("small", "1Gi"), ("fits", "5Gi")):
        storage.volume(name, size)
        storage.available(name)
    storage.claim("c", "3Gi")
    claim = storage.bound("c")
    assert claim["spec"]["volumeName"] == f"fits-{storage.namespace}"
    assert claim["status"]["capacity"] == {"storage": "5Gi"}
    assert claim["status"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"] == {BOUND_BY: "yes", COMPLETED: "yes"}
    volume = storage.volume_now("fits")
    assert volume["status"]["phase"] == "Bound"
    assert volume["status"]["lastPhaseTransitionTime"]
    assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert volume["metadata"]["annotations"] == {BOUND_BY: "yes"}
    storage.available("large")


def test_a_claim_waits_for_a_volume_that_its_selector_takes(storage: Storage) -> None:
    storage.claim("c", selector={"matchLabels": {"disk": "fast"}})
    storage.volume("slow", metadata={"labels": {"disk": "slow"}})
    storage.available("slow")
    assert storage.phase("c") == "Pending"
    storage.volume("fast", metadata={"labels": {"disk": "fast"}})
    assert storage.bound("c")["spec"]["volumeName"] == f"fast-{storage.namespace}"


def test_a_volume_meant_for_a_claim_waits_for_it_and_for_no_other(storage: Storage) -> None:
    meant = {"namespace": storage.namespace, "name": "mine"}
    storage.volume("meant", claimRef=meant)
    storage.claim("other")
    storage.claim("mine")
    claim = storage.bound("mine")
    assert claim["spec"]["volumeName"] == f"meant-{storage.namespace}"
    # A user chose the volume, so only the claim was bound by the controller.
    assert BOUND_BY not in (storage.volume_now("meant")["metadata"].get("annotations") or {})
    assert storage.phase("other") == "Pending"


def test_a_claim_for_a_volume_that_does_not_satisfy_it_is_told_why(storage: Storage) -> None:
    volume = storage.volume("little", "1Gi")["metadata"]["name"]
    storage.claim("c", "2Gi", volumeName=volume)
    text = f'Cannot bind to requested volume "{volume}": requested PV is too small'
    until(lambda: text in storage.texts("VolumeMismatch"), "nothing is told")
    assert storage.phase("c") == "Pending"


def test_a_released_volume_follows_its_reclaim_policy(storage: Storage) -> None:
    policies = {
        "retained": ("Retain", "Released", ""),
        "deleted": (
            "Delete",
            "Failed",
            "error getting deleter volume plugin for volume "
            f'"deleted-{storage.namespace}": no volume plugin matched',
        ),
    }
    for name, (policy, _, _) in policies.items():
        storage.volume(name, persistentVolumeReclaimPolicy=policy)
        storage.claim(name, volumeName=f"{name}-{storage.namespace}")
        storage.bound(name)
        storage.claims.delete(name)
    storage.volume(
        "external",
        persistentVolumeReclaimPolicy="Delete",
        metadata={"annotations": {"pv.kubernetes.io/provisioned-by": "p.example.org"}},
    )
    storage.claim("external", volumeName=f"external-{storage.namespace}")
    storage.bound("external")
    storage.claims.delete("external")
    policies["external"] = ("Delete", "Released", "")
    for name, (_, phase, message) in policies.items():
        until(
            lambda name=name, phase=phase: storage.volume_now(name)["status"]["phase"] == phase,
            f"{name} is not {phase}",
        )
        assert storage.volume_now(name)["status"].get("message", "") == message


def test_a_claim_whose_volume_vanishes_is_lost(storage: Storage) -> None:
    storage.volume("v")
    storage.claim("c")
    storage.bound("c")
    path = f"{VOLUMES}/v-{storage.namespace}"
    storage.cluster.call("DELETE", path)
    patch = {"metadata": {"finalizers": None}}
    storage.cluster.call("PATCH", path, patch, content_type="application/merge-patch+json")
    until(lambda: storage.phase("c") == "Lost", "it is not lost")
    text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    until(lambda: text in storage.texts("ClaimLost"), "nothing is told")


def test_a_provisioner_is_told_and_its_volume_is_bound(storage: Storage) -> None:
    storage.storage_class()
    claim = storage.claim("c")
    text = "Waiting for a volume to be created either by the external provisioner 'p.example.org'"
    until(
        lambda: any(one.startswith(text) for one in storage.texts("ExternalProvisioning")),
        "nothing is told",
    )
    notes = storage.claims.get("c").json["metadata"]["annotations"]
    assert notes == {
        "volume.kubernetes.io/storage-provisioner": "p.example.org",
        "volume.beta.kubernetes.io/storage-provisioner": "p.example.org",
    }
    reference = {
        "namespace": storage.namespace,
        "name": "c",
        "uid": claim["metadata"]["uid"],
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
    }
    storage.volume("made", claimRef=reference)
    assert storage.bound("c")["spec"]["volumeName"] == f"made-{storage.namespace}"


def test_a_claim_of_an_unknown_class_is_told_so_and_provisioned_once_it_is_there(
    storage: Storage,
) -> None:
    storage.claim("c")
    text = f'storageclass.storage.k8s.io "{storage.name}" not found'
    until(lambda: text in storage.texts("ProvisioningFailed"), "nothing is told")
    storage.storage_class()
    until(lambda: storage.texts("ExternalProvisioning"), "it is not provisioned")


def test_a_claim_that_waits_for_its_first_consumer_says_for_which_pod(storage: Storage) -> None:
    storage.storage_class(volumeBindingMode="WaitForFirstConsumer")
    storage.volume("v")
    storage.claim("c")
    text = "waiting for first consumer to be created before binding"
    until(lambda: text in storage.texts("WaitForFirstConsumer"), "nothing is told")
    assert storage.phase("c") == "Pending"
    pods = collection(storage.cluster, storage.namespace, "pods")
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    pods.made({"metadata": {"name": "p"}, "spec": spec})
    patch = {"metadata": {"labels": {"look": "again"}}}
    storage.claims.patch("c", patch)
    text = "waiting for pod p to be scheduled"
    until(lambda: text in storage.texts("WaitForPodScheduled"), "nothing is told of the pod")
    # What a scheduler does when it has found the volume itself:
    reference = {"namespace": storage.namespace, "name": "c"}
    storage.volume("chosen", claimRef=reference)
    assert storage.bound("c")["spec"]["volumeName"] == f"chosen-{storage.namespace}"


def test_an_ephemeral_volume_gets_a_claim_that_its_pod_owns_and_keeps(storage: Storage) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage.name,
        },
    }
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    pods = collection(storage.cluster, storage.namespace, "pods")
    pod = pods.made({"metadata": {"name": "p"}, "spec": spec})
    until(lambda: storage.claims.get("p-scratch").code == 200, "there is no claim")
    claim = storage.claims.get("p-scratch").json
    assert claim["metadata"]["labels"] == {"a": "b"}
    (owner,) = claim["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (pod["metadata"]["uid"], True)
    storage.claims.delete("p-scratch")
    storage.claims.patch("p-scratch", {"metadata": {"finalizers": None}})
    until(
        lambda: (
            (again := storage.claims.get("p-scratch")).code == 200
            and again.json["metadata"]["uid"] != claim["metadata"]["uid"]
        ),
        "a claim that was deleted is not made again",
    )
    end(storage.cluster, f"{pods.path}/p")
    until(lambda: storage.claims.get("p-scratch").code == 404, "the claim outlives its pod")


def test_a_claim_that_is_not_its_pods_own_is_never_used(storage: Storage) -> None:
    storage.claim("p-scratch")
    template = {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    }
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    collection(storage.cluster, storage.namespace, "pods").made(
        {"metadata": {"name": "p"}, "spec": spec}
    )
    where = storage.namespace
    text = (
        f"ephemeral volume scratch: PVC {where}/p-scratch was not created for pod {where}/p "
        "(pod is not owner)"
    )
    until(lambda: text in storage.texts("FailedBinding"), "nothing is told")


def test_many_claims_and_volumes_pair_off_though_the_controllers_are_killed(
    storage: Storage,
) -> None:
    count = 60
    for number in range(count):
        storage.volume(f"v{number}")
        storage.claim(f"c{number}")
        if number in (20, 40):
            storage.cluster.kill("controllers")
    claims = [f"c{number}" for number in range(count)]
    found = {storage.bound(name)["spec"]["volumeName"] for name in claims}
    assert len(found) == count
    for number in range(count):
        volume = storage.volume_now(f"v{number}")
        assert volume["status"]["phase"] == "Bound"
        claim = storage.claims.get(volume["spec"]["claimRef"]["name"]).json
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]

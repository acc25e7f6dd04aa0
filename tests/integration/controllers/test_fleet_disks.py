"""Simulated disks: claims get volumes, which grow and go with them, and pods wait for theirs."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.fleet.disk_objects import DRIVER
from tests.integration.api_calls import MERGE, Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.controllers.test_stateful_sets import CLAIM, stateful_set
from tests.integration.played_kubelet import until

VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
ZONE = "topology.kubernetes.io/zone"
SELECTED = "volume.kubernetes.io/selected-node"


@pytest.fixture(scope="module")
def cluster(simulated: Cluster) -> Cluster:
    """The cluster with simulated nodes, once it has their storage class."""
    until(lambda: simulated.call("GET", f"{CLASSES}/standard").code == 200, "there is no class")
    return simulated


@pytest.fixture
def claims(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's claims."""
    return collection(cluster, namespace, "persistentvolumeclaims")


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's pods."""
    return collection(cluster, namespace, "pods")


def _claim(claims: Collection, name: str, **spec: Any) -> Json:
    made: Json = claims.made({"metadata": {"name": name}, "spec": {**CLAIM["spec"], **spec}})
    return made


def _user(pods: Collection, name: str, claim: str, **spec: Any) -> Json:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    whole = {"containers": [{"name": "main", "image": "nginx"}], "volumes": [volume], **spec}
    made: Json = pods.made({"metadata": {"name": name}, "spec": whole})
    return made


def _class(cluster: Cluster, name: str, **more: Any) -> str:
    answer = cluster.call(
        "POST", CLASSES, {"metadata": {"name": name}, "provisioner": DRIVER, **more}
    )
    assert answer.code == 201, answer.body
    return name


def _bound(claims: Collection, name: str) -> Json:
    """Return a claim once it is bound."""

    def look() -> Any:
        found = claims.get(name).json
        return found if found["status"].get("phase") == "Bound" else None

    found: Json = until(look, f"{name} is not bound")
    return found


def _volume(cluster: Cluster, claim: Json) -> Any:
    return cluster.call("GET", f"{VOLUMES}/pvc-{claim['metadata']['uid']}")


def _phase(pods: Collection, name: str) -> str:
    return str(pods.get(name).json["status"].get("phase"))


def _reasons(cluster: Cluster, namespace: str, name: str) -> set[str]:
    query = f"?fieldSelector=involvedObject.name%3D{name}"
    events = cluster.call("GET", f"/api/v1/namespaces/{namespace}/events{query}").json["items"]
    return {one["reason"] for one in events}


def test_a_fleet_brings_a_default_class_that_waits_for_the_first_pod(cluster: Cluster) -> None:
    found = cluster.call("GET", f"{CLASSES}/standard").json
    assert found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"
    assert found["provisioner"] == DRIVER
    answer = cluster.call("GET", f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}")
    assert answer.json["spec"]["attachRequired"] is False


def test_each_pod_of_a_stateful_set_gets_a_disk_in_its_zone(
    cluster: Cluster, namespace: str, claims: Collection, pods: Collection
) -> None:
    sets = collection(cluster, namespace, "statefulsets", "apps/v1")
    sets.made(stateful_set(2, volumeClaimTemplates=[CLAIM]))
    until(lambda: sets.get("web").json["status"].get("readyReplicas") == 2, "it is not ready")
    for number in range(2):
        claim = _bound(claims, f"data-web-{number}")
        assert claim["spec"]["storageClassName"] == "standard"
        assert claim["status"]["capacity"] == {"storage": "1Gi"}
        node = pods.get(f"web-{number}").json["spec"]["nodeName"]
        assert claim["metadata"]["annotations"][SELECTED] == node
        zone = cluster.call("GET", f"/api/v1/nodes/{node}").json["metadata"]["labels"][ZONE]
        spec = _volume(cluster, claim).json["spec"]
        (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert term["matchExpressions"] == [{"key": ZONE, "operator": "In", "values": [zone]}]
        assert spec["csi"]["driver"] == DRIVER
        assert spec["persistentVolumeReclaimPolicy"] == "Delete"
    until(
        lambda: "ProvisioningSucceeded" in _reasons(cluster, namespace, "data-web-0"),
        "nobody tells of it",
    )


def test_a_claim_that_nobody_uses_stays_pending(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    claim = _claim(claims, "unused")
    until(
        lambda: "WaitForFirstConsumer" in _reasons(cluster, namespace, "unused"), "nobody tells so"
    )
    assert claims.get("unused").json["status"]["phase"] == "Pending"
    assert _volume(cluster, claim).code == 404


def test_a_claim_of_an_immediate_class_is_bound_without_a_pod(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    allowed = [{"matchLabelExpressions": [{"key": ZONE, "values": ["zone-b"]}]}]
    name = _class(cluster, f"now-{namespace}", allowedTopologies=allowed)
    _claim(claims, "now", storageClassName=name)
    claim = _bound(claims, "now")
    (term,) = _volume(cluster, claim).json["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["zone-b"]
    _claim(claims, "shared", storageClassName=name, accessModes=["ReadWriteMany"])
    assert "nodeAffinity" not in _volume(cluster, _bound(claims, "shared")).json["spec"]


def test_a_volume_goes_with_its_claim_unless_its_class_retains_it(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    goes = _class(cluster, f"goes-{namespace}")
    stays = _class(cluster, f"stays-{namespace}", reclaimPolicy="Retain")
    for name, kind in (("goes", goes), ("stays", stays)):
        _claim(claims, name, storageClassName=kind)
    found = {name: _bound(claims, name) for name in ("goes", "stays")}
    for name in found:
        claims.cluster.call("DELETE", f"{claims.path}/{name}")
    until(lambda: _volume(cluster, found["goes"]).code == 404, "the volume stays")
    until(
        lambda: _volume(cluster, found["stays"]).json["status"]["phase"] == "Released",
        "the volume is not released",
    )


def test_a_claim_that_asks_for_more_gets_it(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    name = _class(cluster, f"grows-{namespace}", allowVolumeExpansion=True)
    _claim(claims, "grows", storageClassName=name)
    claim = _bound(claims, "grows")
    patch = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    path = f"{claims.path}/grows"
    assert cluster.call("PATCH", path, patch, content_type=MERGE).code == 200

    def has_grown() -> bool:
        status = claims.get("grows").json["status"]
        return bool(status["capacity"]["storage"] == "3Gi" and not status.get("conditions"))

    until(has_grown, "it has not grown")
    assert _volume(cluster, claim).json["spec"]["capacity"]["storage"] == "3Gi"
    until(
        lambda: {"Resizing", "VolumeResizeSuccessful"} <= _reasons(cluster, namespace, "grows"),
        "nobody tells of it",
    )


def test_a_pod_waits_for_its_claim(
    cluster: Cluster, namespace: str, claims: Collection, pods: Collection
) -> None:
    _claim(claims, "late", storageClassName="")
    _user(pods, "waits", "late", nodeName="node-0")
    until(lambda: pods.get("waits").json["status"].get("containerStatuses"), "no status")
    status = pods.get("waits").json["status"]
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": namespace, "name": "late"},
        "csi": {"driver": "example.com", "volumeHandle": "late"},
    }
    volume = {"metadata": {"name": f"late-{namespace}"}, "spec": spec}
    assert cluster.call("POST", VOLUMES, volume).code == 201
    until(lambda: _phase(pods, "waits") == "Running", "it does not run")


def test_a_pod_that_waits_for_a_claim_can_be_deleted(claims: Collection, pods: Collection) -> None:
    _claim(claims, "never", storageClassName="")
    _user(pods, "waits", "never", nodeName="node-0")
    until(lambda: pods.get("waits").json["status"].get("containerStatuses"), "no status")
    pods.cluster.call("DELETE", f"{pods.path}/waits")
    until(lambda: pods.get("waits").code == 404, "it stays")


def test_a_node_that_is_gone_is_not_waited_for(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    _claim(claims, "lost")
    patch = {"metadata": {"annotations": {SELECTED: "no-such-node"}}}
    path = f"{claims.path}/lost"
    assert cluster.call("PATCH", path, patch, content_type=MERGE).code == 200
    until(
        lambda: SELECTED not in (claims.get("lost").json["metadata"].get("annotations") or {}),
        "the choice stays",
    )
    until(lambda: "ProvisioningFailed" in _reasons(cluster, namespace, "lost"), "nobody tells")


def test_a_copy_waits_for_what_it_is_a_copy_of(
    cluster: Cluster, namespace: str, claims: Collection
) -> None:
    name = _class(cluster, f"copies-{namespace}")
    source = {"kind": "PersistentVolumeClaim", "name": "source"}
    _claim(claims, "copy", storageClassName=name, dataSource=source)
    until(lambda: "ProvisioningFailed" in _reasons(cluster, namespace, "copy"), "nobody tells")
    _claim(claims, "source", storageClassName=name)
    _bound(claims, "copy")


def test_a_fleet_that_was_killed_makes_what_was_asked_for_meanwhile_once(
    cluster: Cluster, namespace: str, claims: Collection, pods: Collection
) -> None:
    name = _class(cluster, f"killed-{namespace}")
    _claim(claims, "before", storageClassName=name)
    before = _bound(claims, "before")
    revision = _volume(cluster, before).json["metadata"]["resourceVersion"]
    cluster.kill("fleet")
    _claim(claims, "now", storageClassName=name)
    _claim(claims, "used")
    _user(pods, "user", "used")
    for one in ("now", "used"):
        _bound(claims, one)
    until(lambda: _phase(pods, "user") == "Running", "it does not run")
    found = cluster.call("GET", VOLUMES).json["items"]
    ours = [
        one["spec"]["claimRef"]["name"]
        for one in found
        if one["spec"]["claimRef"]["namespace"] == namespace
    ]
    assert sorted(ours) == ["before", "now", "used"]
    assert _volume(cluster, before).json["metadata"]["resourceVersion"] == revision

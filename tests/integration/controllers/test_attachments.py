"""Volumes that are attached and detached, and devices that are claimed; tests play the drivers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api_calls import collection
from tests.integration.cluster import Cluster
from tests.integration.controllers.test_nodes import end, until
from tests.integration.controllers.test_volumes import Storage

NODES = "/api/v1/nodes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
MERGE = "application/merge-patch+json"
MANAGED = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
pytestmark = pytest.mark.slow


@pytest.fixture
def storage(cluster: Cluster, namespace: str) -> Storage:
    """Storage of one test."""
    return Storage(cluster, namespace)


@pytest.fixture
def nodes(cluster: Cluster, namespace: str) -> Iterator[list[str]]:
    """Two nodes."""
    names = [f"{namespace}-a", f"{namespace}-b"]
    for name in names:
        body = {"metadata": {"name": name, "annotations": MANAGED}}
        assert cluster.call("POST", NODES, body).code == 201
    yield names
    for name in names:
        cluster.call("DELETE", f"{NODES}/{name}")


def _pod(storage: Storage, name: str, node: str, claim: str) -> str:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    spec = {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": volumes,
        "nodeName": node,
    }
    pods = collection(storage.cluster, storage.namespace, "pods")
    pods.made({"metadata": {"name": name}, "spec": spec})
    return f"{pods.path}/{name}"


def _attachments(cluster: Cluster, node: str) -> list[Any]:
    items = cluster.call("GET", ATTACHMENTS).json["items"]
    return [one for one in items if one["spec"]["nodeName"] == node]


def _drive(cluster: Cluster, attachment: Any, **status: Any) -> None:
    path = f"{ATTACHMENTS}/{attachment['metadata']['name']}/status"
    body = {"status": {"attached": True, **status}}
    assert cluster.call("PATCH", path, body, content_type=MERGE).code == 200


def _status(cluster: Cluster, node: str) -> Any:
    return cluster.call("GET", f"{NODES}/{node}").json.get("status") or {}


def _patch_status(cluster: Cluster, node: str, **status: Any) -> None:
    answer = cluster.call("PATCH", f"{NODES}/{node}/status", {"status": status}, content_type=MERGE)
    assert answer.code == 200, answer.body


def test_a_volume_is_attached_where_its_pod_runs_and_detached_once_unmounted(
    storage: Storage, nodes: list[str]
) -> None:
    cluster, node = storage.cluster, nodes[0]
    storage.volume("v")
    storage.claim("c")
    storage.bound("c")
    path = _pod(storage, "p", node, "c")
    (attachment,) = until(lambda: _attachments(cluster, node), "there is no attachment")
    assert attachment["spec"]["attacher"] == "d"
    assert attachment["spec"]["source"] == {"persistentVolumeName": f"v-{storage.namespace}"}
    assert not _status(cluster, node).get("volumesAttached")
    _drive(cluster, attachment)
    attached = [{"name": "kubernetes.io/csi/d^v", "devicePath": ""}]
    until(lambda: _status(cluster, node).get("volumesAttached") == attached, "is not reported")
    text = f'AttachVolume.Attach succeeded for volume "v-{storage.namespace}" '
    until(lambda: text in storage.texts("SuccessfulAttachVolume"), "nothing is told")
    _patch_status(cluster, node, volumesInUse=["kubernetes.io/csi/d^v"])
    end(cluster, path)
    until(lambda: cluster.call("GET", path).code == 404, "the pod stays")
    cluster.kill("controllers")
    until(lambda: cluster.find_pid("controllers") is not None, "the controllers stay away")
    assert _attachments(cluster, node), "it was detached while it was mounted"
    _patch_status(cluster, node, volumesInUse=None)
    until(lambda: not _attachments(cluster, node), "it stays attached")
    assert not _status(cluster, node).get("volumesAttached")


def test_an_exclusive_volume_waits_until_it_is_detached_elsewhere(
    storage: Storage, nodes: list[str]
) -> None:
    cluster, (first, second) = storage.cluster, nodes
    storage.volume("v")
    storage.claim("c")
    storage.bound("c")
    path = _pod(storage, "p", first, "c")
    until(lambda: _attachments(cluster, first), "there is no attachment")
    _pod(storage, "q", second, "c")
    volume = f"v-{storage.namespace}"
    text = f'Multi-Attach error for volume "{volume}" Volume is already used by pod(s) p'
    until(lambda: text in storage.texts("FailedAttachVolume"), "nothing is told")
    assert not _attachments(cluster, second)
    end(cluster, path)
    until(lambda: _attachments(cluster, second), "it is not attached where it is wanted now")
    assert not _attachments(cluster, first)


def _template(storage: Storage) -> None:
    request = {"name": "r", "exactly": {"deviceClassName": "c"}}
    template = {
        "metadata": {"name": "t"},
        "spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": [request]}}},
    }
    version = "resource.k8s.io/v1"
    collection(storage.cluster, storage.namespace, "resourceclaimtemplates", version).made(template)


def test_a_pods_device_claim_is_made_named_reserved_and_given_back(
    storage: Storage, nodes: list[str]
) -> None:
    cluster = storage.cluster
    claims = collection(cluster, storage.namespace, "resourceclaims", "resource.k8s.io/v1")
    pods = collection(cluster, storage.namespace, "pods")
    wanted = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    spec = {
        "containers": [{"name": "c", "image": "i"}],
        "resourceClaims": wanted,
        "nodeName": nodes[0],
    }
    pod = pods.made({"metadata": {"name": "p"}, "spec": spec})
    text = 'resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found'
    until(
        lambda: f"PodResourceClaim gpu: {text}" in storage.texts("FailedResourceClaimCreation"),
        "nothing is told",
    )
    _template(storage)
    status = until(
        lambda: (pods.get("p").json.get("status") or {}).get("resourceClaimStatuses"),
        "the pod is not told its claim's name",
    )
    (entry,) = status
    name = entry["resourceClaimName"]
    assert name.startswith("p-gpu-")
    claim = claims.get(name).json
    assert claims.names() == [name]
    assert claim["metadata"]["labels"] == {"a": "b"}
    assert claim["metadata"]["annotations"] == {"resource.kubernetes.io/pod-claim-name": "gpu"}
    assert claim["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    claim["metadata"]["finalizers"] = ["resource.kubernetes.io/delete-protection"]
    claim = claims.put(name, claim).json
    results = [{"request": "r", "driver": "d.example.org", "pool": "p", "device": "one"}]
    claim["status"] = {"allocation": {"devices": {"results": results}}}
    answer = claims.put(f"{name}/status", claim)
    assert answer.code == 200, answer.body
    reserved = until(
        lambda: claims.get(name).json["status"].get("reservedFor"), "it is not reserved"
    )
    assert reserved == [{"resource": "pods", "name": "p", "uid": pod["metadata"]["uid"]}]
    pods.patch("p/status", {"status": {"phase": "Succeeded"}})
    until(lambda: claims.get(name).code == 404, "the claim of a pod that is done stays")


def test_a_shared_device_claim_loses_its_allocation_with_its_last_pod(
    storage: Storage, nodes: list[str]
) -> None:
    cluster = storage.cluster
    claims = collection(cluster, storage.namespace, "resourceclaims", "resource.k8s.io/v1")
    request = {"name": "r", "exactly": {"deviceClassName": "c"}}
    finalizers = ["resource.kubernetes.io/delete-protection"]
    claim = claims.made(
        {
            "metadata": {"name": "shared", "finalizers": finalizers},
            "spec": {"devices": {"requests": [request]}},
        }
    )
    pods = collection(cluster, storage.namespace, "pods")
    wanted = [{"name": "gpu", "resourceClaimName": "shared"}]
    spec = {
        "containers": [{"name": "c", "image": "i"}],
        "resourceClaims": wanted,
        "nodeName": nodes[0],
    }
    uids = [
        pods.made({"metadata": {"name": name}, "spec": spec})["metadata"]["uid"] for name in "pq"
    ]
    results = [{"request": "r", "driver": "d.example.org", "pool": "p", "device": "one"}]
    claim["status"] = {"allocation": {"devices": {"results": results}}}
    assert claims.put("shared/status", claim).code == 200

    def users() -> set[str]:
        status = claims.get("shared").json.get("status") or {}
        return {one["uid"] for one in status.get("reservedFor") or ()}

    until(lambda: users() == set(uids), "both pods are to have it")
    end(cluster, f"{pods.path}/p")
    until(lambda: users() == {uids[1]}, "a pod that is gone has it still")
    assert claims.get("shared").json["status"]["allocation"]
    end(cluster, f"{pods.path}/q")
    until(
        lambda: "allocation" not in (claims.get("shared").json.get("status") or {}),
        "its allocation stays",
    )
    until(lambda: "finalizers" not in claims.get("shared").json["metadata"], "its finalizer stays")

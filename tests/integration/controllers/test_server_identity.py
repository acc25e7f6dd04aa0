"""API servers say that they are there, and what the dead said of storage goes."""

from __future__ import annotations

import socket
import time

from apiserver.identity import KIND, LABEL, identity_of
from tests.integration.cluster import Cluster

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_VERSIONS = "/apis/internal.apiserver.k8s.io/v1alpha1/storageversions"
_WAIT_S = 20.0


def test_a_server_has_a_lease_by_its_hosts_name(cluster: Cluster) -> None:
    found = cluster.call("GET", f"{_LEASES}?labelSelector={LABEL}={KIND}").json["items"]
    (lease,) = found
    assert lease["metadata"]["name"] == identity_of(socket.gethostname())
    assert lease["spec"]["holderIdentity"].startswith(f"{lease['metadata']['name']}_")
    assert lease["spec"]["leaseDurationSeconds"] == 3600


def test_what_a_server_said_that_is_gone_is_taken_away(cluster: Cluster) -> None:
    made = cluster.call("POST", _VERSIONS, {"metadata": {"name": "example.com.things"}, "spec": {}})
    assert made.code == 201, made.body
    here = identity_of(socket.gethostname())
    entries = [
        {"apiServerID": server, "encodingVersion": "v1", "decodableVersions": ["v1"]}
        for server in (here, "apiserver-gone")
    ]
    path = f"{_VERSIONS}/example.com.things"
    told = {**made.json, "status": {"storageVersions": entries}}
    assert cluster.call("PUT", f"{path}/status", told).code == 200
    deadline_s = time.monotonic() + _WAIT_S
    while len(cluster.call("GET", path).json["status"]["storageVersions"]) > 1:
        assert time.monotonic() < deadline_s, "the entry of a server that is gone stays"
        time.sleep(0.05)
    status = cluster.call("GET", path).json["status"]
    assert [one["apiServerID"] for one in status["storageVersions"]] == [here]
    assert status["commonEncodingVersion"] == "v1"
    assert cluster.call("DELETE", path).code == 200

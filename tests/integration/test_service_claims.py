"""Cluster IPs: each belongs to one Service, whatever becomes of the objects that say so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cluster import Cluster

ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


def _service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


@pytest.mark.parametrize("way", ["delete", "last finalizer", "change of type"])
def test_a_service_gives_back_no_address_that_is_anothers_by_now(
    cluster: Cluster, path: str, way: str
) -> None:
    first = _service("first")
    if way == "last finalizer":
        first["metadata"]["finalizers"] = ["example.org/wait"]
    created = cluster.call("POST", path, first).json
    ip = created["spec"]["clusterIP"]
    # The claim is removed by hand, and the address taken by another Service.
    assert cluster.call("DELETE", f"{ADDRESSES}/{ip}").code == 200
    assert cluster.call("POST", path, _service("second", clusterIP=ip)).code == 201
    if way == "change of type":
        created["spec"] = {"type": "ExternalName", "externalName": "example.org"}
        answer = cluster.call("PUT", f"{path}/first", created)
    else:
        answer = cluster.call("DELETE", f"{path}/first")
        if way == "last finalizer":
            patch = {"metadata": {"finalizers": None}}
            kind = "application/merge-patch+json"
            answer = cluster.call("PATCH", f"{path}/first", patch, content_type=kind)
    assert answer.code == 200, answer.body
    claim = cluster.call("GET", f"{ADDRESSES}/{ip}")
    assert claim.code == 200, claim.body
    assert claim.json["spec"]["parentRef"]["name"] == "second"
    third = cluster.call("POST", path, _service("third", clusterIP=ip))
    assert third.code == 422
    assert cluster.call("DELETE", f"{path}/second").code == 200
    assert cluster.call("GET", f"{ADDRESSES}/{ip}").code == 404

"""A device that a rule taints is given back, in a real cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.integration.cluster import Cluster

_API = "/apis/resource.k8s.io/v1"
_WAIT_S = 20.0


def _until(is_so: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + _WAIT_S
    while not (found := is_so()):
        assert time.monotonic() < deadline_s, "it did not become so"
        time.sleep(0.05)
    return found


def _make(cluster: Cluster, path: str, obj: Any) -> Any:
    made = cluster.call("POST", path, obj)
    assert made.code == 201, made.body
    return made.json


def test_a_rule_evicts_the_pods_of_its_devices_and_says_so(
    cluster: Cluster, namespace: str
) -> None:
    claims = f"{_API}/namespaces/{namespace}/resourceclaims"
    pods = f"/api/v1/namespaces/{namespace}/pods"
    exactly = {"deviceClassName": "gpu.example.com"}
    spec = {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}
    claim = _make(cluster, claims, {"metadata": {"name": "gpu"}, "spec": spec})
    pod = _make(
        cluster,
        pods,
        {
            "metadata": {"name": "user"},
            "spec": {
                "nodeName": "taints-node",
                "containers": [{"name": "main", "image": "example.com/main"}],
                "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
            },
        },
    )
    result = {"request": "gpu", "driver": "d.example.com", "pool": "p", "device": "one"}
    claim["status"] = {
        "allocation": {"devices": {"results": [result]}},
        "reservedFor": [{"resource": "pods", "name": "user", "uid": pod["metadata"]["uid"]}],
    }
    assert cluster.call("PUT", f"{claims}/gpu/status", claim).code == 200
    taint = {"key": "broken", "effect": "NoExecute"}
    rule = {
        "metadata": {"name": f"{namespace}-rule"},
        "spec": {"deviceSelector": {"driver": "d.example.com"}, "taint": taint},
    }
    made = _make(cluster, f"{_API}/devicetaintrules", rule)
    try:
        assert made["spec"]["taint"]["timeAdded"], "the server says since when"
        gone = _until(
            lambda: (
                "deletionTimestamp"
                in (found := cluster.call("GET", f"{pods}/user").json)["metadata"]
                and found
            )
        )
        reasons = {one["type"]: one["reason"] for one in gone["status"]["conditions"]}
        assert reasons["DisruptionTarget"] == "DeletionByDeviceTaintManager"
        path = f"{_API}/devicetaintrules/{namespace}-rule"
        (said,) = _until(lambda: cluster.call("GET", path).json.get("status", {}).get("conditions"))
        assert said["type"] == "EvictionInProgress"
        assert said["observedGeneration"] == 1
    finally:
        cluster.call("DELETE", f"{_API}/devicetaintrules/{namespace}-rule")
        cluster.call("DELETE", f"{pods}/user", {"gracePeriodSeconds": 0})

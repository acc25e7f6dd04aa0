"""Objects that look like custom resources: nested spec and status, short strings, some numbers.

They are ControllerRevisions, whose `data` is free-form JSON as a custom resource is: nothing of it
is defaulted or made canonical. How much smaller CBOR is depends on the strings alone: each costs
two bytes less (no quotes, colon or comma), a container one, a boolean three or four. Where strings
have 5 bytes on average CBOR takes 0.75 of JSON's bytes, where they have 10 it takes 0.85.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube import codec_cbor
from tests.bench.objects import NAME

API: Final = "/apis/apps/v1"
PLURAL: Final = "controllerrevisions"
_TIME: Final = "2026-01-01T00:00:00Z"


def node_claim(name: str, *, managed: bool = False) -> dict[str, Any]:
    """Return an object like a Karpenter NodeClaim; `managed`: with its field ownership."""
    data: dict[str, Any] = {"spec": _spec(), "status": _status()}
    if managed:
        data["managedFields"] = [_ownership(data, manager) for manager in ("karpenter", "kubelet")]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "labels": {
                "karpenter.sh/nodepool": "default",
                "karpenter.sh/capacity-type": "spot",
                "topology.kubernetes.io/zone": "eu-west-1a",
            },
        },
        "revision": 3,
        "data": data,
    }


def template(encoding: str, name_bytes: int) -> bytes:
    """Return a body in which a load script puts a name of just that length."""
    if encoding == "json":
        return orjson.dumps(node_claim(NAME))
    stand_in = "#" * name_bytes
    return codec_cbor.encode(node_claim(stand_in)).replace(stand_in.encode(), NAME.encode())


def _spec() -> dict[str, Any]:
    return {
        "replicas": 3,
        "weight": 10,
        "paused": False,
        "expireAfter": "720h",
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
        "requirements": [
            {
                "key": "node.kubernetes.io/instance-type",
                "operator": "In",
                "values": ["m5.large", "m5.xlarge", "m5.2xlarge"],
            },
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
        ],
        "resources": {"requests": {"cpu": "1510m", "memory": "2Gi", "pods": "12"}},
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}],
        "ports": [80, 443, 8080],
    }


def _status() -> dict[str, Any]:
    return {
        "observedGeneration": 3,
        "replicas": 3,
        "ready": True,
        "load": 0.25,
        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": 3,
                "lastTransitionTime": _TIME,
            }
            for kind in ("Launched", "Registered", "Initialized", "Ready")
        ],
    }


def _ownership(data: dict[str, Any], manager: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "karpenter.sh/v1",
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:{key}": _fields(value) for key, value in data.items()},
    }


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {".": {}, **{f"f:{key}": _fields(item) for key, item in value.items()}}

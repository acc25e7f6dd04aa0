"""The objects that the bench writes: of known sizes, valid on any Kubernetes API server.

`NAME` stands where a load script puts the object's name.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from tests.bench.endpoint import Endpoint, Refused

NAME: Final = "@NAME@"
CONFIG_MAP_BYTES: Final = 1024
POD_BYTES: Final = 2600


def config_map(name: str = NAME) -> bytes:
    """Return a ConfigMap of 1 KB."""
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"bench": "yes"}},
        "data": {"counter": "0", "padding": ""},
    }
    return _padded(document, document["data"], CONFIG_MAP_BYTES)


def timed_config_map(name: str, sent_ns: int) -> bytes:
    """Return a ConfigMap of 1 KB that tells when it was sent, as `watch_fleet` reads it."""
    document: dict[str, Any] = orjson.loads(config_map(name))
    document["data"]["sent"] = str(sent_ns)
    return orjson.dumps(document)


def pod(name: str = NAME, node: str = "") -> bytes:
    """Return a Pod of 2.6 KB as a Deployment's typically is: probes, resources, volumes.

    It is bound to `node` if one is named.
    """
    annotations = {"padding": ""}
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "web", "pod-template-hash": "5d4b6c7f9", "bench": "yes"},
            "annotations": annotations,
        },
        "spec": {
            "containers": [_container("web", 8080), _container("proxy", 9090)],
            "volumes": [
                {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
                {"name": "scratch", "emptyDir": {}},
            ],
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{what}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
                for what in ("not-ready", "unreachable")
            ],
            "automountServiceAccountToken": False,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "terminationGracePeriodSeconds": 30,
        }
        | ({"nodeName": node} if node else {}),
    }
    return _padded(document, annotations, POD_BYTES)


def lease(name: str = NAME, revision: str = "@REVISION@", time: str = "@TIME@") -> bytes:
    """Return a node's Lease; an empty revision is left out, as a create needs."""
    metadata = {"name": name} | ({"resourceVersion": revision} if revision else {})
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {"holderIdentity": "bench", "leaseDurationSeconds": 40, "renewTime": time},
    }
    return orjson.dumps(document)


def namespace(name: str) -> bytes:
    """Return a Namespace."""
    return orjson.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def service_account(name: str) -> bytes:
    """Return a ServiceAccount: upstream's admission wants a namespace's `default` before pods."""
    document = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    return orjson.dumps(document)


def create_namespace(endpoint: Endpoint, name: str) -> None:
    """Create a namespace and what pods in it need."""
    endpoint.create("/api/v1/namespaces", namespace(name))
    try:
        endpoint.create(f"/api/v1/namespaces/{name}/serviceaccounts", service_account("default"))
    except Refused as error:
        if " 409 " not in str(error):  # a controller may have been quicker
            raise


def _container(name: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example.com/team/{name}:1.29.3",
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "REGION", "value": "eu-west-1"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 10},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/web", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }


def _padded(document: dict[str, Any], holder: dict[str, str], size_bytes: int) -> bytes:
    missing = size_bytes - len(orjson.dumps(document))
    assert missing >= 0, "the object is larger than it should be"
    holder["padding"] = "x" * missing
    return orjson.dumps(document)

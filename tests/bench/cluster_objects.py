"""What a large cluster has but pods: nodes, leases, ConfigMaps, Secrets, EndpointSlices, Events.

Each kind has a manifest to create the first object with, and a way to change what differs from
object to object in what the API server has stored of it; no field comes or goes. `KINDS` is the
mix, by hundredths: per node nine pods and a lease, and for the rest what fills clusters. Secrets
hold random bytes, as keys and tokens do; of other values a part is random, as it is in life.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.bench import cluster_pods
from tests.bench.cluster_pods import NAMESPACES, NODES, WORKLOADS, address, time, uid

Object = dict[str, Any]
_WORDS: Final = (
    *("cache", "queue", "timeout", "retry", "pool", "limit", "endpoint", "region", "batch"),
    *("worker", "stream", "index", "shard", "window", "buffer", "client", "server", "report"),
)
_REASONS: Final = (
    ("Scheduled", "Successfully assigned {namespace}/{pod} to {node}"),
    ("Pulled", 'Container image "registry.example.com/{app}:v1.2.0" already present on machine'),
    ("Started", "Container started: main of {pod}, by runtime on {node}"),
    ("BackOff", "Back-off restarting failed container main in pod {pod}_{namespace}({uid})"),
)
_EVENT_TTL_S: Final = 3600


class Kind(NamedTuple):
    """A kind of the mix.

    Attributes:
        storage: the resource's name in storage.
        collection: where its objects are, with a place for the namespace.
        share: its hundredths of all objects.
        manifest: what the first is created of.
        vary: changes a stored object into another one; None: `cluster_pods.Pods` does it.
        ttl_s: how long its objects live; 0: until they are deleted.
    """

    storage: str
    collection: str
    share: int
    manifest: Callable[[], Object]
    vary: Callable[[random.Random, Object], None] | None
    ttl_s: int = 0


def node() -> Object:
    """Return a node with its kubelet's status."""
    started = "2026-06-01T00:00:00Z"
    capacity = {"cpu": "16", "memory": "65536Mi", "pods": "110", "ephemeral-storage": "100Gi"}
    conditions = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    return _object("v1", "Node", "node-first", namespace="") | {
        "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"], "providerID": "cloud:///x"},
        "status": {
            "capacity": capacity,
            "allocatable": capacity | {"cpu": "15800m"},
            "conditions": [
                {
                    "type": kind,
                    "status": "True" if kind == "Ready" else "False",
                    "reason": f"Kubelet{kind}",
                    "message": f"kubelet says so about {kind}",
                    "lastHeartbeatTime": started,
                    "lastTransitionTime": started,
                }
                for kind in conditions
            ],
            "addresses": [
                {"type": "InternalIP", "address": "172.16.0.1"},
                {"type": "Hostname", "address": "node-first"},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": "0" * 32,
                "systemUUID": "0" * 32,
                "bootID": "0" * 32,
                "kernelVersion": "6.6.0",
                "osImage": "Linux",
                "containerRuntimeVersion": "containerd://2.0.0",
                "kubeletVersion": "v1.37.0",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [
                {"names": [f"registry.example.com/{word}:v1.0.0"], "sizeBytes": 10_000_000}
                for word in _WORDS[:12]
            ],
        },
    }


def vary_node(chance: random.Random, obj: Object) -> None:
    """Make another node of a stored one."""
    name = f"node-{chance.randrange(1 << 40):x}"
    _rename(chance, obj, name, "")
    obj["metadata"]["labels"] = {"kubernetes.io/hostname": name, "zone": f"z{chance.randrange(9)}"}
    network = f"10.{chance.randrange(256)}.{chance.randrange(256)}.0/24"
    obj["spec"].update(podCIDR=network, podCIDRs=[network], providerID=f"cloud:///{name}")
    status, beat = obj["status"], time(chance)
    for condition in status["conditions"]:
        condition["lastHeartbeatTime"] = beat
    status["addresses"][0]["address"] = address(chance, "172")
    status["addresses"][1]["address"] = name
    for key in ("machineID", "systemUUID", "bootID"):
        status["nodeInfo"][key] = chance.randbytes(16).hex()
    for image in status["images"]:
        word, version = chance.choice(_WORDS), chance.randrange(100)
        image["names"][0] = f"registry.example.com/{word}:v1.{version}.0"
        image["sizeBytes"] = chance.randrange(1 << 30)


def lease() -> Object:
    """Return a node's lease."""
    spec = {
        "holderIdentity": "node-first",
        "leaseDurationSeconds": 40,
        "renewTime": "2026-06-01T00:00:00.000000Z",
    }
    return _object("coordination.k8s.io/v1", "Lease", "node-first", namespace="team-0") | {
        "spec": spec
    }


def vary_lease(chance: random.Random, obj: Object) -> None:
    """Make another lease of a stored one."""
    name = f"node-{chance.randrange(1 << 40):x}"
    _rename(chance, obj, name, "team-0")
    obj["spec"]["holderIdentity"] = name
    obj["spec"]["renewTime"] = f"{time(chance)[:-1]}.{chance.randrange(10**6):06}Z"


def config_map() -> Object:
    """Return a ConfigMap of 1 KB."""
    return _object("v1", "ConfigMap", "config-first") | {"data": {"app.properties": "", "mode": ""}}


def vary_config_map(chance: random.Random, obj: Object) -> None:
    """Make another ConfigMap of a stored one: settings, some with values found nowhere else."""
    app = _application(chance, obj, "config")
    lines = [
        f"{first}.{chance.choice(_WORDS)}.{chance.randrange(40)}={chance.randrange(100_000)}"
        for first in chance.choices(_WORDS, k=24)
    ]
    lines.append(f"checksum={chance.randbytes(16).hex()}")
    obj["data"]["app.properties"] = "\n".join(lines)
    obj["data"]["mode"] = app


def secret() -> Object:
    """Return a Secret of 1 KB."""
    return _object("v1", "Secret", "secret-first") | {
        "type": "Opaque",
        "data": {"key": "", "token": ""},
    }


def vary_secret(chance: random.Random, obj: Object) -> None:
    """Make another Secret of a stored one: random bytes, which nothing makes smaller."""
    _application(chance, obj, "secret")
    data = obj["data"]
    data["key"] = base64.b64encode(chance.randbytes(384)).decode()
    data["token"] = base64.b64encode(chance.randbytes(48)).decode()


def endpoint_slice() -> Object:
    """Return an EndpointSlice of three addresses."""
    return _object("discovery.k8s.io/v1", "EndpointSlice", "slice-first") | {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "node-0",
                "zone": "z0",
                "targetRef": {"kind": "Pod", "namespace": "team-0", "name": "pod", "uid": "0"},
            }
            for _ in range(3)
        ],
    }


def vary_endpoint_slice(chance: random.Random, obj: Object) -> None:
    """Make another EndpointSlice of a stored one."""
    app = _application(chance, obj, "slice")
    for endpoint in obj["endpoints"]:
        endpoint["addresses"][0] = address(chance, "10")
        endpoint["nodeName"] = f"node-{chance.randrange(NODES)}"
        endpoint["zone"] = f"z{chance.randrange(9)}"
        target = endpoint["targetRef"]
        target["namespace"] = obj["metadata"]["namespace"]
        target["name"] = f"{app}-{chance.randrange(1 << 40):x}"
        target["uid"] = uid(chance)


def event() -> Object:
    """Return an Event of a pod."""
    return _object("v1", "Event", "event-first") | {
        "involvedObject": {
            "kind": "Pod",
            "namespace": "team-0",
            "name": "pod",
            "uid": "0",
            "apiVersion": "v1",
            "resourceVersion": "0",
            "fieldPath": "spec.containers{main}",
        },
        "reason": "Started",
        "message": "Container started",
        "source": {"component": "kubelet", "host": "node-0"},
        "firstTimestamp": "2026-06-01T00:00:00Z",
        "lastTimestamp": "2026-06-01T00:00:00Z",
        "count": 1,
        "type": "Normal",
        "reportingComponent": "kubelet",
        "reportingInstance": "node-0",
    }


def vary_event(chance: random.Random, obj: Object) -> None:
    """Make another Event of a stored one."""
    app = _application(chance, obj, "event")
    involved = obj["involvedObject"]
    involved["namespace"] = namespace = obj["metadata"]["namespace"]
    involved["name"] = pod = f"{app}-{chance.randrange(1 << 40):x}"
    involved["uid"] = pod_uid = uid(chance)
    involved["resourceVersion"] = str(chance.randrange(1 << 30))
    host = f"node-{chance.randrange(NODES)}"
    reason, message = chance.choice(_REASONS)
    obj["reason"] = reason
    obj["message"] = message.format(namespace=namespace, pod=pod, node=host, app=app, uid=pod_uid)
    obj["source"]["host"] = obj["reportingInstance"] = host
    obj["firstTimestamp"] = obj["lastTimestamp"] = time(chance)
    obj["count"] = chance.randrange(1, 50)
    obj["metadata"]["name"] = f"{pod}.{chance.randbytes(8).hex()}"


def pod() -> Object:
    """Return the first pod; its status comes later."""
    return cluster_pods.manifest("team-0", "web-0-000000000-first")


KINDS: Final = (
    Kind("pods", "/api/v1/namespaces/{}/pods", 9, pod, None),
    Kind("nodes", "/api/v1/nodes", 1, node, vary_node),
    Kind(
        "coordination.k8s.io/leases",
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
        *(1, lease, vary_lease),
    ),
    Kind("configmaps", "/api/v1/namespaces/{}/configmaps", 30, config_map, vary_config_map),
    Kind("secrets", "/api/v1/namespaces/{}/secrets", 15, secret, vary_secret),
    Kind(
        "discovery.k8s.io/endpointslices",
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
        *(19, endpoint_slice, vary_endpoint_slice),
    ),
    Kind("events", "/api/v1/namespaces/{}/events", 25, event, vary_event, _EVENT_TTL_S),
)

assert sum(kind.share for kind in KINDS) == 100


def _object(api_version: str, kind: str, name: str, namespace: str = "team-0") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    if kind not in ("Lease", "Event"):
        metadata |= {"labels": {"app": "first"}}  # type: ignore[dict-item]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _rename(chance: random.Random, obj: Object, name: str, namespace: str) -> None:
    metadata = obj["metadata"]
    metadata["name"], metadata["uid"] = name, uid(chance)
    metadata["creationTimestamp"] = time(chance)
    if namespace:
        metadata["namespace"] = namespace


def _application(chance: random.Random, obj: Object, what: str) -> str:
    """Give an object a name and labels of some application; return that."""
    workload = chance.randrange(WORKLOADS)
    app = f"app-{workload}"
    name = f"{app}-{what}-{chance.randrange(1 << 40):x}"
    _rename(chance, obj, name, f"team-{workload % NAMESPACES}")
    if "labels" in obj["metadata"]:
        obj["metadata"]["labels"] = {"app": app}
    return app

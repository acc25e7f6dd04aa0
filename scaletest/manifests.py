"""The objects of a run, as JSON: nodes, DaemonSets, Jobs, inference groups, and what fills a store.

Nodes are of a fleet's kind: whoever makes a Node with the fleet's label gets a simulated machine.
A pod of a workload asks for more than half of a node, so each node has one, as in the published
experiments, whichever instance type it is of.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from typing import Any, Final, NamedTuple

import orjson

from kube.json_types import JsonObject
from scaletest.plan import GROUP_PODS, Plan

FLEET: Final = "fleet.ultraplane.dev"
POOL: Final = "scaletest.ultraplane.dev/pool"
SYSTEM: Final = "scaletest-system"
FILL_NAMESPACES: Final = 100
PRIORITY_CLASS: Final = "scaletest-probe"
LWS_GROUP: Final = "leaderworkerset.x-k8s.io"
LWS_PATH: Final = f"/apis/{LWS_GROUP}/v1"
_LWS_VERSION: Final = f"{LWS_GROUP}/v1"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_FOREVER: Final = "87600h"
_ZONES: Final = ("zone-a", "zone-b", "zone-c")
_PER_NODE: Final = {"cpu": "100", "memory": "512Gi"}
"""More than half of each pool's machines, so that a node has room for one such pod."""
_DAEMONS: Final = ("network-agent", "node-monitor")


class Pool(NamedTuple):
    """Nodes of one instance type; `weight` is their share, in tenths."""

    name: str
    instance_type: str
    weight: int


POOLS: Final = (Pool("trn", "neuron-16", 6), Pool("gpu", "gpu-8", 4))
# Each node's pods have 256 addresses. The fleet's own first node has the first of these ranges.
_RANGES: Final = tuple(map(ipaddress.IPv4Network, ("10.128.0.0/9", "240.0.0.0/4")))


def node(number: int) -> JsonObject:
    """Return a node, as a cloud that launched a machine registers it."""
    turns = [pool for pool in POOLS for _ in range(pool.weight)]
    pool = turns[number % len(turns)]
    zone = _ZONES[number % len(_ZONES)]
    name = node_name(number)
    network = _network(number + 1)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name,
                "node.kubernetes.io/instance-type": pool.instance_type,
                "topology.kubernetes.io/region": "simulated",
                "topology.kubernetes.io/zone": zone,
                f"{FLEET}/template": pool.name,
                POOL: pool.name,
            },
        },
        "spec": {
            "providerID": f"scaletest:///{zone}/{name}",
            "podCIDR": network,
            "podCIDRs": [network],
        },
    }


def node_name(number: int) -> str:
    """Return what the node of a number is called."""
    return f"scale-{number:06d}"


def _network(number: int) -> str:
    for whole in _RANGES:
        count = whole.num_addresses >> 8
        if number < count:
            return f"{whole.network_address + (number << 8)}/24"
        number -= count
    raise AssertionError("there are more nodes than networks for their pods")


def namespace(name: str) -> JsonObject:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def priority_class() -> JsonObject:
    """Return the priority of probing pods: they measure the scheduler, not its queue."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS},
        "value": 1_000_000,
        "preemptionPolicy": "Never",
    }


def daemon_sets() -> list[JsonObject]:
    """Return what runs on every node of the run."""
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": SYSTEM},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "affinity": _on_pools(),
                        "tolerations": [{"operator": "Exists"}],
                        "priorityClassName": "system-node-critical",
                        "containers": [_container(name, {"cpu": "50m", "memory": "64Mi"})],
                    },
                },
            },
        }
        for name in _DAEMONS
    ]


def _on_pools() -> JsonObject:
    term = {"matchExpressions": [{"key": POOL, "operator": "Exists"}]}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def job(name: str, space: str, pods: int, run_s: float | None = None) -> JsonObject:
    """Return an Indexed Job all of whose pods run at once.

    Args:
        name: of the Job.
        space: its namespace.
        pods: how many.
        run_s: how long each runs; None: until it is deleted.
    """
    runs = _FOREVER if run_s is None else f"{run_s:.0f}s"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": pods,
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {f"{FLEET}/run": runs}},
                "spec": {
                    "restartPolicy": "Never",
                    "affinity": _on_pools(),
                    "containers": [_container("trainer", _PER_NODE, _trainer_env())],
                },
            },
        },
    }


def leader_worker_set(name: str, space: str, plan: Plan) -> JsonObject:
    """Return the inference workload: groups of a leader and its workers."""
    template = _inference(name)
    return {
        "apiVersion": _LWS_VERSION,
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "replicas": plan.groups,
            "leaderWorkerTemplate": {"size": GROUP_PODS, "workerTemplate": template},
        },
    }


def stateful_set(name: str, space: str, plan: Plan) -> JsonObject:
    """Return what stands in for the inference workload: as many pods, in no groups."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "replicas": plan.groups * GROUP_PODS,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": _inference(name),
        },
    }


def _inference(name: str) -> JsonObject:
    container = _container("vllm", _PER_NODE, [{"name": "MODEL", "value": "Llama-3.2-1B"}])
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"affinity": _on_pools(), "containers": [container]},
    }


def probe_pod(name: str, space: str) -> JsonObject:
    """Return a small pod whose way to Ready is timed."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "priorityClassName": PRIORITY_CLASS,
            "terminationGracePeriodSeconds": 0,
            "containers": [_container("probe", {"cpu": "10m", "memory": "16Mi"})],
        },
    }


def _container(name: str, requests: JsonObject, env: list[JsonObject] | None = None) -> JsonObject:
    image = f"registry.example/{name}:1"
    return {"name": name, "image": image, "resources": {"requests": requests}, "env": env or []}


def _trainer_env() -> list[JsonObject]:
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{_INDEX}']"}}
    return [
        {"name": "RANK", "valueFrom": index},
        {"name": "MASTER_ADDR", "value": "trainer-0.trainer"},
        {"name": "MASTER_PORT", "value": "29500"},
        {"name": "CHECKPOINT_BUCKET", "value": "s3://checkpoints/run"},
    ]


class Filling(NamedTuple):
    """One object that is there only to be many: where it is sent, and its JSON."""

    path: str
    body: bytes


def fill_namespace(number: int) -> str:
    """Return the namespace of the object of a number."""
    return f"fill-{number % FILL_NAMESPACES:02d}"


def filling(number: int) -> Filling:
    """Return the object of a number: of ten, five ConfigMaps, three Secrets, two EndpointSlices.

    Their contents differ, and Secrets' are random to a compressor, as real ones are. There are no
    Events: those of a long run would expire while it lasts.
    """
    space, name, turn = fill_namespace(number), f"object-{number:08d}", number % 10
    digest = hashlib.sha256(name.encode()).digest()
    metadata = {"name": name, "namespace": space}
    obj: dict[str, Any]
    version = "v1"
    if turn < 5:
        values = {f"key-{at}": digest.hex() for at in range(4)}
        plural, obj = "configmaps", {"kind": "ConfigMap", "data": values}
    elif turn < 8:
        secret = base64.b64encode(hashlib.shake_256(digest).digest(300)).decode()
        plural, obj = "secrets", {"kind": "Secret", "type": "Opaque", "data": {"key": secret}}
    else:
        version, plural, obj = "discovery.k8s.io/v1", "endpointslices", _slice(digest)
    root = "/api/v1" if version == "v1" else f"/apis/{version}"
    body = orjson.dumps({"apiVersion": version, "metadata": metadata, **obj})
    return Filling(f"{root}/namespaces/{space}/{plural}", body)


def _slice(digest: bytes) -> JsonObject:
    """Return the content of a slice of four endpoints that is nobody's."""
    return {
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [f"10.{digest[at]}.{digest[at + 1]}.{digest[at + 2]}"]}
            for at in range(0, 12, 3)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }

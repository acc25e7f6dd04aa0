"""Pods as a large cluster has them: 2.5 KB, running, each with names, ids and times of its own.

`Pods` makes what the API server would store of them. It begins from one that the API server has
stored, and changes the values that differ from pod to pod; no field comes or goes.
"""

from __future__ import annotations

import random
from typing import Any, Final

import orjson

NAMESPACES: Final = 200
WORKLOADS: Final = 3_000
NODES: Final = 100_000
_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
_KINDS: Final = ("web", "api", "worker", "cache", "batch")
_CONDITIONS: Final = (
    *("PodReadyToStartContainers", "Initialized", "Ready"),
    *("ContainersReady", "PodScheduled"),
)


def manifest(namespace: str, name: str) -> dict[str, Any]:
    """Return a pod to create."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": "web-0-000000000-",
            "namespace": namespace,
            "labels": {"app": "web-0", "pod-template-hash": "000000000", "tier": "backend"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-0-000000000",
                    "uid": "00000000-0000-4000-8000-000000000000",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "nodeName": "node-0",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example.com/web-0:v1.0.0",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": [
                        {"name": "MODE", "value": "production"},
                        {"name": "SHARD", "value": "0"},
                        {"name": "UPSTREAM", "value": "http://web-0.team-0.svc:8080/"},
                    ],
                    "resources": {
                        "limits": {"cpu": "1", "memory": "1Gi"},
                        "requests": {"cpu": "100m", "memory": "256Mi"},
                    },
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                }
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
        },
    }


def status(now: str) -> dict[str, Any]:
    """Return the status that a kubelet gives a running pod."""
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now} for kind in _CONDITIONS
        ],
        "hostIP": "172.16.0.1",
        "hostIPs": [{"ip": "172.16.0.1"}],
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "startTime": now,
        "containerStatuses": [
            {
                "name": "main",
                "state": {"running": {"startedAt": now}},
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": "registry.example.com/web-0:v1.0.0",
                "imageID": f"registry.example.com/web-0@sha256:{'0' * 64}",
                "containerID": f"containerd://{'0' * 64}",
            }
        ],
        "qosClass": "Burstable",
    }


class Pods:
    """Makes pods out of a stored one; the same for the same seed."""

    def __init__(self, stored: bytes, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._pod: dict[str, Any] = orjson.loads(stored)
        self._images = [self._chance.randbytes(32).hex() for _ in range(4 * WORKLOADS)]

    def next(self) -> dict[str, Any]:
        """Return another pod; the dictionary is used again for the next."""
        chance, pod = self._chance, self._pod
        workload = chance.randrange(WORKLOADS)
        namespace = f"team-{workload % NAMESPACES}"
        app = f"{_KINDS[workload % len(_KINDS)]}-{workload}"
        build = chance.randrange(4)
        template = f"{(workload * 2654435761 + build) % (1 << 36):09x}"
        image = f"registry.example.com/{app}:v1.{build}.0"
        metadata, spec = pod["metadata"], pod["spec"]
        metadata["name"] = f"{app}-{template}-{''.join(chance.choices(_SUFFIX, k=5))}"
        metadata["generateName"] = f"{app}-{template}-"
        metadata["namespace"] = namespace
        metadata["uid"] = uid(chance)
        metadata["creationTimestamp"] = time(chance)
        metadata["labels"] = {"app": app, "pod-template-hash": template, "tier": "backend"}
        owner = metadata["ownerReferences"][0]
        owner["name"] = f"{app}-{template}"
        owner["uid"] = f"{workload:08x}-{build:04x}-4000-8000-{workload * 7919:012x}"
        spec["nodeName"] = f"node-{chance.randrange(NODES)}"
        container = spec["containers"][0]
        container["image"] = image
        container["env"][1]["value"] = str(chance.randrange(64))
        container["env"][2]["value"] = f"http://{app}.{namespace}.svc:8080/"
        self._fill_status(pod["status"], image, self._images[4 * workload + build])
        return pod

    def _fill_status(self, state: dict[str, Any], image: str, image_id: str) -> None:
        chance = self._chance
        ip, host = address(chance, "10"), address(chance, "172")
        state["podIP"] = state["podIPs"][0]["ip"] = ip
        state["hostIP"] = state["hostIPs"][0]["ip"] = host
        state["startTime"] = time(chance)
        times = [time(chance), time(chance)]
        for at, condition in enumerate(state["conditions"]):
            condition["lastTransitionTime"] = times[at % 2]
        container = state["containerStatuses"][0]
        container["state"]["running"]["startedAt"] = time(chance)
        container["image"] = image
        container["imageID"] = f"{image.partition(':')[0]}@sha256:{image_id}"
        container["containerID"] = f"containerd://{chance.randbytes(32).hex()}"


def uid(chance: random.Random) -> str:
    """Return a UUID as the API server makes them."""
    text = chance.randbytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def time(chance: random.Random) -> str:
    """Return some second of some month."""
    second = chance.randrange(86_400 * 28)
    day, second = divmod(second, 86_400)
    hour, second = divmod(second, 3600)
    return f"2026-06-{day + 1:02}T{hour:02}:{second // 60:02}:{second % 60:02}Z"


def address(chance: random.Random, first: str) -> str:
    """Return an IPv4 address that begins with `first`."""
    return ".".join([first, *map(str, chance.choices(range(1, 255), k=3))])

"""Objects that many cases begin with."""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject

PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"


def metadata(name: str, labels: dict[str, str] | None = None, **more: Any) -> JsonObject:
    """Return metadata of a named object."""
    return {"name": name, **({"labels": labels} if labels else {}), **more}


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    """Return a Pod of one container."""
    containers = [{"name": "pause", "image": PAUSE_IMAGE}]
    return {"metadata": metadata(name, labels), "spec": {"containers": containers, **spec}}


def pod_template(labels: dict[str, str]) -> JsonObject:
    """Return the template of a workload's Pods."""
    containers = [{"name": "nginx", "image": "nginx:latest"}]
    return {"metadata": {"labels": labels}, "spec": {"containers": containers}}


def workload(name: str, replicas: int, labels: dict[str, str] | None = None) -> JsonObject:
    """Return a Deployment or ReplicaSet."""
    chosen = labels or {"app": "nginx"}
    return {
        "metadata": metadata(name, chosen),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": chosen},
            "template": pod_template(chosen),
        },
    }


def controller(name: str, replicas: int, labels: dict[str, str] | None = None) -> JsonObject:
    """Return a ReplicationController."""
    chosen = labels or {"name": name}
    spec = {"replicas": replicas, "selector": chosen, "template": pod_template(chosen)}
    return {"metadata": metadata(name), "spec": spec}


def owner(obj: JsonObject, *, blocks: bool = False, controls: bool = True) -> JsonObject:
    """Return the reference that makes `obj` the owner of another object."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": controls,
        "blockOwnerDeletion": blocks,
    }

"""Deployments, ReplicaSets and pods as a watch tells of them."""

from __future__ import annotations

from typing import Any

from controllers.workloads.pods import Owner, PodBrief
from controllers.workloads.rollout_math import DESIRED, MAX

NOW_S = 1_800_000_000.0


def deployment(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a Deployment of `web:1`; what is given goes into its spec."""
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": template("web:1"),
            **spec,
        },
    }


def template(image: str) -> dict[str, Any]:
    """Return a pod template."""
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def replica_set(
    name: str, replicas: int, *, available: int | None = None, image: str = "web:1", **notes: str
) -> dict[str, Any]:
    """Return a ReplicaSet of a Deployment of `replicas`; all are available unless said."""
    told = replicas if available is None else available
    annotations = {DESIRED: str(replicas), MAX: str(replicas), **notes}
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": name,
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:0{name[-1]}Z",
            "annotations": annotations,
        },
        "spec": {"replicas": replicas, "template": template(image)},
        "status": {"replicas": replicas, "availableReplicas": told, "observedGeneration": 1},
    }


def pod(name: str, **changes: Any) -> PodBrief:
    """Return the brief of a running pod, ready for an hour, of the ReplicaSet `web-1`."""
    made = PodBrief(
        key=f"n/{name}",
        uid=name,
        owner=Owner("ReplicaSet", "web-1", "web-1"),
        labels=frozenset({("app", "web")}),
        phase="Running",
        node="node",
        is_deleting=False,
        created_s=int(NOW_S) - 3700,
        ready_s=int(NOW_S) - 3600,
        restarts=(0, 0),
        cost=0,
    )
    return made._replace(**changes)

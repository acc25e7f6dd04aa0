"""ResourceQuotas of cases, and their usage as the server counts it."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import eventually, has
from conformance.resource import Resource
from conformance.samples import PAUSE_IMAGE
from conformance.stage import Stage
from kube.json_types import JsonObject

EXTENDED: Final = "example.com/dongle"
_USAGE_S: Final = 60.0
HARD: Final = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "configmaps": "10",
    "secrets": "10",
    "cpu": "1",
    "memory": "500Mi",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "ephemeral-storage": "50Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    f"requests.{EXTENDED}": "3",
}


def quotas(stage: Stage) -> Resource:
    """Return the type of quotas."""
    return stage.of("v1", "resourcequotas", "ResourceQuota")


def quota(name: str, hard: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    """Return a quota."""
    return {"metadata": {"name": name}, "spec": {"hard": dict(hard or HARD), **spec}}


async def used(stage: Stage, name: str, expected: dict[str, str]) -> None:
    """Demand that a quota's status comes to tell of this usage."""

    async def look() -> bool:
        status = (await quotas(stage).get(name)).get("status") or {}
        has(status.get("used") or {}, expected, f"usage told by {name}")
        return True

    await eventually(f"{name} tells of the usage", look, within_s=_USAGE_S)


def measured_pod(name: str, requests: dict[str, str], limits: dict[str, str] | None = None) -> Any:
    """Return a Pod that requests so much."""
    resources = {"requests": requests, "limits": limits or {}}
    container = {"name": "pause", "image": PAUSE_IMAGE, "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}

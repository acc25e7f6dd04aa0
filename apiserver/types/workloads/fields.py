"""Values of workloads that field selectors can ask for."""

from __future__ import annotations

from kube.json_types import JsonObject


def status_replicas(obj: JsonObject) -> str:
    """Return `status.replicas` as text."""
    return str(obj.get("status", {}).get("replicas", 0))


def status_successful(obj: JsonObject) -> str:
    """Return how many pods of a Job succeeded, as text."""
    return str(obj.get("status", {}).get("succeeded", 0))

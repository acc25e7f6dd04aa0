"""What a controller writes into a node's conditions when nothing is heard of it."""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

_TYPES: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Without NetworkUnavailable, which is not the kubelet's."""


def unknown_status(node: JsonObject, now: str) -> JsonObject | None:
    """Return a node's status with its kubelet's conditions unknown; None: its Ready is so already.

    Args:
        node: as it is.
        now: the time of whatever changes.
    """
    status = dict(node.get("status") or {})
    before: list[JsonObject] = status.get("conditions") or []
    ready = next((one for one in before if one["type"] == "Ready"), None)
    if ready is not None and ready.get("status") == "Unknown":
        return None
    after = [_unknown(one, now) if one["type"] in _TYPES else one for one in before]
    present = {one["type"] for one in before}
    after += [_never(node, name, now) for name in _TYPES if name not in present]
    return {**status, "conditions": after}


def _unknown(condition: JsonObject, now: str) -> JsonObject:
    if condition.get("status") == "Unknown":
        return condition
    return {
        **condition,
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastTransitionTime": now,
    }


def _never(node: JsonObject, name: str, now: str) -> JsonObject:
    return {
        "type": name,
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
        "lastTransitionTime": now,
    }


def pod_not_ready(pod: JsonObject, now: str) -> JsonObject | None:
    """Return a pod whose Ready condition is false; None: it is so already, or it has none."""
    conditions: list[JsonObject] = (pod.get("status") or {}).get("conditions") or []
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    if ready is None or ready.get("status") == "False":
        return None
    changed = {**ready, "status": "False", "lastTransitionTime": now}
    after = [changed if one is ready else one for one in conditions]
    return {**pod, "status": {**pod["status"], "conditions": after}}

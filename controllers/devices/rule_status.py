"""What a DeviceTaintRule's status says: how far the eviction is that it causes."""

from __future__ import annotations

from typing import Final, NamedTuple

from controllers.devices.taints import NO_EFFECT
from controllers.nodes.taints import NO_EXECUTE
from kube.json_types import JsonObject

CONDITION: Final = "EvictionInProgress"
_ONLY_ONCE: Final = (
    "if the effect was NoExecute. This information will not be updated again. Recreate the "
    "DeviceTaintRule to trigger an update."
)


class Tally(NamedTuple):
    """What a rule is about.

    Attributes:
        published: devices that it selects.
        allocated: of those that claims have.
        pods: that are to be evicted, or would be.
        namespaces: that these are in.
        evicted: pods that were, since the controller was started.
    """

    published: int = 0
    allocated: int = 0
    pods: int = 0
    namespaces: int = 0
    evicted: int = 0


def condition(rule: JsonObject, tally: Tally) -> JsonObject:
    """Return a rule's condition, without a time.

    Args:
        rule: as it is.
        tally: see there.
    """
    effect = (rule["spec"].get("taint") or {}).get("effect", "")
    status, message = "False", ""
    if effect == NO_EXECUTE:
        reason = "Completed" if tally.evicted else "NotStarted"
        if tally.pods:
            status, reason = "True", "PodsPendingEviction"
            pods = "1 pod needs" if tally.pods == 1 else f"{tally.pods} pods need"
            message = f"{pods} to be evicted in {_namespaces(tally)}."
    elif effect == NO_EFFECT:
        reason = "NoEffect"
        message = (
            f"{_devices(tally.published, 'published')} selected. "
            f"{_devices(tally.allocated, 'allocated')} selected. "
            f"{_pods(tally.pods)} would be evicted in {_namespaces(tally)} {_ONLY_ONCE}"
        )
    else:
        reason, message = "OtherEffect", "Eviction only happens for the NoExecute effect."
    if tally.evicted:
        told = f"{_pods(tally.evicted)} evicted since starting the controller."
        message = f"{message} {told}" if message else told
    return {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": rule["metadata"].get("generation", 0),
    }


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _devices(count: int, what: str) -> str:
    return f"1 {what} device" if count == 1 else f"{count} {what} devices"


def _namespaces(tally: Tally) -> str:
    if tally.namespaces == 1:
        return "1 namespace"
    return f"{tally.namespaces} different namespaces"

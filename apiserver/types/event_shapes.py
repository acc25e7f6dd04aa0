"""The two shapes of an Event: events.k8s.io/v1, and the core group's, in which it is stored."""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

# events.k8s.io name -> core name
_NAMES: Final = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_BACK: Final = {core: new for new, core in _NAMES.items()}
# What the core shape always shows, be it empty.
_CORE_ALWAYS: Final = ("firstTimestamp", "lastTimestamp", "eventTime")


def to_core(obj: JsonObject) -> JsonObject:
    """Return the stored shape of an events.k8s.io object."""
    core = {_NAMES.get(key, key): value for key, value in obj.items()}
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    core.setdefault("reportingComponent", "")
    core.setdefault("reportingInstance", "")
    for key in _CORE_ALWAYS:
        core.setdefault(key, None)
    return core


def from_core(obj: JsonObject) -> JsonObject:
    """Return the events.k8s.io shape of a stored object."""
    shape = {_BACK.get(key, key): value for key, value in obj.items()}
    for key in ("reportingController", "reportingInstance"):
        # Always there in the core shape, left out here when empty.
        if not shape.get(key):
            shape.pop(key, None)
    return shape

"""What a Terminating namespace's conditions say, as upstream's namespace controller words it.

Pure: a report of one pass goes in, conditions come out. Each of the five is there after the first
pass; its transition time is that of its status, not of its message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kube.json_types import JsonObject

DISCOVERY_FAILURE: Final = "NamespaceDeletionDiscoveryFailure"
VERSION_FAILURE: Final = "NamespaceDeletionGroupVersionParsingFailure"
CONTENT_FAILURE: Final = "NamespaceDeletionContentFailure"
CONTENT_REMAINING: Final = "NamespaceContentRemaining"
FINALIZERS_REMAINING: Final = "NamespaceFinalizersRemaining"

_FINE: Final = {
    DISCOVERY_FAILURE: ("ResourcesDiscovered", "All resources successfully discovered"),
    VERSION_FAILURE: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    CONTENT_FAILURE: (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    CONTENT_REMAINING: ("ContentRemoved", "All content successfully removed"),
    FINALIZERS_REMAINING: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass(slots=True)
class Report:
    """What one pass over a namespace's content found.

    Attributes:
        discovery_failure: why not all collections are known, "" if they are.
        failures: what went wrong, a text each.
        remaining: how many objects are left, by "resource.group".
        finalizers: how many of those have a finalizer, by its name.
    """

    discovery_failure: str = ""
    failures: list[str] = field(default_factory=list)
    remaining: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether all is known, and nothing is left."""
        return not (self.discovery_failure or self.failures or self.remaining.total())


def wanted_conditions(report: Report) -> dict[str, tuple[str, str, str]]:
    """Return (status, reason, message) by type of condition."""
    troubles: dict[str, tuple[str, str]] = {}
    if report.discovery_failure:
        troubles[DISCOVERY_FAILURE] = ("DiscoveryFailed", report.discovery_failure)
    if report.failures:
        text = ", ".join(sorted(report.failures))
        count = len(report.failures)
        message = f"Failed to delete all resource types, {count} remaining: {text}"
        troubles[CONTENT_FAILURE] = ("ContentDeletionFailed", message)
    if parts := _parts(report.remaining, "{} has {} resource instances"):
        message = f"Some resources are remaining: {parts}"
        troubles[CONTENT_REMAINING] = ("SomeResourcesRemain", message)
    if parts := _parts(report.finalizers, "{} in {} resource instances"):
        message = f"Some content in the namespace has finalizers remaining: {parts}"
        troubles[FINALIZERS_REMAINING] = ("SomeFinalizersRemain", message)
    return {
        kind: ("True", *troubles[kind]) if kind in troubles else ("False", *fine)
        for kind, fine in _FINE.items()
    }


def merge_conditions(
    present: Sequence[JsonObject], report: Report, now: str
) -> list[JsonObject] | None:
    """Return `present` with what `report` says, or None if it says that already."""
    merged = {condition["type"]: condition for condition in present}
    changed = False
    for kind, (status, reason, message) in wanted_conditions(report).items():
        old = merged.get(kind, {})
        new = {"type": kind, "status": status, "reason": reason, "message": message}
        if new.items() <= old.items():
            continue
        changed = True
        since = old.get("lastTransitionTime", now) if old.get("status") == status else now
        merged[kind] = {**new, "lastTransitionTime": since}
    return list(merged.values()) if changed else None


def _parts(counts: Counter[str], form: str) -> str:
    return ", ".join(sorted(form.format(name, count) for name, count in counts.items() if count))

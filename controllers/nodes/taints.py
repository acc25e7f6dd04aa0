"""Taints and tolerations: what conditions mean as taints, and who is tolerated for how long.

All of it is pure; what it says of a node is the same in every process that looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kube.json_types import JsonObject

NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
NOT_READY_KEY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE_KEY: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_KEY: Final = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE_KEY: Final = "node.kubernetes.io/out-of-service"
_BY_CONDITION: Final = {
    ("Ready", "False"): NOT_READY_KEY,
    ("Ready", "Unknown"): UNREACHABLE_KEY,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS: Final = frozenset({*_BY_CONDITION.values(), UNSCHEDULABLE_KEY})


class Taint(NamedTuple):
    """A taint without its time; keys and effects tell taints of a node apart."""

    key: str
    effect: str
    value: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """What no two taints of a node have alike."""
        return self.key, self.effect


NOT_READY: Final = Taint(NOT_READY_KEY, NO_EXECUTE)
UNREACHABLE: Final = Taint(UNREACHABLE_KEY, NO_EXECUTE)


def taints_of(node: JsonObject) -> tuple[Taint, ...]:
    """Return a node's taints."""
    return tuple(
        Taint(one["key"], one["effect"], one.get("value", ""))
        for one in (node.get("spec") or {}).get("taints") or ()
    )


def is_among(taint: Taint, taints: Iterable[Taint]) -> bool:
    """Tell whether a taint is there, whatever its value."""
    return any(one.key == taint.key and one.effect == taint.effect for one in taints)


def wanted_no_schedule(node: JsonObject) -> list[Taint]:
    """Return the NoSchedule taints that a node's conditions and its cordon ask for."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    keys = [_BY_CONDITION.get((one["type"], one.get("status", ""))) for one in conditions]
    if (node.get("spec") or {}).get("unschedulable"):
        keys.append(UNSCHEDULABLE_KEY)
    return [Taint(key, NO_SCHEDULE) for key in keys if key is not None]


def no_schedule_changes(node: JsonObject) -> tuple[list[Taint], list[Taint]]:
    """Return which NoSchedule taints a node lacks, and which it has without a reason."""
    wanted = wanted_no_schedule(node)
    present = [one for one in taints_of(node) if one.effect == NO_SCHEDULE and one.key in _OURS]
    places, wanted_places = {one.place for one in present}, {one.place for one in wanted}
    return (
        [one for one in wanted if one.place not in places],
        [one for one in present if one.place not in wanted_places],
    )


def changed_taints(
    node: JsonObject, add: Sequence[Taint], remove: Sequence[Taint], now: str
) -> list[JsonObject] | None:
    """Return a node's taints after a change, None if that is none.

    Args:
        node: as it is.
        add: what it is to have; one that it has stays as it is.
        remove: what it is not to have.
        now: the time of what is added.
    """
    present: list[JsonObject] = (node.get("spec") or {}).get("taints") or []
    gone = {one.place for one in remove}
    kept = [one for one in present if (one["key"], one["effect"]) not in gone]
    places = {(one["key"], one["effect"]) for one in kept}
    new = [one for one in add if one.place not in places]
    if not new and len(kept) == len(present):
        return None
    return [*kept, *({"key": one.key, "effect": one.effect, "timeAdded": now} for one in new)]


def tolerates(toleration: JsonObject, taint: Taint) -> bool:
    """Tell whether a toleration covers a taint (v1.Toleration.ToleratesTaint)."""
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    match toleration.get("operator", ""):
        case "" | "Equal":
            return bool(toleration.get("value", "") == taint.value)
        case "Exists":
            return True
        case _:
            return False


def tolerated_s(tolerations: Iterable[JsonObject], taints: Iterable[Taint]) -> float | None:
    """Return for how long all the taints are tolerated together; None is for ever.

    The first toleration that covers a taint counts, and of all that count the shortest. A taint
    that none covers is tolerated for no time at all.
    """
    listed = list(tolerations)
    least: float | None = None
    for taint in taints:
        used = next((one for one in listed if tolerates(one, taint)), None)
        if used is None:
            return 0.0
        seconds = used.get("tolerationSeconds")
        if seconds is not None:
            least = min(max(0.0, float(seconds)), least if least is not None else float("inf"))
    return least

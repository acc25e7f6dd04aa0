"""Setting a condition in a pod's status as upstream's helper does."""

from __future__ import annotations

from kube.json_types import JsonObject


def set_condition(status: JsonObject, condition: JsonObject, now: str) -> bool:
    """Put `condition` into a status; return whether anything changed.

    The transition time only moves when the condition's status does.
    """
    conditions = status.setdefault("conditions", [])
    for index, old in enumerate(conditions):
        if old.get("type") != condition["type"]:
            continue
        moved = old.get("status") != condition["status"]
        stamped = dict(condition)
        stamped["lastTransitionTime"] = now if moved else old.get("lastTransitionTime", now)
        if old.get("observedGeneration") and "observedGeneration" not in stamped:
            stamped["observedGeneration"] = old["observedGeneration"]
        conditions[index] = stamped
        return bool(stamped != old)
    conditions.append({**condition, "lastTransitionTime": now})
    return True

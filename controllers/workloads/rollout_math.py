"""How many replicas each ReplicaSet of a Deployment is to have: arithmetic, nothing else.

The names and the order of decisions are upstream's (pkg/controller/deployment/util and rolling.go).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from kube.json_types import JsonObject

DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAX: Final = "deployment.kubernetes.io/max-replicas"


def replicas_of(obj: JsonObject) -> int:
    """Return how many replicas a Deployment or ReplicaSet wants."""
    return int(obj["spec"].get("replicas", 1))


def status_of(obj: JsonObject, name: str) -> int:
    """Return a count of an object's status."""
    return int((obj.get("status") or {}).get(name, 0))


def wanted(sets: Iterable[JsonObject]) -> int:
    """Return how many replicas several ReplicaSets want together."""
    return sum(replicas_of(one) for one in sets)


def told(sets: Iterable[JsonObject], name: str) -> int:
    """Return a count of several statuses together."""
    return sum(status_of(one, name) for one in sets)


def active(sets: Iterable[JsonObject]) -> list[JsonObject]:
    """Return those that want replicas."""
    return [one for one in sets if replicas_of(one) > 0]


def is_rolling(deployment: JsonObject) -> bool:
    """Tell whether pods are replaced a few at a time."""
    strategy = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """Return a number, or a percentage of `total`, rounded up or down."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    exact = total * int(value.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def fenceposts(deployment: JsonObject) -> tuple[int, int]:
    """Return how many pods there may be too many and too few; never neither."""
    rules = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas_of(deployment)
    surge = scaled(rules.get("maxSurge"), total, up=True)
    unavailable = scaled(rules.get("maxUnavailable"), total, up=False)
    if surge == 0 and unavailable == 0:
        return 0, 1
    return surge, unavailable


def max_surge(deployment: JsonObject) -> int:
    """Return how many pods there may be beyond those wanted."""
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: JsonObject) -> int:
    """Return how many of those wanted may be missing."""
    total = replicas_of(deployment)
    if not is_rolling(deployment) or total == 0:
        return 0
    return min(fenceposts(deployment)[1], total)


def new_replicas(deployment: JsonObject, sets: Iterable[JsonObject], new: JsonObject) -> int:
    """Return to how many replicas the new ReplicaSet may be scaled up now."""
    total = replicas_of(deployment)
    if not is_rolling(deployment):
        return total
    room = total + max_surge(deployment) - wanted(sets)
    if room <= 0:
        return replicas_of(new)
    return replicas_of(new) + min(room, total - replicas_of(new))


def annotated(replica_set: JsonObject, name: str) -> int | None:
    """Return a number that an annotation holds."""
    text = (replica_set["metadata"].get("annotations") or {}).get(name)
    try:
        return int(text) if text else None
    except ValueError:
        return None


def is_saturated(deployment: JsonObject, new: JsonObject | None) -> bool:
    """Tell whether the new ReplicaSet has all that is wanted."""
    if new is None:
        return False
    total = replicas_of(deployment)
    return (
        annotated(new, DESIRED) == total == replicas_of(new) == status_of(new, "availableReplicas")
    )


def proportion(replica_set: JsonObject, deployment: JsonObject, add: int, added: int) -> int:
    """Return a ReplicaSet's share of the replicas that are to be added, or taken if negative."""
    if replicas_of(replica_set) == 0 or add in (0, added):
        return 0
    share = _fraction(replica_set, deployment)
    return min(share, add - added) if add > 0 else max(share, add - added)


def _fraction(replica_set: JsonObject, deployment: JsonObject) -> int:
    size = replicas_of(replica_set)
    if replicas_of(deployment) == 0:
        return -size
    most = replicas_of(deployment) + max_surge(deployment)
    before = annotated(replica_set, MAX) or status_of(deployment, "replicas")
    if not before:
        return 0
    exact = size * most / before
    return math.floor(exact + 0.5) - size

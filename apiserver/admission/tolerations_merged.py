"""Tolerations as sets: which one covers another, and two lists of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kube.json_types import JsonObject

_ALWAYS: Final = float("inf")


def merged(first: Sequence[JsonObject], second: Sequence[JsonObject]) -> list[JsonObject]:
    """Return both as one list; of those that cover others, only these are in it."""
    every = [*first, *second]
    kept: list[JsonObject] = []
    for number, one in enumerate(every):
        if any(covers(other, one) for other in kept):
            continue
        later = every[number + 1 :]
        if not any(one != other and covers(other, one) for other in later):
            kept.append(one)
    return kept


def are_covered(tolerations: Sequence[JsonObject], allowed: Sequence[JsonObject]) -> bool:
    """Tell whether each toleration is covered by one that is allowed."""
    return all(any(covers(wide, one) for wide in allowed) for one in tolerations)


def covers(wide: JsonObject, narrow: JsonObject) -> bool:
    """Tell whether one tolerates all that another does, for as long; an empty key is any key."""
    if wide == narrow:
        return True
    if wide.get("key") and wide.get("key") != narrow.get("key"):
        return False
    if wide.get("effect") and wide.get("effect") != narrow.get("effect"):
        return False
    if wide.get("effect") == "NoExecute" and _seconds(narrow) > _seconds(wide):
        return False
    if wide.get("operator", "Equal") == "Equal":
        is_equal = narrow.get("operator") == "Equal"
        return is_equal and wide.get("value", "") == narrow.get("value", "")
    return wide.get("operator") == "Exists"


def _seconds(toleration: JsonObject) -> float:
    seconds = toleration.get("tolerationSeconds")
    return _ALWAYS if seconds is None else float(seconds)

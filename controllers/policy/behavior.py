"""What an autoscaler makes of a wish: limits, windows and rates (podautoscaler/horizontal.go).

Wishes and changes of the recent past are remembered, by autoscaler, in memory alone: after a start
the past is unknown, as it is upstream. Each list keeps what its longest window or period needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kube.json_types import JsonObject

DOWNSCALE_WINDOW_S: Final = 300
_FACTOR: Final = 2.0
_LEAST: Final = 4.0
_INT32_MAX: Final = 2**31 - 1
_WITHIN: Final = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY: Final = (
    "TooManyReplicas",
    "the desired replica count is more than the maximum replica count",
)
_TOO_FEW: Final = (
    "TooFewReplicas",
    "the desired replica count is less than the minimum replica count",
)
_UP_LIMIT: Final = (
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
)
_DOWN_LIMIT: Final = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)
_READY: Final = ("ReadyForNewScale", "recommended size matches current size")
_UP_STABLE: Final = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_STABLE: Final = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent "
    "recommendation",
)
Why = tuple[str, str]
"""A reason and a text."""


class At(NamedTuple):
    """A number, and when it was."""

    number: int
    at_s: float


@dataclass(slots=True)
class Memory:
    """What is remembered of an autoscaler: wishes, and changes up and down."""

    wishes: list[At] = field(default_factory=list)
    ups: list[At] = field(default_factory=list)
    downs: list[At] = field(default_factory=list)


class Bounds(NamedTuple):
    """How many there are, and how few and many there may be."""

    current: int
    least: int
    most: int


class Outcome(NamedTuple):
    """What comes of a wish.

    Attributes:
        replicas: how many there are to be.
        able: what the condition AbleToScale says.
        is_limited, limited: what ScalingLimited says.
    """

    replicas: int
    able: Why
    is_limited: bool
    limited: Why


def normalize(
    memory: Memory, behavior: JsonObject | None, bounds: Bounds, wish: int, now_s: float
) -> Outcome:
    """Return what comes of a wish, which is remembered."""
    if behavior is None:
        stable = _stabilize_down(memory, wish, now_s)
        able = _READY if stable == wish else _DOWN_STABLE
        replicas, limited = by_rules(bounds, stable)
    else:
        up, down = (behavior.get(name) or {} for name in ("scaleUp", "scaleDown"))
        stable, why = _stabilize(memory, (_window(up, 0), _window(down, None)), bounds, wish, now_s)
        able = _READY if stable == wish else why
        replicas, limited = by_rates(memory, (up, down), bounds, stable, now_s)
    return Outcome(replicas, able, replicas != stable, limited)


def _window(rules: JsonObject, default: int | None) -> int:
    found = rules.get("stabilizationWindowSeconds", default)
    return DOWNSCALE_WINDOW_S if found is None else int(found)


def _stabilize_down(memory: Memory, wish: int, now_s: float) -> int:
    """Return the highest wish of the last five minutes."""
    recent = [one for one in memory.wishes if one.at_s >= now_s - DOWNSCALE_WINDOW_S]
    memory.wishes = [*recent, At(wish, now_s)]
    return max([wish, *(one.number for one in recent)])


def _stabilize(
    memory: Memory, windows: tuple[int, int], bounds: Bounds, wish: int, now_s: float
) -> tuple[int, Why]:
    """Return what both windows allow, and which of them counted.

    The lowest wish of the window for scaling up, and the highest of that for scaling down, hold the
    current number between them.
    """
    lowest = highest = wish
    up_s, down_s = (now_s - window_s for window_s in windows)
    for one in memory.wishes:
        if one.at_s > up_s:
            lowest = min(lowest, one.number)
        if one.at_s > down_s:
            highest = max(highest, one.number)
    memory.wishes = [one for one in memory.wishes if one.at_s >= min(up_s, down_s)]
    memory.wishes.append(At(wish, now_s))
    stable = bounds.current
    stable = max(stable, lowest)
    stable = min(stable, highest)
    why = _UP_STABLE if wish >= bounds.current else _DOWN_STABLE
    return stable, why


def by_rules(bounds: Bounds, wish: int) -> tuple[int, Why]:
    """Return what the limits allow without a behavior: at most double, or four."""
    current, least, most = bounds
    limit = int(max(_FACTOR * current, _LEAST))
    if wish < least:
        return least, _TOO_FEW
    if wish > min(most, limit):
        return (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
    return wish, _WITHIN


def by_rates(
    memory: Memory,
    rules: tuple[JsonObject, JsonObject],
    bounds: Bounds,
    wish: int,
    now_s: float,
) -> tuple[int, Why]:
    """Return what limits and policies allow, and why.

    Args:
        memory: for the changes of the recent past.
        rules: for scaling up and down.
        bounds: the limits.
        wish: after stabilization.
        now_s: what time it is.
    """
    current, least, most = bounds
    if wish > current:
        limit = max(current, scale_up_limit(current, memory, rules[0], now_s))
        allowed, why = (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
        if wish > allowed:
            return allowed, why
    elif wish < current:
        limit = min(current, scale_down_limit(current, memory, rules[1], now_s))
        allowed, why = (limit, _DOWN_LIMIT) if least < limit else (least, _TOO_FEW)
        if wish < allowed:
            return allowed, why
    return wish, _WITHIN


def _change_within(changes: Sequence[At], period_s: int, now_s: float) -> int:
    return sum(one.number for one in changes if one.at_s > now_s - period_s)


def scale_up_limit(current: int, memory: Memory, rules: JsonObject, now_s: float) -> int:
    """Return the most that the policies allow, by what was done in their periods."""
    select = rules.get("selectPolicy", "Max")
    if select == "Disabled":
        return current
    result = _INT32_MAX if select == "Min" else -_INT32_MAX
    for policy in rules.get("policies") or ():
        period_s, value = policy["periodSeconds"], policy["value"]
        added = _change_within(memory.ups, period_s, now_s)
        removed = _change_within(memory.downs, period_s, now_s)
        start = current - added + removed
        if policy["type"] == "Pods":
            proposed = start + value
        else:
            # Rounded up, or a small number would never grow.
            proposed = math.ceil(start * (1 + value / 100))
        result = min(result, proposed) if select == "Min" else max(result, proposed)
    return result


def scale_down_limit(current: int, memory: Memory, rules: JsonObject, now_s: float) -> int:
    """Return the least that the policies allow, by what was done in their periods."""
    select = rules.get("selectPolicy", "Max")
    if select == "Disabled":
        return current
    result = -_INT32_MAX if select == "Min" else _INT32_MAX
    for policy in rules.get("policies") or ():
        period_s, value = policy["periodSeconds"], policy["value"]
        added = _change_within(memory.ups, period_s, now_s)
        removed = _change_within(memory.downs, period_s, now_s)
        start = current - added + removed
        by_pods = policy["type"] == "Pods"
        proposed = start - value if by_pods else int(start * (1 - value / 100))
        result = max(result, proposed) if select == "Min" else min(result, proposed)
    return result


def remember_change(
    memory: Memory, behavior: JsonObject | None, before: int, after: int, now_s: float
) -> None:
    """Note a change, and forget those that no policy looks at any more."""
    if behavior is None:
        return
    rules = [behavior.get(name) or {} for name in ("scaleUp", "scaleDown")]
    longest_s = max(
        (one["periodSeconds"] for rule in rules for one in rule.get("policies") or ()), default=0
    )
    memory.ups = [one for one in memory.ups if one.at_s >= now_s - longest_s]
    memory.downs = [one for one in memory.downs if one.at_s >= now_s - longest_s]
    if after > before:
        memory.ups.append(At(after - before, now_s))
    else:
        memory.downs.append(At(before - after, now_s))

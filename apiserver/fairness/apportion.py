"""Dividing seats among classes that each have a target, a least and a most: upstream's conc_alloc.

There is one proportion at which every class gets `proportion * target`, moved into its bounds, and
the sum comes out right. The sum grows with the proportion, in straight lines between the
proportions at which some class reaches a bound: walk over those until the line that holds the sum.

Example, sum 10: targets 4 and 8, the first with a least of 4. Unbounded both would get 10/12 of
their target (3.3 and 6.7); the first is held at 4, and the second gets the other 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

TARGET_MIN: Final = 0.001
_EPSILON: Final = 1e-7


class Unsolvable(ValueError):
    """No allocation lies within the bounds; nothing was allocated."""


class Wish(NamedTuple):
    """What one class may get: `least <= target`, `least <= most`."""

    target: float
    least: float
    most: float


def apportion(total: int, wishes: Sequence[Wish]) -> tuple[list[float], float]:
    """Return how much each class gets, `total` in all, and the proportion of targets given.

    Raises:
        Unsolvable: the bounds do not allow it.
    """
    low, high = sum(wish.least for wish in wishes), sum(wish.most for wish in wishes)
    if total < 0 or low - total > _EPSILON or total - high > _EPSILON:
        raise Unsolvable(f"{total} does not lie between {low} and {high}")
    if any(wish.target < wish.least or wish.most < wish.least for wish in wishes):
        raise Unsolvable("a class has bounds that contradict its target or each other")
    if total == 0:
        return [0.0] * len(wishes), 0.0
    targets = [max(wish.target, TARGET_MIN) for wish in wishes]
    bounds = sorted(
        {
            bound / target
            for wish, target in zip(wishes, targets, strict=True)
            for bound in (wish.least, wish.most)
        }
    )
    proportion = _search(total, wishes, targets, bounds)
    return [_bounded(wish, proportion * t) for wish, t in zip(wishes, targets, strict=True)], (
        proportion
    )


def _search(
    total: int, wishes: Sequence[Wish], targets: Sequence[float], bounds: Sequence[float]
) -> float:
    before = 0.0
    pairs = list(zip(wishes, targets, strict=True))
    for bound in bounds:
        reached = sum(_bounded(wish, bound * target) for wish, target in pairs)
        if reached >= total:
            start = sum(_bounded(wish, before * target) for wish, target in pairs)
            slope = (reached - start) / (bound - before) if bound > before else 0.0
            return bound if slope <= 0 else min(bound, before + (total - start) / slope)
        before = bound
    return before


def _bounded(wish: Wish, wanted: float) -> float:
    return max(wish.least, min(wish.most, wanted))

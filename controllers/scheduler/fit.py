"""Whether a pod fits beside those that are there, and how well: NodeResourcesFit, its three
strategies, and NodeResourcesBalancedAllocation.

Both come twice: over arrays of nodes, and for one node, after a pod was placed there. They give the
same numbers, bit by bit: the same operations on the same 64 bits, in the same order.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from controllers.scheduler.columns import Bools, Ints, NodeColumns
from controllers.scheduler.node_rules import Check
from controllers.scheduler.resources import CPU, MEMORY, NATIVE, Amounts
from controllers.scheduler.settings import (
    BALANCED,
    FIT,
    LEAST,
    MOST,
    SCORE_MAX,
    Profile,
)
from controllers.scheduler.shapes import Shape

Where = slice | Ints
_POINT_SCALE: Final = 10
NO_FIT: Final = -1


@dataclass(frozen=True, slots=True)
class Wanted:
    """One resource of a score: what the node has, and will have given away.

    Attributes:
        source: which column says what is taken: of nonzero requests or of requests.
    """

    name: str
    weight: int
    amount: int
    source: str


class Fit:
    """What one shape needs, under one profile; reads the columns, never writes them."""

    def __init__(self, columns: NodeColumns, shape: Shape, profile: Profile) -> None:
        self._columns = columns
        self.needs: Amounts = {
            name: amount for name, amount in shape.requests.items() if not _ignored(name, profile)
        }
        self.filters = FIT in profile.filters
        self._fit_weight = profile.weights.get(FIT, 0)
        self._strategy = profile.strategy
        self._fit = _wanted(shape, profile.strategy.resources, is_nonzero=True)
        self._balanced_weight = profile.weights.get(BALANCED, 0)
        self._balanced = _wanted(shape, profile.balanced, is_nonzero=False)
        if not any(one.amount for one in self._balanced):
            self._balanced_weight = 0  # a pod that asks for nothing is not scored by balance

    def fits(self, where: Where) -> Bools:
        """Return which nodes have room."""
        columns = self._columns
        room: Bools = columns.pods[where] + 1 <= columns.pods_max[where]
        for name, amount in self.needs.items():
            have = columns.column(columns.allocatable, name)[where]
            room &= have - columns.column(columns.used, name)[where] >= amount
        return room

    def checks(self, where: Where) -> list[Check]:
        """Return what the filter says, for each resource."""
        if not self.filters:
            return []
        columns = self._columns
        room = columns.pods[where] + 1 <= columns.pods_max[where]
        found = [Check(FIT, "Too many pods", is_final=False, passed=room)]
        for name, amount in self.needs.items():
            have = columns.column(columns.allocatable, name)[where]
            free = have - columns.column(columns.used, name)[where]
            text = f"Insufficient {name}"
            # What is more than all there is will not fit however many pods go.
            found.append(Check(FIT, text, is_final=True, passed=have >= amount))
            found.append(Check(FIT, text, is_final=False, passed=free >= amount))
        return found

    def levels(self, where: Where) -> Ints:
        """Return the weighted scores, NO_FIT where there is no room."""
        total = np.zeros(len(self._columns.pods[where]), np.int64)
        if self._fit_weight:
            total += self._fit_weight * self._fit_scores(where)
        if self._balanced_weight:
            total += self._balanced_weight * self._balanced_scores(where)
        if self.filters:
            total[~self.fits(where)] = NO_FIT
        return total

    def level(self, slot: int) -> int:
        """Return what `levels` says of one node."""
        if not self.has_room(slot):
            return NO_FIT
        total = 0
        if self._fit_weight:
            total += self._fit_weight * self._fit_score(slot)
        if self._balanced_weight:
            total += self._balanced_weight * self._balanced_score(slot)
        return total

    def has_room(self, slot: int) -> bool:
        """Tell what `fits` says of one node; without the filter every node has room."""
        if not self.filters:
            return True
        columns = self._columns
        if columns.pods[slot] + 1 > columns.pods_max[slot]:
            return False
        for name, amount in self.needs.items():
            have = columns.column(columns.allocatable, name)[slot]
            if have - columns.column(columns.used, name)[slot] < amount:
                return False
        return True

    def _taken(self, one: Wanted) -> Ints:
        columns = self._columns
        match one.source:
            case "nonzero_cpu":
                return columns.nonzero_cpu
            case "nonzero_memory":
                return columns.nonzero_memory
            case _:
                return columns.column(columns.used, one.name)

    def _fit_scores(self, where: Where) -> Ints:
        columns, strategy = self._columns, self._strategy
        size = len(columns.pods[where])
        total, weights = np.zeros(size, np.int64), np.zeros(size, np.int64)
        for one in self._fit:
            have = columns.column(columns.allocatable, one.name)[where]
            taken = self._taken(one)[where] + one.amount
            safe = np.maximum(have, 1)
            counts = have > 0
            if strategy.kind == LEAST:
                score = np.where(taken > have, 0, (have - taken) * SCORE_MAX // safe)
            elif strategy.kind == MOST:
                score = np.minimum(taken, have) * SCORE_MAX // safe
            else:
                used = np.where(taken > have, SCORE_MAX, taken * SCORE_MAX // safe)
                score = ratio_table(strategy.points)[used]
                counts = counts & (score > 0)
            total += np.where(counts, score * one.weight, 0)
            weights += np.where(counts, one.weight, 0)
        if strategy.kind in (LEAST, MOST):
            return total // np.maximum(weights, 1)
        # Rounds half away from zero, as Go does; all is positive.
        return np.floor(total / np.maximum(weights, 1) + 0.5).astype(np.int64)

    def _fit_score(self, slot: int) -> int:
        columns, strategy = self._columns, self._strategy
        total = weights = 0
        for one in self._fit:
            have = int(columns.column(columns.allocatable, one.name)[slot])
            if have <= 0:
                continue
            taken = int(self._taken(one)[slot]) + one.amount
            if strategy.kind == LEAST:
                score = 0 if taken > have else (have - taken) * SCORE_MAX // have
            elif strategy.kind == MOST:
                score = min(taken, have) * SCORE_MAX // have
            else:
                used = SCORE_MAX if taken > have else taken * SCORE_MAX // have
                score = int(ratio_table(strategy.points)[used])
                if score <= 0:
                    continue
            total += score * one.weight
            weights += one.weight
        if strategy.kind in (LEAST, MOST):
            return total // max(weights, 1)
        return math.floor(total / max(weights, 1) + 0.5)

    def _balanced_scores(self, where: Where) -> Ints:
        columns = self._columns
        size = len(columns.pods[where])
        fractions: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        counted: list[Bools] = []
        total = np.zeros(size, np.float64)
        number = np.zeros(size, np.int64)
        for one in self._balanced:
            have = columns.column(columns.allocatable, one.name)[where]
            counts = have > 0
            taken = self._taken(one)[where] + one.amount
            fraction = np.where(counts, np.minimum(taken / np.maximum(have, 1), 1.0), 0.0)
            total += fraction
            number += counts
            fractions.append(fraction)
            counted.append(counts)
        mean = total / np.maximum(number, 1)
        squares, pair = np.zeros(size, np.float64), np.zeros(size, np.float64)
        sign = np.ones(size, np.float64)
        for fraction, counts in zip(fractions, counted, strict=True):
            off = fraction - mean
            squares += np.where(counts, off * off, 0.0)
            # Of exactly two, half their difference: the first less the second.
            pair += np.where(counts, sign * fraction, 0.0)
            sign = np.where(counts, -sign, sign)
        deviation = np.sqrt(squares / np.maximum(number, 1))
        deviation = np.where(number == 2, np.abs(pair / 2), np.where(number > 2, deviation, 0.0))
        return ((1 - deviation) * float(SCORE_MAX)).astype(np.int64)

    def _balanced_score(self, slot: int) -> int:
        columns = self._columns
        fractions = []
        for one in self._balanced:
            have = int(columns.column(columns.allocatable, one.name)[slot])
            if have > 0:
                taken = int(self._taken(one)[slot]) + one.amount
                fractions.append(min(taken / have, 1.0))
        deviation = 0.0
        if len(fractions) == 2:
            deviation = abs((fractions[0] - fractions[1]) / 2)
        elif len(fractions) > 2:
            total = squares = 0.0
            for fraction in fractions:  # not sum(), which is more exact than arrays are
                total += fraction
            mean = total / len(fractions)
            for fraction in fractions:
                squares += (fraction - mean) * (fraction - mean)
            deviation = math.sqrt(squares / len(fractions))
        return int((1 - deviation) * float(SCORE_MAX))


def _ignored(name: str, profile: Profile) -> bool:
    if name in NATIVE:
        return False
    group = name.partition("/")[0]
    return name in profile.ignored_resources or group in profile.ignored_groups


def _wanted(
    shape: Shape, resources: tuple[tuple[str, int], ...], *, is_nonzero: bool
) -> list[Wanted]:
    found = []
    for name, weight in resources:
        amount = shape.requests.get(name, 0)
        source = "used"
        if is_nonzero and name in (CPU, MEMORY):
            amount = shape.nonzero[0 if name == CPU else 1]
            source = "nonzero_cpu" if name == CPU else "nonzero_memory"
        elif not amount and name not in NATIVE:
            continue  # what the pod does not ask for says nothing of its node
        found.append(Wanted(name, weight, amount, source))
    return found


@cache
def ratio_table(points: tuple[tuple[int, int], ...]) -> Ints:
    """Return the scores (0 to 100) of utilizations of 0 to 100 percent, by lines between points.

    Args:
        points: utilization in percent and score of 0 to 10.
    """
    marks = [mark for mark, _ in points]
    scores = [score * _POINT_SCALE for _, score in points]
    values = []
    for used in range(SCORE_MAX + 1):
        at = bisect_right(marks, used - 1)
        if at == len(marks):
            values.append(scores[-1])
        elif at == 0:
            values.append(scores[0])
        else:
            rise, run = scores[at] - scores[at - 1], marks[at] - marks[at - 1]
            # Go's division goes towards zero.
            step = math.trunc(rise * (used - marks[at - 1]) / run)
            values.append(scores[at - 1] + step)
    return np.array(values, np.int64)

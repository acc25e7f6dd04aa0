"""What topology and normalized scores say, over cells or over nodes alike.

`Seen` is how a table looks from there: whether each has the key, and the count of its domain.
Where cells are few, and only soft spreading tells them apart, as for most pods, plain numbers take
a quarter of the time that arrays do: `few_spread_scores` says the same as `spread_scores`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from controllers.scheduler.columns import ABSENT, Bools, Ints
from controllers.scheduler.domains import MISSING, Role, Table, Topology
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import POD_AFFINITY, SCORE_MAX, SPREAD


class Seen(NamedTuple):
    """A table, seen from cells or nodes.

    Attributes:
        has: whether there is such a domain.
        values: its count, where there is.
        codes: the domain, where they are told apart by it.
    """

    has: Bools
    values: Ints
    codes: Ints


def seen_by_value(values: Ints) -> Seen:
    """Return a table as cells see it that know its counts."""
    return Seen(values != MISSING, values, values)


def seen_by_code(table: Table, codes: Ints) -> Seen:
    """Return a table as those see it that know their domains."""
    return Seen(codes != ABSENT, table.counts[codes], codes)


def topology_checks(topology: Topology, seen: list[Seen]) -> list[Check]:
    """Return what PodTopologySpread and InterPodAffinity say, in their order."""
    checks = []
    for number, table in topology.of(Role.HARD):
        one = seen[number]
        assert table.spread is not None
        text = "node(s) didn't match pod topology spread constraints"
        checks.append(
            Check(SPREAD, f"{text} (missing required label)", is_final=True, passed=one.has)
        )
        skew = one.values + (table.own - table.least())
        passed = skew <= table.spread.max_skew
        checks.append(Check(SPREAD, text, is_final=False, passed=passed))
    checks += _affinity_checks(topology, seen)
    return checks


def _affinity_checks(topology: Topology, seen: list[Seen]) -> list[Check]:
    checks = []
    wanted = list(topology.of(Role.WITH))
    if wanted:
        has = np.ones(len(seen[0].has), np.bool_)
        found = has.copy()
        for number, _ in wanted:
            has &= seen[number].has
            found &= seen[number].has & (seen[number].values > 0)
        is_first = not any(table.counts.any() for _, table in wanted)
        if is_first and topology.matches_itself():
            found = has
        text = "node(s) didn't match pod affinity rules"
        checks.append(Check(POD_AFFINITY, text, is_final=True, passed=found))
    for role, text in (
        (Role.APART, "node(s) didn't match pod anti-affinity rules"),
        (Role.SHUNNED, "node(s) didn't satisfy existing pods anti-affinity rules"),
    ):
        for number, _ in topology.of(role):
            clear = ~(seen[number].has & (seen[number].values > 0))
            checks.append(Check(POD_AFFINITY, text, is_final=False, passed=clear))
    return checks


def default_normalized(raw: Ints, feasible: Bools, *, is_reversed: bool) -> Ints:
    """Return scores of 0 to 100 by the highest one (DefaultNormalizeScore)."""
    most = int(raw[feasible].max(initial=0))
    if not most:
        return np.full(len(raw), SCORE_MAX if is_reversed else 0, np.int64)
    scaled = raw * SCORE_MAX // most
    return SCORE_MAX - scaled if is_reversed else scaled


def affinity_scores(topology: Topology, seen: list[Seen], feasible: Bools) -> Ints | None:
    """Return InterPodAffinity's normalized scores; None: nothing is preferred."""
    raw: Ints | None = None
    for number, _ in topology.of(Role.WEIGHT):
        one = np.where(seen[number].has, seen[number].values, 0)
        raw = one if raw is None else raw + one
    if raw is None or not feasible.any():
        return None
    least, most = int(raw[feasible].min()), int(raw[feasible].max())
    if most == least:
        return None
    scaled = float(SCORE_MAX) * ((raw - least) / float(most - least))
    return scaled.astype(np.int64)


def spread_scores(
    topology: Topology, seen: list[Seen], feasible: Bools, sizes: Ints
) -> Ints | None:
    """Return PodTopologySpread's normalized scores; None: there are no soft constraints.

    Args:
        topology: of the shape.
        seen: its tables.
        feasible: which cells (nodes) have feasible nodes.
        sizes: how many.
    """
    soft = list(topology.of(Role.SOFT))
    if not soft:
        return None
    scored = feasible.copy()
    for number, table in soft:
        assert table.spread is not None
        if not table.spread.is_default:
            scored &= seen[number].has
    raw = np.zeros(len(feasible), np.float64)
    for number, table in soft:
        assert table.spread is not None
        one = seen[number]
        domains = int(sizes[scored].sum()) if table.by_value else _distinct(one.codes[scored])
        weight = math.log(domains + 2)
        raw += np.where(one.has, one.values * weight + (table.spread.max_skew - 1), 0.0)
    rounded = np.floor(raw + 0.5).astype(np.int64)
    if not scored.any():
        return np.zeros(len(feasible), np.int64)
    least, most = int(rounded[scored].min()), max(0, int(rounded[scored].max()))
    if not most:
        return np.where(scored, SCORE_MAX, 0)
    return np.where(scored, SCORE_MAX * (most + least - rounded) // most, 0)


def few_spread_scores(
    tables: Sequence[Table], where: Sequence[list[int]], sizes: list[int]
) -> list[int]:
    """Return `spread_scores` of cells, all allowed, by tables that are all soft.

    Args:
        tables: at least one.
        where: their coordinates of the cells.
        sizes: how many feasible nodes each cell has.
    """
    scored = [size > 0 for size in sizes]
    absents = [MISSING if table.by_value else ABSENT for table in tables]
    for table, at, absent in zip(tables, where, absents, strict=True):
        assert table.spread is not None
        if not table.spread.is_default:
            scored = [one and place != absent for one, place in zip(scored, at, strict=True)]
    raw = [0.0] * len(sizes)
    for table, at, absent in zip(tables, where, absents, strict=True):
        assert table.spread is not None
        if table.by_value:
            domains = sum(size for size, one in zip(sizes, scored, strict=True) if one)
            values = at
        else:
            domains = len({place for place, one in zip(at, scored, strict=True) if one})
            counts = {place: int(table.counts[place]) for place in set(at)}
            values = [counts[place] for place in at]
        weight, base = math.log(domains + 2), table.spread.max_skew - 1
        raw = [
            total + (value * weight + base) if place != absent else total
            for total, value, place in zip(raw, values, at, strict=True)
        ]
    rounded = [math.floor(total + 0.5) for total in raw]
    told = [one for one, is_scored in zip(rounded, scored, strict=True) if is_scored]
    if not told:
        return [0] * len(sizes)
    least, most = min(told), max(0, *told)
    if not most:
        return [SCORE_MAX if one else 0 for one in scored]
    sum_of_both = most + least
    return [
        SCORE_MAX * (sum_of_both - one) // most if is_scored else 0
        for one, is_scored in zip(rounded, scored, strict=True)
    ]


def _distinct(codes: Ints) -> int:
    """Return how many different ones there are; ABSENT is one, too."""
    # Codes are small numbers: counting them takes a fifth of the time that sorting would.
    return int(np.count_nonzero(np.bincount(codes - ABSENT)))

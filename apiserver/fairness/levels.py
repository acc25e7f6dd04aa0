"""Priority levels: how the server's seats are divided among them, and lent while they are idle.

Nominal seats are the level's part of all shares, rounded up. Every ten seconds each level's present
limit is set anew between its least (nominal less what it lends) and its most (nominal and what it
may borrow): levels get what they had use for lately, and what is left over goes to all in
proportion to their demand, smoothed. The exempt level takes what it takes; the others share the
rest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Final

from apiserver.fairness.apportion import Unsolvable, Wish, apportion
from apiserver.fairness.model import LevelSpec
from apiserver.fairness.queue_set import QueueSet
from apiserver.fairness.requests import Tally
from apiserver.fairness.retry_after import RetryAfter

_log: Final = logging.getLogger(__name__)
_WIDEST_PART: Final = 0.15
"""Of a level's nominal seats, one request may be taken to need at most this part."""


class Level:
    """One priority level at work.

    Attributes:
        spec: as configured.
        queues: its requests.
        nominal, least, most: seats, by configuration.
        current: seats it has for now.
        target: seats that its last division aimed at.
        widest: seats that one request may be taken to need; None: no limit of the level's own.
        is_leaving: whether its object is gone, and it only lets its last requests end.
        tallies: by flow schema.
    """

    def __init__(self, spec: LevelSpec, now_s: float) -> None:
        self.spec = spec
        self.queues = QueueSet(spec.queuing, None if spec.is_exempt else 0, now_s)
        self.nominal = self.least = self.most = self.current = 0
        self.target = 0.0
        self.widest: int | None = None
        self.is_new = True
        self.is_leaving = False
        self.retry_after = RetryAfter()
        self.tallies: dict[str, Tally] = {}

    def tally(self, schema: str) -> Tally:
        """Return where a schema's requests are counted."""
        tally = self.tallies.get(schema)
        if tally is None:
            tally = self.tallies[schema] = Tally(self.spec.name, schema)
        return tally

    def divide(self, server_seats: int, shares_sum: float) -> None:
        """Work out the level's nominal seats and their bounds."""
        spec = self.spec
        part = spec.shares / shares_sum if shares_sum else 0.0
        self.nominal = nominal = math.ceil(server_seats * part)
        lendable = _round(nominal * spec.lendable_percent / 100)
        if spec.borrowing_percent is None:
            borrowed = server_seats
        else:
            borrowed = _round(nominal * spec.borrowing_percent / 100)
        self.least, self.most = nominal - lendable, nominal + borrowed
        if spec.queuing is not None:
            of_hand = nominal // spec.queuing.hand_size
            self.widest = max(1, min(math.ceil(nominal * _WIDEST_PART), of_hand))
        else:
            self.widest = None
        if self.is_new:
            self.current = nominal - lendable // 2
            self.is_new = False

    @property
    def least_now(self) -> int:
        """The fewest seats it may be left with: those it had use for, up to its nominal ones."""
        watermark = self.queues.demand.high_watermark
        if not self.spec.is_exempt:
            watermark = min(self.nominal, watermark)
        return max(self.least, watermark)


def divide_seats(levels: Sequence[Level], server_seats: int, now_s: float) -> None:
    """Divide the server's seats anew, after the configuration has changed."""
    shares_sum = float(sum(level.spec.shares for level in levels))
    for level in levels:
        level.divide(server_seats, shares_sum)
    borrow(levels, now_s)


def borrow(levels: Sequence[Level], now_s: float) -> float:
    """Set each level's present limit from its demand; return the fair proportion (a metric)."""
    for level in levels:
        level.queues.end_period(now_s)
    limited = [level for level in levels if not level.spec.is_exempt]
    seats = sum(level.nominal for level in levels)
    left = seats - sum(level.least_now for level in levels if level.spec.is_exempt)
    found, proportion = _divide_rest(limited, seats, left)
    for level, current in zip(limited, found, strict=True):
        level.current = current
    for level in levels:
        spec = level.spec
        if spec.is_exempt:
            level.current = level.least_now
            level.queues.reconfigure(None, None, now_s)
        else:
            level.queues.reconfigure(spec.queuing, level.current, now_s)
    return proportion


def _divide_rest(levels: Sequence[Level], seats: int, left: int) -> tuple[list[int], float]:
    """Return the present limits of those levels that have one."""
    least, least_now = sum(_of(levels, "least")), sum(_of(levels, "least_now"))
    for level in levels:
        level.target = max(level.least_now, level.queues.demand.smoothed)
    if left <= least:
        return _of(levels, "least"), 0.0
    if left <= least_now:
        part = (left - least) / (least_now - least)
        return [
            level.least + _round((level.least_now - level.least) * part) for level in levels
        ], 0.0
    wishes = [Wish(level.target, level.least_now, level.most) for level in levels]
    try:
        found, proportion = apportion(seats, wishes)
    except Unsolvable as error:
        # Limits as they are let everything go on.
        _log.warning("seats cannot be divided: %s", error)
        return _of(levels, "current"), 0.0
    return [_round(value) for value in found], proportion


def _of(levels: Iterable[Level], name: str) -> list[int]:
    return [getattr(level, name) for level in levels]


def _round(value: float) -> int:
    """Round half up, as Go does what is not negative."""
    return math.floor(value + 0.5)

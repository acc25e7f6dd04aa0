"""Answers of somebody far away, each kept for a while: so many at most, the oldest go first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from runtime.clock import Clock

_Answer = TypeVar("_Answer")


class Remembered(Generic[_Answer]):
    """See the module's head."""

    def __init__(self, count_max: int, clock: Clock) -> None:
        self._count_max = count_max
        self._clock = clock
        self._kept: dict[Hashable, tuple[_Answer, float]] = {}

    def get(self, key: Hashable) -> _Answer | None:
        """Return what is kept, None if that is nothing, or is over."""
        found = self._kept.get(key)
        if found is None or found[1] <= self._clock.monotonic_s():
            return None
        return found[0]

    def put(self, key: Hashable, answer: _Answer, lasts_s: float) -> None:
        """Keep an answer for so many seconds; 0: not at all."""
        self._kept.pop(key, None)
        if lasts_s <= 0:
            return
        if len(self._kept) >= self._count_max:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = answer, self._clock.monotonic_s() + lasts_s

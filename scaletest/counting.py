"""What counters of a server have counted since the start of a run, whatever restarts meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Counting(Generic[K]):
    """Adds up what counters have gained from look to look.

    A counter that went back is of a process that was started again: all it shows is gain, as
    Prometheus' increase takes it. The first look is where counting begins.

    Attributes:
        totals: gained so far.
    """

    def __init__(self) -> None:
        self.totals: Counter[K] = Counter()
        self._last: Mapping[K, float] | None = None

    def look(self, values: Mapping[K, float]) -> dict[K, int]:
        """Take the counters' values now; return what each has gained since the last look."""
        gained: dict[K, int] = {}
        if self._last is not None:
            for key, value in values.items():
                last = self._last.get(key, 0.0)
                gain = value - last if value >= last else value
                if gain:
                    gained[key] = round(gain)
            self.totals.update(gained)
        self._last = values
        return gained

"""How many seats a level could have used over a period: average, deviation, highest, smoothed.

The value is piecewise constant: its integral and that of its square are moved on whenever it
changes, by whoever changes it (`QueueSet.sync` does so itself, on its way).
"""

from __future__ import annotations

import math
from typing import Final

SMOOTHING: Final = 0.977
"""Upstream's: at one sample in 10 s, demand that is gone counts half after five minutes."""


class Demand:
    """The statistics of one level.

    Attributes:
        seconds, integral, square_integral: of the period that runs.
        highest: in that period.
        high_watermark, average, deviation, smoothed: as of the last period's end.
    """

    __slots__ = (
        "average",
        "deviation",
        "high_watermark",
        "highest",
        "integral",
        "seconds",
        "smoothed",
        "square_integral",
    )

    def __init__(self) -> None:
        self.seconds = self.integral = self.square_integral = 0.0
        self.highest = 0
        self.high_watermark = 0
        self.average = self.deviation = self.smoothed = 0.0

    def end_period(self, value: int) -> None:
        """Close the period with `value` in force, which the next begins with."""
        self.high_watermark = max(self.highest, value)
        self.highest = value
        seconds, self.seconds = self.seconds, 0.0
        integral, self.integral = self.integral, 0.0
        squares, self.square_integral = self.square_integral, 0.0
        if seconds <= 0:
            return
        self.average = integral / seconds
        self.deviation = math.sqrt(max(0.0, squares / seconds - self.average**2))
        envelope = self.average + self.deviation
        faded = SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope
        self.smoothed = max(envelope, faded)

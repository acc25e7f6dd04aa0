"""What evaluations may cost."""

from __future__ import annotations

from typing import Final

EXPRESSION_COST_MAX: Final = 1_000_000
"""One evaluation of one expression may cost so much; one unit is about one step."""
REQUEST_COST_MAX: Final = 10_000_000
"""All evaluations for one object."""


class Budget:
    """What is left for the evaluations of one request."""

    __slots__ = ("remaining",)

    def __init__(self, cost_max: int = REQUEST_COST_MAX) -> None:
        self.remaining = cost_max

"""Python's garbage collector, told to look at what is new only.

A process that keeps a million objects, none of which is part of a circle, must not look at all of
them now and then: that takes half a second, in which nobody else has a turn. What is new is looked
at in small portions of 2 ms; what was there at `freeze` never again, but goes by its reference
counts.
"""

from __future__ import annotations

import gc
from typing import Final

_NEW_MAX: Final = 5_000
_PORTIONS: Final = 2
_ROUNDS: Final = 1_000


def look_at_new() -> None:
    """Look at what is new often and briefly, at the rest once in millions of objects."""
    gc.set_threshold(_NEW_MAX, _PORTIONS, _ROUNDS)


def freeze() -> None:
    """Free what is garbage now, and look at what is left no more."""
    gc.collect()
    gc.freeze()

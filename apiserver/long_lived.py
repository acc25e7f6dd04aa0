"""Keeps what open watches consist of out of the garbage collector's sight.

A look at all objects takes half a second where 10,000 watches are open, and finds nothing: what
belongs to a connection is free as soon as it is closed (ApiProtocol.forget). So when many more have
been opened, all there is by then is set aside (`gc.freeze`), after what is garbage among the young
was collected; it still goes by its reference counts.
"""

from __future__ import annotations

import gc
from typing import Final

WATCHES_PER_FREEZE: Final = 500
"""About 30,000 objects, which are looked through in 5 ms."""


class LongLived:
    """Counts open watches and sets aside what they consist of."""

    def __init__(self) -> None:
        self.open = 0
        self._frozen = 0

    def opened(self) -> None:
        """Count a watch that was opened."""
        self.open += 1
        if self.open >= self._frozen + WATCHES_PER_FREEZE:
            gc.collect(1)
            gc.freeze()
            self._frozen = self.open

    def closed(self) -> None:
        """Count a watch that was closed."""
        self.open -= 1
        if self.open < self._frozen // 2:
            self._frozen = self.open

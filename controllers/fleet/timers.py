"""What is due when, for hundreds of thousands of things: a heap, and one task that sleeps.

An entry is never taken out; who is told of a time that does not count any more just looks again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from runtime.clock import Clock

T = TypeVar("T")
_SLICE: Final = 256
_SLEEP_S_MAX: Final = 60.0


class Timers(Generic[T]):
    """See the module's head.

    Args of the constructor:
        clock: wall time counts, as that is what the API tells.
        wake: is called with what is due.
    """

    def __init__(self, clock: Clock, wake: Callable[[T], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, due_s: float, item: T) -> None:
        """Wake `item` then; never, if that is infinite."""
        if due_s == math.inf:
            return
        if not self._heap or due_s < self._heap[0][0]:
            self._sooner.set()
        heapq.heappush(self._heap, (due_s, next(self._order), item))

    async def run(self) -> None:
        """Wake what is due, until cancelled."""
        heap = self._heap
        while True:
            now_s = self._clock.now_s()
            for _ in range(_SLICE):
                if not heap or heap[0][0] > now_s:
                    break
                self._wake(heapq.heappop(heap)[2])
            self._sooner.clear()
            wait_s = min(heap[0][0] - now_s, _SLEEP_S_MAX) if heap else _SLEEP_S_MAX
            if wait_s <= 0:
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
            except TimeoutError:
                continue

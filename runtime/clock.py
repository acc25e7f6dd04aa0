"""Time as a constructor argument, so that tests decide what o'clock it is.

Wall time (`now_s`, `now_ms`) is for timestamps people read; it may jump. Monotonic time is for
durations and deadlines; it never goes back. Nothing else in the project asks the system for time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_s(self) -> float:
        """Return wall-clock seconds since 1970; may jump in either direction."""
        ...

    def now_ms(self) -> int:
        """Return wall-clock milliseconds since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock have passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Return wall-clock seconds since 1970."""
        return time.time()

    def now_ms(self) -> int:
        """Return wall-clock milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return the system's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` have passed."""
        await asyncio.sleep(seconds)


class SimulatedClock:
    """A clock that stands still until a test moves it.

    Sleepers wake in the order of their times, those of equal times in the order they fell asleep.
    """

    # A woken task may pass through several awaits before it blocks again; each costs one turn of
    # the event loop. The loop cannot be asked whether it is idle, so a fixed number is granted.
    _TURNS_PER_WAKE = 20

    def __init__(self, start_s: float = 1_700_000_000.0) -> None:
        self._start_s = start_s
        self._elapsed_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        """Return the simulated wall clock."""
        return self._start_s + self._elapsed_s

    def now_ms(self) -> int:
        """Return the simulated wall clock in milliseconds."""
        return round((self._start_s + self._elapsed_s) * 1000)

    def monotonic_s(self) -> float:
        """Return the seconds the clock was moved since it was made."""
        return self._elapsed_s

    @property
    def sleeping(self) -> int:
        """How many tasks wait on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been moved by `seconds`; zero yields one turn."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), future))
        await future

    def set_wall(self, now_s: float) -> None:
        """Let the wall clock jump (as NTP may make it); monotonic time and sleepers stay."""
        self._start_s = now_s - self._elapsed_s

    async def advance(self, seconds: float) -> None:
        """Move time on, waking every sleeper whose time comes, at its time.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        target_s = self._elapsed_s + seconds
        await self._let_others_run()
        while self._sleepers and self._sleepers[0][0] <= target_s:
            wake_s, _, future = heapq.heappop(self._sleepers)
            self._elapsed_s = max(self._elapsed_s, wake_s)
            if not future.done():
                future.set_result(None)
                await self._let_others_run()
        self._elapsed_s = target_s
        await self._let_others_run()

    async def _let_others_run(self) -> None:
        for _ in range(self._TURNS_PER_WAKE):
            await asyncio.sleep(0)

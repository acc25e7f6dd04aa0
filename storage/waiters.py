"""Those who wait: for a revision to be applied, and for the journal's tail to be known."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from journal.errors import JournalError
from storage.errors import JournalUnavailable

_T = TypeVar("_T")
SWEEP_SECONDS: Final = 0.05
"""How often deadlines are looked at: they may be late by as much."""


SWEEP_COUNT_MIN: Final = 64
"""How many may wait before it is looked for those who have given up."""


class Deadlines:
    """Futures that fail when their time is up; one timer looks at all of them.

    A timer for each wait was 2.4% of what a create costs; this is two dictionary updates.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Any], float] = {}
        self._armed = False

    async def wait(self, future: asyncio.Future[_T], timeout_s: float) -> _T:
        """Return a future's result.

        Raises:
            TimeoutError: it was not done in time; it is now, with this.
        """
        loop = future.get_loop()
        self._waiting[future] = loop.time() + timeout_s
        if not self._armed:
            self._armed = True
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        try:
            return await future
        finally:
            del self._waiting[future]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for future, deadline_s in self._waiting.items():
            if deadline_s <= now_s and not future.done():
                future.set_exception(TimeoutError())
        self._armed = bool(self._waiting)
        if self._armed:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)


class RevisionWaiters:
    """Futures by the revision that resolves them.

    Those who give up are not taken out one by one: they are dropped when, with them, there are
    twice as many as when it was done last. So a revision that never comes holds nobody for good.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._sweep_at = SWEEP_COUNT_MIN

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, revision: int) -> asyncio.Future[None]:
        """Return a future that is done once `revision` is applied."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._heap) >= self._sweep_at:
            self._heap = [waiting for waiting in self._heap if not waiting[2].done()]
            heapq.heapify(self._heap)
            self._sweep_at = max(SWEEP_COUNT_MIN, 2 * len(self._heap))
        heapq.heappush(self._heap, (revision, next(self._order), future))
        return future

    def release(self, revision: int) -> None:
        """Resolve whoever waits for `revision` or an earlier one."""
        while self._heap and self._heap[0][0] <= revision:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Give everyone an error."""
        waiting, self._heap = self._heap, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)


class TailCheck:
    """One question to the journal for all who ask at the same time.

    An answer counts only for those who asked before the question was sent: a write acknowledged in
    between could be missing from it. So at most one question is under way, who comes meanwhile
    gathers for the next, and that one is sent when the first returns.
    """

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._gathering: list[asyncio.Future[int]] = []
        self._asking: list[asyncio.Future[int]] = []
        self._sweep_at = SWEEP_COUNT_MIN
        self._gathered = asyncio.Event()
        self.asked = 0

    def join(self) -> asyncio.Future[int]:
        """Return the tail as of now or later; it may fail with JournalUnavailable."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if len(self._gathering) >= self._sweep_at:
            # A journal that does not answer gathers those who have given up.
            self._gathering = [waiting for waiting in self._gathering if not waiting.done()]
            self._sweep_at = max(SWEEP_COUNT_MIN, 2 * len(self._gathering))
        self._gathering.append(future)
        self._gathered.set()
        return future

    async def run(self) -> None:
        """Ask whenever someone waits."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            asking, self._gathering = self._gathering, []
            self._asking = asking
            self._sweep_at = SWEEP_COUNT_MIN
            self.asked += 1
            try:
                tail = await self._ask()
            except JournalError as error:
                unavailable = JournalUnavailable(f"the journal did not tell its tail: {error}")
                for future in asking:
                    if not future.done():
                        future.set_exception(unavailable)
            else:
                for future in asking:
                    if not future.done():
                        future.set_result(tail)

    def fail(self, error: Exception) -> None:
        """Give everyone an error, those as well whose question is under way."""
        waiting = self._asking + self._gathering
        self._asking, self._gathering = [], []
        for future in waiting:
            if not future.done():
                future.set_exception(error)

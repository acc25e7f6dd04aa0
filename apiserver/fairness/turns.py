"""Turns of long answers on the one loop that serves everybody: one part of one of them at a time.

A list of 100,000 objects is a thousand parts of half a millisecond each. Sixty-four such lists that
each just let the loop go round once after a part make a round of 40 ms, and a write takes several:
it is read, written to the journal, applied, answered. With turns a round holds one part at most,
whoever and however many stream.

Those who begin and those who go on are served alternately, each in the order in which they asked:
a short list is not behind all the long ones, and no flood of short ones stops a long one.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Who goes on next. Belongs to one event loop.

    There are no more waiters than requests that are being answered.
    """

    def __init__(self) -> None:
        self._beginning: deque[asyncio.Future[None]] = deque()
        self._going_on: deque[asyncio.Future[None]] = deque()
        self._is_due = False
        self._begins_next = True

    def __len__(self) -> int:
        return len(self._beginning) + len(self._going_on)

    async def begin(self) -> None:
        """Return when an answer may begin: at once, if none is being streamed."""
        if self._is_due:
            await self._take_place(self._beginning)

    async def next(self) -> None:
        """Return when it is this one's turn, after everybody else had a chance to run."""
        await self._take_place(self._going_on)

    async def _take_place(self, line: deque[asyncio.Future[None]]) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        line.append(waiter)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._give)
        await waiter

    def _give(self) -> None:
        """Let one go on, and see to the next in the round of the loop after that."""
        while self:
            first, second = self._going_on, self._beginning
            if self._begins_next:
                first, second = second, first
            self._begins_next = not self._begins_next
            waiter = (first or second).popleft()
            if not waiter.done():  # who was cancelled wants no turn
                waiter.set_result(None)
                # It is busy for the next round; who comes in that asks for the one after.
                asyncio.get_running_loop().call_soon(self._give)
                return
        self._is_due = False

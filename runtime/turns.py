"""Turns: of many tasks that each have long work in steps, a few make a step at a time.

Two hundred tasks that each work for a millisecond and then let others run (`asyncio.sleep(0)`) keep
everybody else waiting for 200 ms, as all of them are run before the event loop looks for anything
new. Here at most `steps_max` go on before it does.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Who is to go on, in the order in which they came."""

    def __init__(self, steps_max: int) -> None:
        self._steps_max = steps_max
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_set_up = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def next(self) -> None:
        """Return when it is the caller's turn, at the earliest at the event loop's next one."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._is_set_up:
            self._is_set_up = True
            loop.call_soon(self._go_on, loop)
        await turn

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._steps_max
        while self._waiting and left:
            turn = self._waiting.popleft()
            if not turn.done():  # or its task was cancelled
                turn.set_result(None)
                left -= 1
        self._is_set_up = bool(self._waiting)
        if self._waiting:
            loop.call_soon(self._go_on, loop)

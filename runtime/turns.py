"""Turns: long work in small steps, one step in each turn of the event loop, whoever's it is.

`asyncio.sleep(0)` gives others their turn too, but then twenty who work at length all take a step
between two looks at the sockets, and whatever is short waits for all twenty, several times over.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Hands out turns in the order in which they were asked for. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_armed = False

    async def take(self) -> None:
        """Return when it is the caller's turn to do one step."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._is_armed:
            self._is_armed = True
            loop.call_soon(self._give, loop)
        await turn

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled
                turn.set_result(None)
                loop.call_soon(self._give, loop)
                return
        self._is_armed = False

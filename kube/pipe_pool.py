"""Pipes for many tasks: each takes one for a request, and puts it back.

This is what `kube.client.ApiClient` writes by. A pool has a limit, beyond which tasks wait in the
order in which they came. Pipes that nobody has used for 15 to 30 s are closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from kube.access import Access
from kube.pipe import Answer, NobodyListens, Pipe, Unreachable

_IDLE_S: Final = 15.0
_REPEATABLE: Final = frozenset({"PUT", "DELETE"})


class PipePool:
    """See the module's head.

    Args of the constructor:
        access, user_agent: of its pipes.
        connect_s: how long connecting may take, in seconds.
        size_max: pipes at once.
        idle_s: pipes are closed that were not used for one to two times as long.
    """

    def __init__(
        self,
        access: Access,
        user_agent: str,
        connect_s: float,
        size_max: int,
        *,
        idle_s: float = _IDLE_S,
    ) -> None:
        self._access = access
        self._user_agent = user_agent
        self._connect_s = connect_s
        self._left = size_max
        self._idle_s = idle_s
        # Those that were used since the last look, the latest at the end; and the others.
        self._recent: list[Pipe] = []
        self._idle: list[Pipe] = []
        self._waiting: deque[asyncio.Future[Pipe]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many pipes lie ready, connected."""
        return sum(pipe.is_open for pipe in (*self._recent, *self._idle))

    async def request(
        self, method: str, path: str, body: bytes, media_type: str, more: str
    ) -> Answer:
        """Send one request and return the answer; arguments as `Pipe.request` has them.

        Raises:
            Unreachable: none came.
        """
        pipe = await self._take()
        try:
            was_open = pipe.is_open
            try:
                return await pipe.request(method, path, body, media_type, more)
            except NobodyListens:
                raise
            except Unreachable:
                # The server may have closed a connection that lay ready, in the same moment
                # (RFC 9110, 9.2.2: what is idempotent may be sent again).
                if not was_open or method not in _REPEATABLE:
                    raise
            return await pipe.request(method, path, body, media_type, more)
        finally:
            self._give(pipe)

    def close(self) -> None:
        """Close all that are not in use now, and the others when they are given back."""
        self._is_closed = True
        if self._look is not None:
            self._look.cancel()
        for pipe in (*self._recent, *self._idle):
            pipe.close()
        self._recent, self._idle = [], []
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Unreachable("the client is closed"))

    async def _take(self) -> Pipe:
        for ready in (self._recent, self._idle):
            if ready:
                return ready.pop()
        if self._left:
            self._left -= 1
            return Pipe(self._access, self._user_agent, connect_s=self._connect_s, timeout_s=None)
        waiter: asyncio.Future[Pipe] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())
            raise

    def _give(self, pipe: Pipe) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(pipe)
                return
        if self._is_closed:
            pipe.close()
            return
        self._recent.append(pipe)
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(self._idle_s, self._close_idle)

    def _close_idle(self) -> None:
        for pipe in self._idle:
            pipe.close()
        self._left += len(self._idle)
        self._idle, self._recent = self._recent, []
        self._look = None
        if self._idle:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(self._idle_s, self._close_idle)

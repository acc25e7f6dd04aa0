"""Tasks with a pipe each that take objects off a queue and write them.

An object is on a queue at most once, as whoever puts it there notes that, so a queue is never
longer than there are objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from controllers.fleet.machines import USER_AGENT
from kube.access import Access
from kube.client import Unreachable
from kube.pipe import Pipe
from runtime.tasks import TaskScope

T = TypeVar("T")
_FAILED_S: Final = 1.0
_WAIT_S: Final = 0.1
_NEVER_WAIT_PART: Final = 8
_log = logging.getLogger(__name__)


class Writers(Generic[T]):
    """See the module's head.

    Args of the constructor:
        access: how to reach the server.
        name: of its tasks.
        count: how many write at once.
        write: writes one object by a pipe; Unreachable is for `on_failure`.
        on_failure: is told of objects that could not be written.
        must_wait: whether what others write goes first now; an eighth of the tasks goes on.
    """

    def __init__(
        self,
        access: Access,
        name: str,
        count: int,
        write: Callable[[Pipe, T], Awaitable[None]],
        on_failure: Callable[[T], None],
        *,
        must_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._access = access
        self._name = name
        self._count = count
        self._write = write
        self._on_failure = on_failure
        self._must_wait = must_wait
        self._queue: deque[T] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many wait to be written."""
        return len(self._queue)

    def start(self, scope: TaskScope) -> None:
        """Start the tasks."""
        for number in range(self._count):
            # Some never wait: what is less urgent must go on, if slowly.
            can_wait = number >= max(1, self._count // _NEVER_WAIT_PART)
            scope.spawn(self._run(can_wait=can_wait), name=f"{self._name} {number}")

    def put(self, item: T) -> None:
        """Have an object written."""
        self._queue.append(item)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _run(self, *, can_wait: bool) -> None:
        pipe = Pipe(self._access, USER_AGENT)
        queue, loop = self._queue, asyncio.get_running_loop()
        try:
            while True:
                while not queue:
                    waiter = loop.create_future()
                    self._idle.append(waiter)
                    await waiter
                if can_wait and self._must_wait():
                    await asyncio.sleep(_WAIT_S)
                    continue
                item = queue.popleft()
                try:
                    await self._write(pipe, item)
                except Unreachable as error:
                    _log.info("%s: %s", self._name, error)
                    self._on_failure(item)
                    await asyncio.sleep(_FAILED_S)
                except Exception:  # noqa: BLE001 - one object must not keep all others from the API
                    _log.exception("%s: one cannot be written", self._name)
        finally:
            pipe.close()

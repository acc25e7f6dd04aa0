"""Bounded queues: every buffer has a limit, and its owner says what happens at the limit.

`BoundedQueue` holds items; `Budget` counts bytes and items held elsewhere (in flight on a socket,
waiting for a disk). Neither is thread-safe: both belong to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflow(Enum):
    """What `offer` does when the queue is full."""

    REFUSE = "refuse"
    """The new item stays out: `offer` raises QueueFull."""
    DROP_OLDEST = "drop oldest"
    """The oldest item goes: `offer` returns it."""


class QueueFull(Exception):
    """The queue is at its limit; the item was not taken. Contrast QueueClosed: retrying helps."""


class QueueClosed(Exception):
    """The queue was closed and, for a reader, is drained. Retrying never helps."""


class BoundedQueue(Generic[T]):
    """A queue of at most `count_max` items, read in batches: one wake-up for many items."""

    def __init__(self, count_max: int, overflow: Overflow = Overflow.REFUSE) -> None:
        if count_max < 1:
            raise ValueError("a queue needs room for at least one item")
        self._count_max = count_max
        self._overflow = overflow
        self._items: deque[T] = deque()
        self._closed = False
        self._readers: deque[asyncio.Future[None]] = deque()
        self._writers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be put."""
        return self._closed

    def offer(self, item: T) -> T | None:
        """Put without waiting; return the item that was dropped for it, if any.

        Raises:
            QueueFull: at the limit, under Overflow.REFUSE.
            QueueClosed: the queue was closed.
        """
        if self._closed:
            raise QueueClosed
        dropped: T | None = None
        if len(self._items) >= self._count_max:
            if self._overflow is Overflow.REFUSE:
                raise QueueFull
            dropped = self._items.popleft()
        self._items.append(item)
        _wake_one(self._readers)
        return dropped

    async def put(self, item: T) -> None:
        """Put, waiting for room: back-pressure on the writer.

        Raises:
            QueueClosed: the queue was closed, perhaps while waiting.
        """
        while len(self._items) >= self._count_max and not self._closed:
            await _wait_in(self._writers)
        if self._closed:
            raise QueueClosed
        self._items.append(item)
        _wake_one(self._readers)
        if len(self._items) < self._count_max:
            _wake_one(self._writers)

    async def get_batch(self, count_max: int | None = None) -> list[T]:
        """Return what is there, at least one item, at most `count_max`.

        Raises:
            QueueClosed: closed and drained.
        """
        while not self._items:
            if self._closed:
                raise QueueClosed
            await _wait_in(self._readers)
        if count_max is None or count_max >= len(self._items):
            batch = list(self._items)
            self._items.clear()
        else:
            batch = [self._items.popleft() for _ in range(count_max)]
            _wake_one(self._readers)
        _wake_one(self._writers)
        return batch

    def close(self) -> None:
        """Take nothing more; readers drain what is there, waiting writers get QueueClosed."""
        self._closed = True
        for waiters in (self._readers, self._writers):
            while waiters:
                _wake_one(waiters)


class Budget:
    """Counts bytes and items held somewhere, and wakes those who wait for room.

    Full means at or beyond either limit. `take` does not refuse: what has been received must be
    held; the owner stops receiving when `full`. Listeners are called when the holding falls to
    half of the limits, so that a paused writer is resumed for a stretch, not for one item.
    """

    __slots__ = ("_bytes_max", "_count_max", "_listeners", "held_bytes", "held_count")

    def __init__(self, bytes_max: int, count_max: int) -> None:
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._listeners: list[Callable[[], None]] = []
        self.held_bytes = 0
        self.held_count = 0

    @property
    def full(self) -> bool:
        """Whether the owner should take no more."""
        return self.held_bytes >= self._bytes_max or self.held_count >= self._count_max

    @property
    def half_empty(self) -> bool:
        """Whether a paused writer should go on."""
        return self.held_bytes <= self._bytes_max // 2 and self.held_count <= self._count_max // 2

    def take(self, size_bytes: int) -> None:
        """Count one more item."""
        self.held_bytes += size_bytes
        self.held_count += 1

    def give(self, size_bytes: int, count: int = 1) -> None:
        """Count `count` items of `size_bytes` together as gone; may call listeners."""
        self.held_bytes -= size_bytes
        self.held_count -= count
        assert self.held_bytes >= 0, "more bytes given back than taken"
        assert self.held_count >= 0, "more items given back than taken"
        if self._listeners and self.half_empty:
            listeners, self._listeners = self._listeners, []
            for listener in listeners:
                listener()

    def when_half_empty(self, listener: Callable[[], None]) -> None:
        """Call `listener` once, when there is room again; at once if there is now."""
        if self.half_empty:
            listener()
        else:
            self._listeners.append(listener)

    async def wait_for_room(self) -> None:
        """Return when not full; a caller that is full waits until half is free."""
        loop = asyncio.get_running_loop()
        while self.full:
            future: asyncio.Future[None] = loop.create_future()
            self.when_half_empty(lambda waiting=future: _resolve(waiting))  # type: ignore[misc]
            await future


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _wake_one(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        future = waiters.popleft()
        if not future.done():
            future.set_result(None)
            return


async def _wait_in(waiters: deque[asyncio.Future[None]]) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(future)
    try:
        await future
    except asyncio.CancelledError:
        # A wake-up meant for someone who no longer waits goes to the next.
        if future.done() and not future.cancelled():
            _wake_one(waiters)
        raise

"""Work that leaves room for others: long work in slices, frequent work for many causes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from time import perf_counter
from typing import Final, TypeVar

from controllers.workqueue import WorkQueue
from runtime.clock import Clock

SLICE_S: Final = 0.001
_CHUNK: Final = 64
_PAUSE_S_MAX: Final = 2.0
_PAUSE_S_PER_POD: Final = 50e-6
"""Some ten times what counting and ranking one takes."""
T = TypeVar("T")


async def paced(items: Iterable[T], slice_s: float = SLICE_S) -> AsyncIterator[list[T]]:
    """Yield items in small lists, and let others run when a slice of time is used up.

    Args:
        items: must not change meanwhile.
        slice_s: how long the event loop may be held, with what the caller does with a list.
    """
    rest = iter(items)
    until_s = perf_counter() + slice_s
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
        if perf_counter() >= until_s:
            await asyncio.sleep(0)
            until_s = perf_counter() + slice_s


class Rhythm:
    """How often a key is worked on for what others do: at once, but not again within a pause.

    A hundred pods that become ready one after the other are a few new statuses, not a hundred.

    Args of the constructor:
        queue: gets the keys.
        clock: what o'clock it is.
        pause_s: from the beginning of one work on a key to the next.
    """

    def __init__(self, queue: WorkQueue[str], clock: Clock, pause_s: float) -> None:
        self._queue = queue
        self._clock = clock
        self._pause_s = pause_s
        self._next_s: dict[str, float] = {}
        self._appointed: dict[str, object | None] = {}

    def begin(self, key: str, pause_s: float = 0.0) -> None:
        """Note that a key is worked on now, and is to be let alone for a pause, or a longer one."""
        self._next_s[key] = self._clock.monotonic_s() + max(self._pause_s, pause_s)

    def wake(self, key: str) -> None:
        """Have a key worked on as soon as its pause is over."""
        appointment = self._queue.appointment(key)
        if appointment is not None and appointment is self._appointed.get(key):
            return  # as of thousands of pods all but the first find it
        next_s = self._next_s.get(key)
        if next_s is None:
            self._queue.add(key)
            return
        self._queue.add_after(key, next_s - self._clock.monotonic_s())
        self._appointed[key] = self._queue.appointment(key)

    def forget(self, key: str) -> None:
        """Forget a key that is gone."""
        self._next_s.pop(key, None)
        self._appointed.pop(key, None)


def pause_for(pods: int) -> float:
    """Return how long an owner is let alone, in seconds, whose sync looks at so many pods.

    A rolling update of ten thousand is ten thousand causes to count them all: what a sync takes is
    to be a small part of the time, however many they are.
    """
    return min(_PAUSE_S_MAX, pods * _PAUSE_S_PER_POD)

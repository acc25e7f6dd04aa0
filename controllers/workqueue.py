"""A queue of keys that need work; the work itself is in the controllers.

Three sets: *dirty* needs work, *processing* is being worked on, *order* is the sequence of those
dirty and not processing. Hence the guarantees:
    - A key is never worked on twice at once.
    - A key added many times before its turn is worked on once.
    - A key added while it is being worked on is worked on again afterwards: no change is lost.
Keys whose work failed, or that are to be looked at later, wait outside of the three sets; of two
such times for a key the earlier counts. One event loop owns a queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from kube.client import Unreachable
from kube.status import StatusError

K = TypeVar("K", bound=Hashable)
_DOUBLINGS_MAX: Final = 30
_log = logging.getLogger(__name__)


class Timer(Protocol):
    """Something that will happen, unless cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""
        ...


class Timers(Protocol):
    """What a queue needs of time; an asyncio event loop has it."""

    def time(self) -> float:
        """Return seconds that never go back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` after `delay` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key waits after its failures: doubling from the first to the most."""

    first_s: float = 0.05
    most_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """Return the delay after this many failures in a row."""
        return min(self.most_s, self.first_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))


@dataclass(slots=True)
class RetryLimit:
    """How many retries all keys together have, beside what each waits: as client-go has it.

    Attributes:
        per_s: in the long run.
        burst: at once.
    """

    per_s: float = 10.0
    burst: float = 100.0
    _next_s: float = float("-inf")

    def delay_s(self, now_s: float) -> float:
        """Return how long the next retry has to wait; it is taken."""
        # The time at which the burst would be used up, moved on by each that is taken.
        self._next_s = max(self._next_s, now_s - self.burst / self.per_s) + 1 / self.per_s
        return max(0.0, self._next_s - now_s)


@dataclass(slots=True)
class _Appointment:
    due_s: float
    timer: Timer


class WorkQueue(Generic[K]):
    """See the module's head.

    Attributes:
        worked, failed: how often a key was worked on, and how often that failed.
    """

    def __init__(
        self,
        backoff: Backoff | None = None,
        timers: Timers | None = None,
        limit: RetryLimit | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._limit = limit
        self._timers = timers
        self._order: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: dict[K, _Appointment] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.worked = self.failed = 0

    @property
    def delayed(self) -> int:
        """How many keys are to be looked at later."""
        return len(self._later)

    def __len__(self) -> int:
        """Return how many keys wait for their turn."""
        return len(self._order)

    def add(self, key: K) -> None:
        """Have `key` worked on, once, as soon as its turn comes."""
        if (appointment := self._later.pop(key, None)) is not None:
            appointment.timer.cancel()
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._append(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Have `key` worked on in `delay_s`, or before, if it is added meanwhile."""
        if delay_s <= 0:
            self.add(key)
            return
        timers = self._timers or asyncio.get_running_loop()
        due_s = timers.time() + delay_s
        present = self._later.get(key)
        if present is not None:
            if present.due_s <= due_s:
                return
            present.timer.cancel()
        timer = timers.call_later(delay_s, lambda: self.add(key))
        self._later[key] = _Appointment(due_s, timer)

    def appointment(self, key: K) -> object | None:
        """Return when `key` is to be worked on later, another object whenever that changes."""
        return self._later.get(key)

    def retry(self, key: K) -> float:
        """Note that the work on `key` failed; have it tried again after the returned seconds."""
        self.failed += 1
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = self._backoff.delay_s(failures)
        if self._limit is not None:
            timers = self._timers or asyncio.get_running_loop()
            delay_s = max(delay_s, self._limit.delay_s(timers.time()))
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """Note that the work on `key` succeeded: its next failure is its first."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Return the next key, which is the caller's until `done`."""
        while not self._order:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                # A wake-up meant for a worker that is gone goes to the next.
                if future.done() and not future.cancelled():
                    self._wake_one()
                raise
        key = self._order.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Give `key` back; it is queued again if it was added meanwhile."""
        self.worked += 1
        self._processing.discard(key)
        if key in self._dirty:
            self._append(key)

    def _append(self, key: K) -> None:
        self._order.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
                return

    def check(self) -> None:
        """Assert the invariants of the three sets; for tests."""
        assert len(self._order) == len(set(self._order)), self._order
        assert set(self._order) == self._dirty - self._processing, (self._order, self._dirty)


_names: WeakKeyDictionary[WorkQueue[Any], str] = WeakKeyDictionary()
"""Queues that somebody works on, and what their workers' tasks are called."""


def note_worker(queue: WorkQueue[Any]) -> None:
    """Note that the present task works on a queue: "jobs 3" is one of those called "jobs"."""
    task = asyncio.current_task()
    assert task is not None, "workers are tasks"
    _names[queue] = task.get_name().rstrip("0123456789 ").replace("_", " ")


def queue_figures() -> dict[str, dict[str, int]]:
    """Return what queues do, by what their workers are called: keys that wait and that are delayed
    now, that were worked on, and for which that failed."""
    figures: dict[str, dict[str, int]] = {}
    for queue, name in _names.items():
        told = figures.setdefault(
            name, dict.fromkeys(("waiting", "delayed", "worked", "failed"), 0)
        )
        told["waiting"] += len(queue)
        told["delayed"] += queue.delayed
        told["worked"] += queue.worked
        told["failed"] += queue.failed
    return figures


async def run_worker(queue: WorkQueue[K], work: Callable[[K], Awaitable[float | None]]) -> None:
    """Work on keys, one after the other, until cancelled.

    Args:
        queue: where keys come from.
        work: does what `key` needs; returns in how many seconds to look again, None for not.
            What it raises is logged, and the key tried again: one that can't be worked on must
            not keep the others from being.
    """
    note_worker(queue)
    while True:
        key = await queue.get()
        try:
            again_s = await work(key)
        except (StatusError, Unreachable) as error:
            _log.warning("%s fails, again in %.2f s: %s", key, queue.retry(key), error)
        except Exception:  # noqa: BLE001 - logged with its traceback, and retried
            _log.exception("%s fails, again in %.2f s", key, queue.retry(key))
        else:
            queue.forget(key)
            if again_s is not None:
                queue.add_after(key, again_s)
        finally:
            queue.done(key)

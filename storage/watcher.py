"""One watcher: its scope, its place in history, and the events it has not yet taken.

A watcher is in exactly one state, moved by the named methods only:

    CATCHING_UP --join--> SYNCED --overflow--> EVICTED
        |  ^-----skip----+ (storage/mapped_partition.py only)
        +---- compaction passes it, or it stays full too long: EVICTED
    any ------close------> CLOSED

Invariants:
    - It gets every event of its scope after its first position, once, in order: while catching up
      from history, then live; `position` is what has been looked at on its behalf.
    - The writer never waits for it; what it may hold is bounded by its capacity, and in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, Protocol

from storage.errors import StorageError, WatcherClosed
from storage.event import Event

HELD_BYTES_MAX: Final = 64 << 20
"""Of bodies, before a watcher counts as full: its capacity is meant for objects of usual size."""
_LOOK_AFTER: Final = 64
"""Bytes are added up for so many events at a time: an addition for each would cost all the watchers
that never hold many, and one over all that is held would stop the loop where a thousand watchers
hold thousands each."""
_NEVER: Final = 1 << 62

Deliver = Callable[[list[Event]], bool]
"""Passes events on at once; False: it took none, whoever waits has to run for them."""


class Scope(NamedTuple):
    """Which objects a watcher is interested in."""

    resource: str
    namespace: str | None = None
    name: str | None = None
    field: tuple[str, str] | None = None
    """A field's name and value; an event matches by its new or its previous value."""


class WatcherState(Enum):
    """Where a watcher gets its events from."""

    CATCHING_UP = "catching up"
    SYNCED = "synced"
    EVICTED = "evicted"
    CLOSED = "closed"


class Owner(Protocol):
    """Who feeds the watcher."""

    @property
    def revision(self) -> int:
        """The revision up to which events have been dispatched."""
        ...

    def on_filled(self, watcher: Watcher) -> None:
        """The watcher holds something after having held nothing."""
        ...

    def on_overflow(self, watcher: Watcher) -> None:
        """The watcher holds more than its capacity."""
        ...

    def on_drained(self, watcher: Watcher) -> None:
        """The watcher, catching up and full, has room again."""
        ...

    def on_closed(self, watcher: Watcher) -> None:
        """The watcher wants nothing more."""
        ...


class Watcher:
    """A subscription to the events of a scope. Read by one task at a time.

    Attributes:
        scope: which events it gets.
        state: see the module's head.
        capacity: how many events it may hold untaken.
        overfull: whether it holds more than it may.
        position: everything up to this revision has been put into it (or did not match); once it
            has ended, taken from it.
        full_since_s: since when it is full while catching up, None if it is not.
        on_news: called, where somebody looks in from time to time instead of waiting, when it
            holds something after having held nothing, and when it is live no longer. It must not
            fail, nor take anything.
    """

    __slots__ = (
        "_deadline_s",
        "_deliver",
        "_failure",
        "_held_bytes",
        "_look_at",
        "_looked_until",
        "_owner",
        "_pending",
        "_timer",
        "_waiter",
        "capacity",
        "full_since_s",
        "on_news",
        "overfull",
        "position",
        "scope",
        "state",
    )

    def __init__(self, owner: Owner, scope: Scope, from_revision: int, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a watcher needs room for at least one event")
        self.scope = scope
        self.state = WatcherState.CATCHING_UP
        self.position = from_revision
        self.full_since_s: float | None = None
        self.on_news: Callable[[], None] | None = None
        self._owner = owner
        self.capacity = capacity
        self.overfull = False
        self._look_at = min(capacity, _LOOK_AFTER)
        self._held_bytes = self._looked_until = 0
        self._pending: list[Event] = []
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._deliver: Deliver | None = None
        # Made when it is raised: one that was kept would keep its traceback, and with that all
        # that had to do with the watcher, until the garbage collector comes by.
        self._failure: Callable[[], StorageError] | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may."""
        return self.overfull or len(self._pending) >= self.capacity

    @property
    def progress_revision(self) -> int:
        """A revision up to which all its events have been taken: what a bookmark may say."""
        if self._pending:
            return self._pending[0].revision - 1
        if self.state is WatcherState.SYNCED:
            # One from a revision not reached yet has promised not to show what lies before it.
            return max(self.position, self._owner.revision)
        return self.position

    def take(self) -> list[Event]:
        """Return what is there, perhaps nothing, without waiting.

        Raises:
            WatcherEvicted: it was too slow; what it held is dropped.
            Compacted: compaction passed it while it caught up. WatcherClosed: it was closed.
        """
        events, self._pending = self._pending, []
        if events:
            self.overfull = False
            self._look_at = min(self.capacity, _LOOK_AFTER)
            self._held_bytes = self._looked_until = 0
            if self.full_since_s is not None:
                self.full_since_s = None
                self._owner.on_drained(self)
            return events
        if self._failure is not None:
            raise self._failure()
        return events

    async def next_batch(
        self, timeout_s: float | None = None, deliver: Deliver | None = None
    ) -> list[Event]:
        """Wait for events and return all there are; empty if `timeout_s` passes without any.

        With `deliver` the wait goes on over all events that it takes, each time all there are:
        calling it costs a third of waking a task. What it raises is raised here.

        Raises:
            WatcherEvicted, Compacted, WatcherClosed: as `take`.
        """
        if self._pending or self._failure is not None:
            return self.take()
        assert self._waiter is None, "two tasks read one watcher"
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        self._deliver = deliver
        if timeout_s is not None:
            self._arm(loop, timeout_s)
        try:
            await waiter
        finally:
            self._waiter = self._deliver = None
        return self.take()

    def _arm(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        """See to it that a waiting reader is woken at its time limit.

        The timer outlives the waits: readers come back after each event with about the same limit,
        and setting one each time costs more than looking at the clock when it fires.
        """
        self._deadline_s = loop.time() + timeout_s
        timer = self._timer
        if timer is not None and timer.when() > self._deadline_s:
            timer.cancel()
            timer = None
        if timer is None:
            self._timer = loop.call_later(timeout_s, self._on_timer, loop)

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        left_s = self._deadline_s - loop.time()
        if self._waiter is None:
            return  # whoever waits next arms it again
        if left_s > 0:
            self._timer = loop.call_later(left_s, self._on_timer, loop)
        else:
            _resolve(self._waiter)

    def close(self) -> None:
        """Stop; a waiting reader gets WatcherClosed. May be repeated."""
        if self.state is not WatcherState.CLOSED:
            self._owner.on_closed(self)
            self.fail(WatcherState.CLOSED, _closed)

    def offer(self, event: Event) -> None:
        """Put an event in, unless it lies before the watcher's position."""
        if event.revision <= self.position:
            return
        pending = self._pending
        pending.append(event)
        if len(pending) == 1:
            self._owner.on_filled(self)
            if self.on_news is not None:
                self.on_news()
        elif len(pending) > self._look_at:
            self._look(pending)

    def _look(self, pending: list[Event]) -> None:
        new = pending[self._looked_until :]
        self._looked_until = len(pending)
        self._held_bytes += sum([len(event.record.body) for event in new])
        if len(pending) > self.capacity or self._held_bytes > HELD_BYTES_MAX:
            self.overfull = True
            self._look_at = _NEVER
            self._owner.on_overflow(self)
        else:
            self._look_at = min(self.capacity, self._look_at + _LOOK_AFTER)

    def fall_behind(self, position: int) -> None:
        """Get what comes after a position from history, no longer live."""
        self.state = WatcherState.CATCHING_UP
        self.position = max(self.position, position)
        if self.on_news is not None:
            self.on_news()

    def wake(self) -> None:
        """Let the reader have what is there if it waits."""
        waiter, deliver = self._waiter, self._deliver
        if waiter is None or waiter.done():
            return
        if deliver is not None and self._pending:
            try:
                if deliver(self._pending):
                    self.take()
                    return
            except Exception as error:  # noqa: BLE001 (others wait to be woken: it is the reader's)
                waiter.set_exception(error)
                return
        waiter.set_result(None)

    def fail(self, state: WatcherState, failure: Callable[[], StorageError]) -> None:
        """End with an error for the reader, which `failure` makes; what it held is dropped."""
        self.state = state
        self._failure = failure
        if self._pending:
            # A bookmark may still be asked for, and must not promise what is dropped here.
            self.position = self._pending[0].revision - 1
            self._pending = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.on_news is not None:
            self.on_news()
        self.wake()


def _closed() -> WatcherClosed:
    return WatcherClosed("the watcher was closed")


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

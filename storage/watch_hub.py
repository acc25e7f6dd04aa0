"""All watchers of a partition: who is live, who catches up, who is too slow.

Invariants:
    - A watcher is live or behind (storage/catch_up.py), never both, or has ended.
    - A watcher joins the live ones only at the very revision up to which events were dispatched;
      publishing and joining both run without interruption on the event loop. So there is neither a
      gap nor a repetition between history and live events.
    - A reader is woken once for a batch of events, not for each; the writer never waits for one.
    - Where many are woken together, the next round of wakes keeps a distance from the last that
      grows with their number: each wake is a system call, and events that gather in between share
      it. The distance is bounded, and there is none for a few watchers.
    - A round of very many goes on over several turns of the loop, so that others get theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from storage.catch_up import CatchUp, ReadHistory
from storage.errors import Compacted, WatcherEvicted
from storage.event import Event
from storage.scopes import ScopeIndex
from storage.watcher import Scope, Watcher, WatcherState

FULL_SECONDS_MAX: Final = 30.0
ROUND_WATCHERS_MIN: Final = 16
"""Rounds that wake fewer keep no distance."""
ROUND_SECONDS_PER_WATCHER: Final = 40e-6
"""Twice what waking one and writing little to it costs: half of the loop's time stays for others.
A round that took longer than this gives is followed by a distance as long as itself."""
ROUND_SECONDS_MAX: Final = 0.1
WALKS_SECONDS_APART: Final = 0.02
"""Between the end of a walk over history and the next one. Who comes meanwhile shares that: a walk
makes events of its own, and hundreds that were begun one by one held gigabytes."""
TURN_SECONDS_MAX: Final = 0.005
WAKES_PER_LOOK: Final = 16
"""After so many wakes of a turn it is looked at the clock."""


class WatchHub:
    """Dispatches events; the owner calls `publish` after each applied pass.

    Attributes:
        revision: events up to here have been dispatched.
        compact_revision: history before it is gone.
        evictions: how many watchers were too slow.
    """

    def __init__(self, read_history: ReadHistory, monotonic_s: Callable[[], float]) -> None:
        self.revision = 0
        self.compact_revision = 0
        self.evictions = 0
        self._monotonic_s = monotonic_s
        self._live = ScopeIndex()
        self._behind = CatchUp(read_history)
        self._filled: list[Watcher] = []
        self._overflowed: dict[Watcher, None] = {}
        self._work = asyncio.Event()
        self._next_round_s = 0.0
        self._round_timer: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._live) + len(self._behind)

    def watch(self, scope: Scope, from_revision: int, capacity: int) -> Watcher:
        """Return a watcher of the events after `from_revision`, which may lie ahead.

        Raises:
            Compacted: events after `from_revision` are gone.
        """
        if from_revision < self.compact_revision:
            raise Compacted(from_revision, self.compact_revision)
        watcher = Watcher(self, scope, from_revision, capacity)
        if from_revision >= self.revision:
            self._join(watcher)
        else:
            self._behind.add(watcher)
            self._work.set()
        return watcher

    def interested_count(self, resource: str, namespace: str, name: str) -> int:
        """Return how many live watchers a write of an object wakes; see ScopeIndex."""
        return self._live.interested_count(resource, namespace, name)

    def publish(self, events: Sequence[Event], revision: int, compact_revision: int) -> None:
        """Dispatch the events of an applied pass, and wake whom they reach."""
        self.compact_revision = compact_revision
        if self._live.resources:
            dispatch = self._live.dispatch
            for event in events:
                dispatch(event)
        self.revision = revision
        if self._filled or self._overflowed:
            self._settle()

    def skip(self, revision: int, compact_revision: int) -> None:
        """Go on at a revision whose events are too many to dispatch at once.

        The live ones fall behind, and get them from history, or Compacted if that has gone.
        """
        for watcher in [watcher for watcher in self._live if watcher.position < revision]:
            self._live.remove(watcher)
            watcher.fall_behind(self.revision)
            self._behind.add(watcher)
        self.revision = revision
        self.compact_revision = compact_revision
        self._work.set()
        self._settle()

    @property
    def live_resources(self) -> Collection[str]:
        """The resources whose events have to be published."""
        return self._live.resources

    def close(self) -> None:
        """End all watchers; their readers get WatcherClosed."""
        if self._round_timer is not None:
            self._round_timer.cancel()
            self._round_timer = None
        for watcher in (*self._live, *self._behind.watchers()):
            watcher.close()

    async def run_catch_up(self) -> None:
        """Serve the watchers that are behind, step by step, letting others run in between."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            if not self.catch_up():
                # Those left are full: taking from one sets the event again.
                self._work.clear()
            await asyncio.sleep(0 if self._behind.is_walking else WALKS_SECONDS_APART)

    def catch_up(self) -> bool:
        """Do one step; return whether another could do something."""
        for watcher in self._behind.step(self.revision, self.compact_revision):
            self._join(watcher)
        self._settle()
        return self._behind.can_step()

    def sweep(self) -> None:
        """Evict the watchers that have been full for too long while catching up."""
        for watcher in self._behind.full_since(self._monotonic_s() - FULL_SECONDS_MAX):
            self._evict(watcher)

    def on_filled(self, watcher: Watcher) -> None:
        """See Owner."""
        self._filled.append(watcher)

    def on_overflow(self, watcher: Watcher) -> None:
        """See Owner."""
        self._overflowed[watcher] = None

    def on_drained(self, _watcher: Watcher) -> None:
        """See Owner."""
        self._work.set()

    def on_closed(self, watcher: Watcher) -> None:
        """See Owner."""
        self._overflowed.pop(watcher, None)
        self._remove(watcher)

    def _join(self, watcher: Watcher) -> None:
        watcher.state = WatcherState.SYNCED
        watcher.full_since_s = None
        self._live.add(watcher)

    def _remove(self, watcher: Watcher) -> None:
        if watcher in self._live:
            self._live.remove(watcher)
        else:
            self._behind.discard(watcher)

    def _evict(self, watcher: Watcher) -> None:
        self.evictions += 1
        self._remove(watcher)
        watcher.fail(WatcherState.EVICTED, _evicted)

    def _settle(self) -> None:
        """After dispatching: deal with those that overflowed, wake those that got something."""
        if self._overflowed:
            overflowed, self._overflowed = self._overflowed, {}
            for watcher in overflowed:
                # One that is behind was filled by us, as fast as we could: it gets some time.
                if not self._behind.park(watcher, self._monotonic_s()):
                    self._evict(watcher)
        if not self._filled or self._round_timer is not None:
            return
        if self._loop is not None and self._loop.time() < self._next_round_s:
            self._round_timer = self._loop.call_at(self._next_round_s, self._wake_filled)
        else:
            self._wake_filled()

    def _wake_filled(self) -> None:
        filled, self._filled = self._filled, []
        self._wake(filled, 0, 0.0)

    def _wake(self, filled: list[Watcher], start: int, spent_s: float) -> None:
        """Wake `filled` from `start` on, for a turn of the loop; the round has taken `spent_s`."""
        self._round_timer = None
        loop = self._loop
        began_s = self._monotonic_s()
        while start < len(filled):
            end = start + WAKES_PER_LOOK
            for watcher in filled[start:end]:
                watcher.wake()
            start = end
            turn_s = self._monotonic_s() - began_s
            if turn_s > TURN_SECONDS_MAX and start < len(filled) and loop is not None:
                self._round_timer = loop.call_soon(self._wake, filled, start, spent_s + turn_s)
                return
        if loop is not None and len(filled) >= ROUND_WATCHERS_MIN:
            turn_s = self._monotonic_s() - began_s
            spent_s += turn_s
            distance_s = max(len(filled) * ROUND_SECONDS_PER_WATCHER - spent_s, spent_s)
            # The loop's time is that of the turn's begin.
            self._end_round(loop, turn_s + min(ROUND_SECONDS_MAX, distance_s))

    def _end_round(self, loop: asyncio.AbstractEventLoop, distance_s: float) -> None:
        self._next_round_s = loop.time() + distance_s
        if self._filled:
            # They gathered while this round went on.
            self._round_timer = loop.call_at(self._next_round_s, self._wake_filled)


def _evicted() -> WatcherEvicted:
    return WatcherEvicted("the watcher did not take its events fast enough")

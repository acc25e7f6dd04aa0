"""Watchers that are behind: one walk over history serves all of them that are not ahead of it.

A watcher that is behind is *walking* (the walk feeds it) or *waiting* (it lies before the walk, or
is full). A walk starts at the watcher that has waited longest, so no stream of newcomers starves
it, and moves on by pages; who comes while it goes on, at or after its position, just steps in.
At the end of history members leave for the live group, some at a time: the others stay behind
for a page more, so that no step takes long even with a hundred thousand members.

Invariants:
    - Members have got everything of their scope up to the walk's position, and nothing after it.
    - A waiting watcher has got everything up to its own position, and nothing after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from storage.errors import Compacted
from storage.reads import HistoryPage
from storage.scopes import ScopeIndex
from storage.watcher import Watcher, WatcherState

ROWS_PER_STEP: Final = 512
ROWS_PER_STEP_MIN: Final = 16
OFFERS_PER_STEP: Final = 32_768
"""Rows times members: each may get each row, which takes 0.1 µs."""
MEMBERS_PER_STEP: Final = 1024
"""How many leave for the live group at a time: about 2 ms."""
WALK_MEMBERS_MAX: Final = 8192
"""How many start a walk together; those left over make for another walk over the same history."""

ReadHistory = Callable[[int, int, Collection[str]], HistoryPage]
"""(after revision, rows to look at, resources) -> changes."""


class CatchUp:
    """The watchers of a partition that are behind."""

    def __init__(self, read_history: ReadHistory) -> None:
        self._read_history = read_history
        self._position = 0
        self._walking = ScopeIndex()
        self._waiting: dict[Watcher, None] = {}

    def __len__(self) -> int:
        return len(self._walking) + len(self._waiting)

    @property
    def is_walking(self) -> bool:
        """Whether a walk has members."""
        return bool(len(self._walking))

    def watchers(self) -> list[Watcher]:
        """Return all of them."""
        return [*self._walking, *self._waiting]

    def add(self, watcher: Watcher) -> None:
        """Take in a watcher that is behind."""
        if len(self._walking) and watcher.position >= self._position:
            self._walking.add(watcher)
        else:
            self._waiting[watcher] = None

    def discard(self, watcher: Watcher) -> None:
        """Forget a watcher, if it is one of ours."""
        if watcher in self._walking:
            self._walking.remove(watcher)
        self._waiting.pop(watcher, None)

    def step(self, revision: int, compact_revision: int) -> list[Watcher]:
        """Feed the walk one page of history.

        Args:
            revision: where history ends.
            compact_revision: where it begins; who is before it fails with Compacted.

        Returns:
            Watchers that have caught up, no longer ours.
        """
        if self._position < compact_revision:
            for watcher in tuple(self._walking):
                self._walking.remove(watcher)
                watcher.position = max(watcher.position, self._position)
                if watcher.position < compact_revision:
                    _fail_compacted(watcher, watcher.position, compact_revision)
                else:
                    self._waiting[watcher] = None
        if not len(self._walking) and not self._start_walk(compact_revision):
            return []
        if self._position < revision:
            rows = max(ROWS_PER_STEP_MIN, OFFERS_PER_STEP // len(self._walking))
            rows = min(ROWS_PER_STEP, rows)
            page = self._read_history(self._position, rows, self._walking.resources)
            for event in page.events:
                self._walking.dispatch(event)
            self._position = revision if page.exhausted else page.last_revision
        if self._position < revision:
            return []
        arrived = [
            watcher
            for watcher, _ in zip(self._walking, range(MEMBERS_PER_STEP), strict=False)
            if not watcher.overfull
        ]
        for watcher in arrived:
            self._walking.remove(watcher)
            watcher.position = max(watcher.position, self._position)
        return arrived

    def park(self, watcher: Watcher, now_s: float) -> bool:
        """Let a full member wait until it is drained; return whether it was a member."""
        if watcher not in self._walking:
            return False
        self._walking.remove(watcher)
        watcher.position = max(watcher.position, self._position)
        watcher.full_since_s = now_s
        self._waiting[watcher] = None
        return True

    def can_step(self) -> bool:
        """Return whether there is someone to serve."""
        return bool(len(self._walking)) or any(not watcher.full for watcher in self._waiting)

    def full_since(self, oldest_s: float) -> list[Watcher]:
        """Return who has been full since before `oldest_s`."""
        return [
            watcher
            for watcher in self._waiting
            if watcher.full_since_s is not None and watcher.full_since_s <= oldest_s
        ]

    def _start_walk(self, compact_revision: int) -> bool:
        for watcher in tuple(self._waiting):
            if watcher.position < compact_revision:
                del self._waiting[watcher]
                _fail_compacted(watcher, watcher.position, compact_revision)
            elif not watcher.full:
                if not len(self._walking):
                    self._position = watcher.position
                if watcher.position >= self._position:
                    del self._waiting[watcher]
                    self._walking.add(watcher)
                if len(self._walking) >= WALK_MEMBERS_MAX:
                    break
        return bool(len(self._walking))


def _fail_compacted(watcher: Watcher, revision: int, compact_revision: int) -> None:
    watcher.fail(WatcherState.EVICTED, lambda: Compacted(revision, compact_revision))

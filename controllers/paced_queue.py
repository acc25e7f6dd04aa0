"""How often an object is looked at while its pods change.

What comes while an object waits, or is being synced, is one piece of work (the queue's guarantee).
A Service of ten thousand pods takes a tenth of a second to sync, and each sync may write many
slices: the next one begins no sooner than after four times what the last one took, at most two
seconds, so that changes gather in proportion to what they cost, and one busy object leaves four
fifths of the loop to the others. Small ones are synced at once. Upstream's batch period
(--endpoint-updates-batch-period, 0) is the least.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from controllers.workqueue import WorkQueue
from runtime.clock import Clock

PAUSE_S_MAX: Final = 2.0
REST: Final = 4.0
"""The pause after a sync is so many times as long as it took."""
_NOTED_S_MIN: Final = 0.02
"""Syncs shorter than this are not held back."""


class PacedQueue:
    """A queue of keys; see the module's head."""

    def __init__(self, clock: Clock, batch_s: float = 0.0) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self._clock = clock
        self._batch_s = batch_s
        self._pause_s: dict[str, float] = {}

    def add(self, key: str) -> None:
        """Have an object looked at that changed itself."""
        self.queue.add(key)

    def add_for_pod(self, key: str) -> None:
        """Have an object looked at one of whose pods changed."""
        self.queue.add_after(key, max(self._batch_s, self._pause_s.get(key, 0.0)))

    def forget(self, key: str) -> None:
        """Forget an object that is gone."""
        self._pause_s.pop(key, None)

    async def timed(self, key: str, sync: Callable[[str], Awaitable[float | None]]) -> float | None:
        """Sync an object, and note how long that took."""
        started_s = self._clock.monotonic_s()
        try:
            return await sync(key)
        finally:
            took_s = self._clock.monotonic_s() - started_s
            if took_s >= _NOTED_S_MIN:
                self._pause_s[key] = min(REST * took_s, PAUSE_S_MAX)
            else:
                self._pause_s.pop(key, None)

"""When clients who were refused should come back: the longer, the longer so many are refused.

As upstream, and TCP: the time doubles when at least three times as many requests as it has seconds
were refused during it, up to 32 s, and shrinks by a second when fewer were than it has seconds. It
moves at most once a second, and doubles at most once in its own length.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RETRY_AFTER_S_MAX: Final = 32


class RetryAfter:
    """The advice of one priority level."""

    def __init__(self) -> None:
        self.seconds = 1
        self._doubled_at_s = 0
        self._second_s = 0
        self._refused = 0
        self._history: deque[tuple[int, int]] = deque()

    def note(self, now_s: int) -> int:
        """Count a refusal in the second `now_s`; return what to tell the client."""
        if now_s == self._second_s:
            self._refused += 1
            return self.seconds
        self._history.append((self._second_s, self._refused))
        kept_s = min(2 * self.seconds, RETRY_AFTER_S_MAX)
        while self._history and now_s - self._history[0][0] > kept_s:
            self._history.popleft()
        self._second_s, self._refused = now_s, 1
        self._adjust(now_s)
        return self.seconds

    def _adjust(self, now_s: int) -> None:
        seconds = self.seconds
        refused = sum(
            count for second_s, count in self._history if now_s - seconds <= second_s < now_s
        )
        if now_s - self._doubled_at_s >= seconds and refused >= 3 * seconds:
            self.seconds = min(2 * seconds, RETRY_AFTER_S_MAX)
            self._doubled_at_s = now_s
        elif refused < seconds and seconds > 1:
            self.seconds -= 1

"""Parts of watch streams that many watches send alike, kept for as long as a round of wakes lasts.

Not kept on the events themselves: watches that have fallen behind cut their batches differently,
and each event that one of them still holds would hold the parts of all others.

Invariants:
    - What is kept is bounded in bytes; the oldest goes first.
    - Nothing is kept of a watch that is alone in what it sends, as each kubelet's is: keeping it
      for nobody would cost more than making it, and hold megabytes of events.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

KEPT_BYTES_MAX: Final = 8 << 20


class Part(NamedTuple):
    """A part of a stream: framed bytes, and how many events they are. Both may be nothing."""

    framed: bytes
    events: int


class Sharing:
    """The watches that send the same of the same events.

    Attributes:
        key: what they have in common.
        members: how many are open.
    """

    __slots__ = ("key", "members")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.members = 0


class PartCache:
    """The parts made last, by what tells them from others, and who shares them."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parts: dict[Hashable, Part] = {}
        self._bytes = 0
        self._sharings: dict[Hashable, Sharing] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def join(self, key: Hashable) -> Sharing:
        """Count a watch in; it has to `leave`."""
        sharing = self._sharings.get(key)
        if sharing is None:
            sharing = self._sharings[key] = Sharing(key)
        sharing.members += 1
        return sharing

    def leave(self, sharing: Sharing) -> None:
        """Take a watch out, and forget what it shared with nobody else."""
        sharing.members -= 1
        if not sharing.members:
            del self._sharings[sharing.key]

    @property
    def sharings(self) -> int:
        """How many different kinds of watches are open."""
        return len(self._sharings)

    def get(self, key: Hashable) -> Part | None:
        """Return a part that is kept."""
        return self._parts.get(key)

    def put(self, key: Hashable, part: Part) -> None:
        """Keep a part that is not, and forget the oldest beyond the limit."""
        self._parts[key] = part
        self._bytes += _weight(part)
        while self._bytes > self._bytes_max:
            self._bytes -= _weight(self._parts.pop(next(iter(self._parts))))


def _weight(part: Part) -> int:
    # The key holds an event and its object, which weigh about 4 KB where they are small.
    return len(part.framed) + 4096

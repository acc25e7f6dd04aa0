"""Parts of watch streams that many watches send alike, kept for as long as a round of wakes lasts.

Not kept on the events themselves: watches that have fallen behind cut their batches differently,
and each event that one of them still holds would hold the parts of all others.

Invariant: what is kept is bounded in bytes; the oldest goes first.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

KEPT_BYTES_MAX: Final = 8 << 20


class Part(NamedTuple):
    """A part of a stream: framed bytes, and how many events they are. Both may be nothing."""

    framed: bytes
    events: int


class PartCache:
    """The parts made last, by what tells them from others."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parts: dict[Hashable, Part] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._parts)

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

"""The newest committed groups of a stream, in memory, for readers near the tail.

Invariants: chunks are consecutive; their bytes together pass the limit only if there is one chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import attrgetter

from journal.record import Chunk

_first_sequence = attrgetter("first_sequence")


class TailCache:
    """A bounded window over the end of a stream."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._chunks: deque[Chunk] = deque()
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How many bytes of frames are held."""
        return self._held_bytes

    def push(self, chunk: Chunk) -> None:
        """Add the group that was just committed; the oldest ones make room."""
        chunks = self._chunks
        assert not chunks or chunks[-1].next_sequence == chunk.first_sequence, "a gap in the tail"
        chunks.append(chunk)
        self._held_bytes += len(chunk.data)
        while self._held_bytes > self._bytes_max and len(chunks) > 1:
            self._held_bytes -= len(chunks.popleft().data)

    def get(self, sequence: int, bytes_max: int) -> Chunk | None:
        """Return frames from a frame at or before `sequence` on, or None if it is not held.

        At least one group; more only as far as they fit in `bytes_max`.
        """
        chunks = self._chunks
        if not chunks or not chunks[0].first_sequence <= sequence < chunks[-1].next_sequence:
            return None
        place = bisect_right(chunks, sequence, key=_first_sequence) - 1
        first = chunks[place]
        parts = [first.data]
        size_bytes = len(first.data)
        next_sequence = first.next_sequence
        for index in range(place + 1, len(chunks)):
            chunk = chunks[index]
            size_bytes += len(chunk.data)
            if size_bytes > bytes_max:
                break
            parts.append(chunk.data)
            next_sequence = chunk.next_sequence
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return Chunk(first.first_sequence, next_sequence, data)

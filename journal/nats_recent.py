"""The newest appends of a stream, kept in memory for readers that are close behind.

What is kept has no gaps and ends at the log's end; the oldest go when there are too many bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import Final

from journal.engine import Batch

APPEND_BYTES: Final = 200
"""What an append costs beside its records."""
BATCHES_PER_TAKE: Final = 512
BYTES_PER_TAKE: Final = 1 << 20


class RecentBatches:
    """A stretch of the log that ends at its end.

    Attributes:
        first: the first sequence that is kept, the last one's successor if none is.
    """

    def __init__(self, bytes_max: int) -> None:
        self.first = 1
        self._batches: deque[Batch] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._bytes_max = bytes_max

    def restart(self, first: int) -> None:
        """Forget all; what comes next begins at `first`."""
        self.first = first
        self._batches.clear()
        self._sizes.clear()
        self._bytes = 0

    def add(self, batch: Batch) -> None:
        """Keep the next append."""
        size = APPEND_BYTES + sum(map(len, batch.records))
        self._batches.append(batch)
        self._sizes.append(size)
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._batches) > 1:
            self._bytes -= self._sizes.popleft()
            self.first = self._batches.popleft().last_sequence + 1

    def take(self, sequence: int) -> list[Batch]:
        """Return what is there from a kept sequence on, at most so much at a time."""
        batches = self._batches
        # Readers are mostly at the end: a deque is fast at both, and they look at few.
        if batches and sequence >= batches[-1].first_sequence:
            place = len(batches) - 1
        else:
            place = bisect_right(batches, sequence, key=itemgetter(0)) - 1
        taken: list[Batch] = []
        size_bytes = 0
        for batch in islice(batches, place, place + BATCHES_PER_TAKE):
            taken.append(batch)
            size_bytes += sum(map(len, batch.records))
            if size_bytes >= BYTES_PER_TAKE:
                break
        skipped = sequence - taken[0].first_sequence
        if skipped:
            taken[0] = Batch(sequence, taken[0].timestamp_ms, taken[0].records[skipped:])
        return taken

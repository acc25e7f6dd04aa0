"""The idempotency keys a stream remembers: the last N that were committed, oldest forgotten.

Every append of a log has a key, so what is remembered is a stretch of the log without gaps that
ends at its end; `complete_after` says where it begins.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class KeyWindow:
    """Maps keys of committed appends to their first sequences. At most `count_max` keys.

    Args of the constructor:
        count_max: how many are remembered.
        keys: those to begin with, oldest first.
        complete_after: every append after this sequence has its key among `keys`.
    """

    def __init__(
        self,
        count_max: int,
        keys: Iterable[tuple[bytes, int]] = (),
        complete_after: int = 0,
    ) -> None:
        self._known_after = complete_after
        # A plain dict would do, but finding its oldest key skips over all deleted ones.
        self._sequences: OrderedDict[bytes, int] = OrderedDict()
        self._count_max = count_max
        for key, first_sequence in keys:
            self.add(key, first_sequence)

    def __len__(self) -> int:
        return len(self._sequences)

    def items(self) -> list[tuple[bytes, int]]:
        """Return the keys and their first sequences, oldest first."""
        return list(self._sequences.items())

    def between(self, first_sequence: int, next_sequence: int) -> list[tuple[bytes, int]]:
        """Return those of the appends of a stretch of the log, oldest first."""
        found = []
        for item in reversed(self._sequences.items()):
            if item[1] < first_sequence:
                break
            if item[1] < next_sequence:
                found.append(item)
        found.reverse()
        return found

    def get(self, key: bytes) -> int | None:
        """Return the first sequence of the append that had this key, if it is remembered."""
        return self._sequences.get(key)

    @property
    def complete_after(self) -> int:
        """The sequence after which no append's key is forgotten."""
        # Worked out when it is asked for, which is rare; `add` is not.
        oldest = next(iter(self._sequences.values()), 1)
        return max(self._known_after, oldest - 1)

    def add(self, key: bytes, first_sequence: int) -> None:
        """Remember a committed append; the oldest one may be forgotten for it."""
        self._sequences[key] = first_sequence
        if len(self._sequences) > self._count_max:
            self._sequences.popitem(last=False)

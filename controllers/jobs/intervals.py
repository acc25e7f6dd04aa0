"""Sets of completion indexes as intervals, and their text: `1,3-5,7`.

A Job of a hundred thousand completions is a few intervals most of the time, so nothing here costs
more than the intervals and the indexes that are new. Invariant of a set: its intervals are in
order, and between two of them an index is missing, as far as the text it was read from kept to
that. Text of others is read as upstream reads it: what is no number is passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

_number: Final = re.compile(r"[+-]?[0-9]+").fullmatch
# Go's Atoi refuses what does not fit into 64 bits.
_DIGITS_MAX: Final = 18


class Interval(NamedTuple):
    """Indexes from the first to the last, both included."""

    first: int
    last: int


class Indexes:
    """An immutable set of indexes; see the module's head."""

    __slots__ = ("intervals",)

    def __init__(self, intervals: Sequence[Interval] = ()) -> None:
        self.intervals = tuple(intervals)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __contains__(self, index: int) -> bool:
        at = bisect_left(self.intervals, index, key=lambda one: one.last)
        return at < len(self.intervals) and self.intervals[at].first <= index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indexes) and self.intervals == other.intervals

    def __hash__(self) -> int:
        return hash(self.intervals)

    def __str__(self) -> str:
        return ",".join(map(_text, self.intervals))

    def with_indexes(self, indexes: Iterable[int]) -> Indexes:
        """Return this set and some more indexes, given in any order."""
        new = [Interval(index, index) for index in sorted(set(indexes))]
        return self.merge(Indexes(new)) if new else self

    def merge(self, other: Indexes) -> Indexes:
        """Return what is in either set."""
        merged: list[Interval] = []
        for interval in sorted(self.intervals + other.intervals):
            if merged and interval.first <= merged[-1].last + 1:
                if interval.last > merged[-1].last:
                    merged[-1] = Interval(merged[-1].first, interval.last)
            else:
                merged.append(interval)
        return Indexes(merged)

    def missing(self, end: int) -> Iterator[int]:
        """Yield the indexes below `end` that are not in the set, in order."""
        candidate = 0
        for first, last in self.intervals:
            yield from range(candidate, min(first, end))
            candidate = max(candidate, last + 1)
        yield from range(candidate, end)

    def first_missing(self, count: int, end: int) -> list[int]:
        """Return the first `count` of `missing`."""
        return list(islice(self.missing(end), count))

    def overlap(self, other: Indexes) -> int:
        """Return how many indexes are in both sets."""
        total, mine, theirs = 0, 0, 0
        while mine < len(self.intervals) and theirs < len(other.intervals):
            one, two = self.intervals[mine], other.intervals[theirs]
            total += max(0, min(one.last, two.last) - max(one.first, two.first) + 1)
            if one.last <= two.last:
                mine += 1
            if two.last <= one.last:
                theirs += 1
        return total


def _text(interval: Interval) -> str:
    first, last = interval
    if first == last:
        return str(first)
    return f"{first}{',' if last == first + 1 else '-'}{last}"


def parse(text: str, completions: int) -> Indexes:
    """Return the indexes below `completions` that a text lists."""
    found: list[Interval] = []
    for part in text.split(",") if text else ():
        ends = part.split("-")
        first = _read(ends[0])
        if first is None:
            continue
        if first >= completions:
            break
        last = first if len(ends) == 1 else _read(ends[1])
        if last is None:
            continue
        last = min(last, completions - 1)
        if found and found[-1].last == first - 1:
            found[-1] = Interval(found[-1].first, last)
        else:
            found.append(Interval(first, last))
    return Indexes(found)


def _read(text: str) -> int | None:
    if not _number(text) or len(text) > _DIGITS_MAX:
        return None
    return int(text)

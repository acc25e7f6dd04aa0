"""Which node is best, without looking at all of them: nodes in cells, and in levels within a cell.

    cell   nodes that differ for a decision only by what is theirs alone (room, images);
           what changes for many nodes at once (skew, affinity, maxima of scores) is worked
           out per cell
    level  their own score; a cell's best are on its top level

So placing a pod moves one node between levels, and what it changes for others is as much work as
there are cells. Equals are taken in turn: the first whose rank is not below a cursor, round and
round. A bucket's ranks are sorted when somebody first asks for its first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from controllers.scheduler.columns import Bools, Ints

EMPTY: Final = -1
_RANK_BITS: Final = 32
_RANK_MASK: Final = (1 << _RANK_BITS) - 1
_INT_BITS: Final = 63
_CELLS_ROOM: Final = 16

_Bucket = list[int] | npt.NDArray[np.int64]


class Cells:
    """See the module's head.

    Attributes:
        count: how many cells there are.
        top: the highest level of each, EMPTY if no node of it is feasible.
        sizes: how many feasible nodes are in each.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.top: Ints = np.full(_CELLS_ROOM, EMPTY, np.int64)
        self.sizes: Ints = np.zeros(_CELLS_ROOM, np.int64)
        self._coordinates: list[Ints] = [np.zeros(_CELLS_ROOM, np.int64) for _ in range(dimensions)]
        self._cell_of: dict[tuple[int, ...], int] = {}
        self._buckets: list[dict[int, _Bucket]] = []

    def coordinates(self, dimension: int) -> Ints:
        """Return a coordinate of each cell."""
        return self._coordinates[dimension][: self.count]

    def cell(self, at: tuple[int, ...]) -> int:
        """Return the cell at some coordinates, made if there is none."""
        found = self._cell_of.get(at)
        if found is not None:
            return found
        if self.count == len(self.top):
            self._grow()
        found = self._cell_of[at] = self.count
        for column, value in zip(self._coordinates, at, strict=True):
            column[found] = value
        self._buckets.append({})
        self.count += 1
        return found

    def cells_of(self, coordinates: Sequence[Ints], size: int) -> Ints:
        """Return the cell of each of many nodes by their coordinates, one array a dimension."""
        combined = np.zeros(size, np.int64)
        for column in coordinates:
            if not size or column.min() == column.max():
                continue  # sorting is what takes time, and many are alike everywhere
            values, codes = np.unique(column, return_inverse=True)
            if combined.any():
                _, combined = np.unique(combined * len(values) + codes, return_inverse=True)
            else:
                combined = codes
        if not combined.any():
            first, inverse = np.zeros(min(size, 1), np.int64), combined
        else:
            _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
        known = [self.cell(tuple(int(column[at]) for column in coordinates)) for at in first]
        found: Ints = np.array(known, np.int64)[inverse] if size else combined
        return found

    def fill(self, cells: Ints, levels: Ints, ranks: Ints) -> None:
        """Put all feasible nodes in at once: their cells, levels and ranks."""
        if not len(cells):
            return
        bits = int(levels.max()).bit_length()
        if int(cells.max()).bit_length() + bits + _RANK_BITS <= _INT_BITS:
            packed = (cells << (bits + _RANK_BITS)) | (levels << _RANK_BITS) | ranks
            packed.sort()
            places, ranks = packed >> _RANK_BITS, packed & _RANK_MASK
        else:
            order = np.lexsort((ranks, levels, cells))
            bits = _INT_BITS - int(cells.max()).bit_length()
            places, ranks = (cells[order] << bits) | levels[order], ranks[order]
        starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
        ends = [*starts[1:].tolist(), len(places)]
        heads = places[starts]
        for start, end, cell, level in zip(
            starts.tolist(), ends, (heads >> bits).tolist(), heads.tolist(), strict=True
        ):
            level_of = level & ((1 << bits) - 1)
            self._buckets[cell][level_of] = ranks[start:end]
            # Levels of a cell come in rising order.
            self.top[cell] = level_of
        self.sizes[: self.count] += np.bincount(cells, minlength=self.count)

    def add(self, cell: int, level: int, rank: int) -> None:
        """Put a node in."""
        levels = self._buckets[cell]
        bucket = levels.get(level)
        if bucket is None:
            levels[level] = [rank]
            self.top[cell] = max(self.top[cell], level)
        else:
            insort(self._sorted(cell, level), rank)
        self.sizes[cell] += 1

    def discard(self, cell: int, level: int, rank: int) -> None:
        """Take a node out, which is there."""
        bucket = self._sorted(cell, level)
        at = bisect_left(bucket, rank)
        assert bucket[at] == rank, "a node is not where it was put"
        del bucket[at]
        self.sizes[cell] -= 1
        if not bucket:
            levels = self._buckets[cell]
            del levels[level]
            if level == self.top[cell]:
                self.top[cell] = max(levels, default=EMPTY)

    def best(self, allowed: Bools, offsets: Ints, cursor: int) -> tuple[int, int] | None:
        """Return rank and score of the best node; None: there is none.

        Args:
            allowed: by cell.
            offsets: by cell, what is added to its nodes' levels.
            cursor: of equals, the first from here on is taken.
        """
        top = self.top[: self.count]
        scores = np.where(allowed & (top != EMPTY), top + offsets, EMPTY)
        if not len(scores):
            return None
        score = int(scores.max())
        if score == EMPTY:
            return None
        return self._first(np.flatnonzero(scores == score).tolist(), cursor), score

    def best_of_few(self, offsets: list[int], cursor: int) -> tuple[int, int] | None:
        """Return what `best` says where all cells are allowed, with less ado for few of them."""
        score, found = EMPTY, list[int]()
        for cell, (top, offset) in enumerate(zip(self._tops(), offsets, strict=True)):
            if top == EMPTY or top + offset < score:
                continue
            if top + offset > score:
                score, found = top + offset, []
            found.append(cell)
        return (self._first(found, cursor), score) if score != EMPTY else None

    def _tops(self) -> list[int]:
        tops: list[int] = self.top[: self.count].tolist()
        return tops

    def _first(self, cells: list[int], cursor: int) -> int:
        """Return the first rank from a cursor on, of those on the top levels of some cells."""
        found, nearest = 0, _RANK_MASK + 1
        for cell in cells:
            bucket = self._sorted(cell, int(self.top[cell]))
            at = bisect_left(bucket, cursor)
            rank = bucket[at if at < len(bucket) else 0]
            distance = (rank - cursor) & _RANK_MASK
            if distance < nearest:
                found, nearest = rank, distance
        return found

    def _sorted(self, cell: int, level: int) -> list[int]:
        bucket = self._buckets[cell][level]
        if not isinstance(bucket, list):
            bucket = self._buckets[cell][level] = bucket.tolist()
        return bucket

    def _grow(self) -> None:
        room = 2 * len(self.top)
        self.top = _grown(self.top, room, EMPTY)
        self.sizes = _grown(self.sizes, room, 0)
        self._coordinates = [_grown(column, room, 0) for column in self._coordinates]


def _grown(array: Ints, room: int, fill: int) -> Ints:
    grown = np.full(room, fill, np.int64)
    grown[: len(array)] = array
    return grown

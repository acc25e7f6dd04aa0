"""On which nodes claims can be allocated, kept for claims that ask for the same.

The first time each node is searched; later only where something changed: a pool of one node is
searched on that node. Nodes that reach the same slices are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools, Ints
from controllers.scheduler.devices.book import Book, View
from controllers.scheduler.devices.model import Asked, Claim, Device, PoolId
from controllers.scheduler.devices.search import CannotAllocate, Search, Taken
from controllers.scheduler.devices.selecting import SelectorFault, Selectors

_MOVED_MAX: Final = 256
ALTERNATIVES_MAX: Final = 8


@dataclass(slots=True)
class Layout:
    """Which slots reach which slices, for all surveys; made anew when nodes or slices change."""

    book: Book
    views: list[View] = field(default_factory=list)
    _at: tuple[int, int] = (-1, -1)
    _slots: dict[PoolId, list[int]] = field(default_factory=dict)

    @property
    def version(self) -> tuple[int, int]:
        """What it was made from."""
        return self._at

    def refresh(self) -> None:
        """Make it anew, if need be."""
        book = self.book
        at = (book.columns.version, book.slices_version)
        if at == self._at:
            return
        self._at = at
        self.views = book.views()
        self._slots = {}
        for slot, view in enumerate(self.views):
            for name in view:
                if name in book.slices:
                    self._slots.setdefault(book.slices[name].pool, []).append(slot)

    def slots_of(self, pool: PoolId) -> Sequence[int]:
        """Return the slots that reach a pool."""
        return self._slots.get(pool, ())


class Survey:
    """See the module's head.

    Args of the constructor:
        layout: which node reaches what.
        selectors: evaluates expressions.
        claims: what is asked for; their names do not matter.
    """

    def __init__(self, layout: Layout, selectors: Selectors, claims: Sequence[Claim]) -> None:
        self._layout = layout
        self._book = layout.book
        self._selectors = selectors
        self._claims = claims
        self._position = 0
        self._at: tuple[int, int] = (-1, -1)
        self.passed: Bools = np.zeros(0, np.bool_)
        self.scores: Ints = np.zeros(0, np.int64)
        self.fault = ""

    def refresh(self) -> None:
        """Take in what has changed."""
        book, layout = self._book, self._layout
        layout.refresh()
        behind = book.touched_count - self._position
        if self._at != layout.version or self.fault or behind > min(len(book.touched), _MOVED_MAX):
            self._search_all()
            return
        pools = {book.touched[-number] for number in range(1, behind + 1)}
        self._position = book.touched_count
        slots = {slot for pool in pools for slot in layout.slots_of(pool)}
        known: dict[View, tuple[bool, int]] = {}
        for slot in slots:
            self._put(slot, known)

    def choose(self, slot: int) -> list[list[Taken]] | None:
        """Return what claims get on a node; None: not all of them get what they want.

        Raises:
            CannotAllocate, SelectorFault: see Search.
        """
        self._layout.refresh()
        pools = self._book.pools(self._layout.views[slot], slot)
        return Search(pools, self._claims, self._book.usage, self._matches).run()

    def _search_all(self) -> None:
        count = self._book.columns.count
        self._at, self._position = self._layout.version, self._book.touched_count
        self.fault = ""
        self.passed = np.zeros(count, np.bool_)
        self.scores = np.zeros(count, np.int64)
        known: dict[View, tuple[bool, int]] = {}
        for slot in range(count):
            self._put(slot, known)
            if self.fault:
                break

    def _put(self, slot: int, known: dict[View, tuple[bool, int]]) -> None:
        view = self._layout.views[slot]
        found = known.get(view)
        if found is None:
            found = known[view] = self._look(slot)
        self.passed[slot], self.scores[slot] = found

    def _look(self, slot: int) -> tuple[bool, int]:
        try:
            results = self.choose(slot)
        except SelectorFault as error:
            self.fault = str(error)  # the same on any node
            return False, 0
        except CannotAllocate:
            return False, 0  # others may do
        return results is not None, 0 if results is None else self._score(results)

    def _score(self, results: list[list[Taken]]) -> int:
        """Return how well what was preferred is met (DynamicResources.computeScore)."""
        total = 0
        for claim, taken in zip(self._claims, results, strict=True):
            names = {one.asked.name for one in taken}
            for request in claim.requests:
                if "/" not in request[0].name:
                    continue
                for rank, asked in enumerate(request):
                    if asked.name in names:
                        total += ALTERNATIVES_MAX - rank
        return total

    def _matches(self, asked: Asked, device: Device) -> bool:
        device_class = self._book.classes.get(asked.class_name)
        if device_class is None:
            return False
        for number, text in enumerate((*device_class.selectors, *asked.selectors)):
            try:
                if not self._selectors.matches(text, device):
                    return False
            except SelectorFault as error:
                of_class = len(device_class.selectors)
                whose = f"class {device_class.name}: selector #{number}"
                if number >= of_class:
                    whose = f"request {asked.name}: selector #{number - of_class}"
                raise SelectorFault(f"{whose} {error}") from None
        return True

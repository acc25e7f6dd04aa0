"""Structured merge: an applied configuration put over a live object.

Upstream's `Merge`. Nothing is removed here; where both sides have a leaf, the configuration's value
stays. Items of merged lists come in the live object's order where the configuration leaves that
alone, in the configuration's where it does not.
"""

from __future__ import annotations

from typing import Any

from kube.managed.atoms import (
    Shape,
    TypedError,
    element_of,
    is_atomic,
    shape_of,
    type_of_child,
    type_of_items,
)
from kube.managed.compare import ABSENT
from kube.managed.elements import shown
from kube.schema.model import Type


def merge(type_: Type, live: Any, config: Any) -> Any:
    """Return `config` merged into `live`; neither is changed, unchanged parts are shared.

    Raises:
        TypedError: the configuration names an item twice, or an item has no keys.
    """
    merged = _merge(type_, live, config)
    return {} if merged is ABSENT else merged


def _merge(type_: Type, live: Any, config: Any) -> Any:
    if config is ABSENT:
        return live
    shape = shape_of(type_, config)
    if shape is Shape.SCALAR or is_atomic(type_, shape):
        return config
    expected: type = list if shape is Shape.LIST else dict
    under: Any = live if live.__class__ is expected else None
    over: Any = config if config.__class__ is expected else None
    if not under and not over:
        return config
    if shape is Shape.LIST:
        items = _merge_items(type_, under or [], over or [])
        return items or ABSENT
    under, over = under or {}, over or {}
    merged = {}
    for name, value in under.items():
        part = _merge(type_of_child(type_, name), value, over.get(name, ABSENT))
        if part is not ABSENT:
            merged[name] = part
    for name, value in over.items():
        if name not in under:
            part = _merge(type_of_child(type_, name), ABSENT, value)
            if part is not ABSENT:
                merged[name] = part
    return merged or ABSENT


class _Side:
    """One of the lists: its items by element, and its elements in order."""

    __slots__ = ("elements", "items")

    def __init__(self, type_: Type, items: list[Any], *, may_repeat: bool) -> None:
        self.elements: list[str] = []
        self.items: dict[str, Any] = {}
        for item in items:
            element = element_of(type_, item)
            if element in self.items:
                if not may_repeat:
                    raise TypedError(f"duplicate entries for key {shown(element)}")
                # Items that are there twice are replaced as a whole, not merged into.
                self.items[element] = None
            else:
                self.items[element] = item
            self.elements.append(element)


def _merge_items(type_: Type, live: list[Any], config: list[Any]) -> list[Any]:
    ours = _Side(type_, live, may_repeat=True)
    theirs = _Side(type_, config, may_repeat=False)
    return _Weaving(type_, live, ours, theirs).run()


class _Weaving:
    """Puts the items of two lists into one order.

    Items of the live list only stay where they are between those that both have; of these the
    configuration's order holds, and what only it has comes before the next that both have.

    Attributes:
        out: the items so far.
        shared: elements that both lists have and that have not come yet, last one first.
    """

    def __init__(self, type_: Type, live: list[Any], ours: _Side, theirs: _Side) -> None:
        self._type = type_of_items(type_)
        self._live = live
        self._ours, self._theirs = ours, theirs
        self.out: list[Any] = []
        self.shared = [e for e in reversed(theirs.elements) if e in ours.items]
        self._next = self._pop()
        self._merged: set[str] = set()

    def _pop(self) -> str | None:
        return self.shared.pop() if self.shared else None

    def run(self) -> list[Any]:
        """Return the merged list."""
        left, right = self._ours.elements, self._theirs.elements
        at_left = at_right = 0
        while at_left < len(left) or at_right < len(right):
            if at_left < len(left) and at_right < len(right):
                element = left[at_left]
                if element == right[at_right]:
                    self._take(element)
                    self._next = self._pop()
                    at_left += 1
                    at_right += 1
                    continue
                is_shared = element in self._theirs.items
                if is_shared and self._next is not None and self._next != element:
                    at_left += 1  # it comes where the configuration has it
                    continue
            if at_left < len(left):
                element = left[at_left]
                if element not in self._theirs.items:
                    self._put(_merge(self._type, self._live[at_left], ABSENT))
                    at_left += 1
                    continue
                if element in self._merged:
                    at_left += 1
            if at_right < len(right):
                element = right[at_right]
                self._take(element)
                at_right += 1
                if self._next == element:
                    self._next = self._pop()
        return self.out

    def _take(self, element: str) -> None:
        self._merged.add(element)
        under = self._ours.items.get(element, ABSENT)
        self._put(_merge(self._type, under, self._theirs.items[element]))

    def _put(self, item: Any) -> None:
        if item is not ABSENT:
            self.out.append(item)

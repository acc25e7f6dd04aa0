"""Where pods of each group are, and which groups a selector can be about, without a look at all.

Pods of an indexed Job or of a StatefulSet have a group each, as each has a label of its own: there
are as many groups as such pods. A selector that asks for a value of a label is about those that
have it. So the groups are kept by the values of each label that was ever asked for, of which there
are few; of the others nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controllers.scheduler.columns import Ints
from controllers.scheduler.shapes import Group, Shape
from kube.selectors import LabelSelector, Operator

_KEYS_MAX: Final = 64
"""Labels that groups are kept by; selectors without one of these are compared with all groups."""


@dataclass(slots=True)
class Presence:
    """How many pods of a kind are on which nodes."""

    shape: Shape | None
    group: Group
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, slot: int, sign: int) -> None:
        """Count one more, or one less."""
        left = self.counts.get(slot, 0) + sign
        if left:
            self.counts[slot] = left
        else:
            self.counts.pop(slot, None)

    def arrays(self) -> tuple[Ints, Ints]:
        """Return slots and counts."""
        size = len(self.counts)
        return (
            np.fromiter(self.counts, np.int64, size),
            np.fromiter(self.counts.values(), np.int64, size),
        )


_Same = dict[tuple[str, str], dict[int, Presence]]
"""By namespace and value of one label: groups by number."""


class Presences:
    """Where pods of each group are; see the module's head."""

    def __init__(self) -> None:
        self._all: dict[int, Presence] = {}
        self._by_key: dict[str, _Same] = {}

    def __iter__(self) -> Iterator[Presence]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def count(self, group: Group, slot: int, sign: int) -> None:
        """Count one more pod of a group on a node, or one less."""
        presence = self._all.get(group.number)
        if presence is None:
            presence = self._all[group.number] = Presence(None, group)
            for key, same in self._by_key.items():
                _put(same, key, presence)
        presence.add(slot, sign)
        if not presence.counts:
            del self._all[group.number]
            for key, same in self._by_key.items():
                _take(same, key, group)

    def among(self, asked: Iterable[tuple[str, LabelSelector]]) -> Mapping[int, Presence]:
        """Return the groups, by number, that selectors can be about: all those, and maybe more.

        Args:
            asked: a namespace, and a selector of pods there.
        """
        found: dict[int, Presence] = {}
        for namespace, selector in asked:
            few = self._fewest(namespace, selector)
            if few is None:
                return self._all
            for one in few:
                found.update(one)
        return found

    def _fewest(self, namespace: str, selector: LabelSelector) -> list[dict[int, Presence]] | None:
        """Return the groups for that condition which the fewest meet; None: it may be any."""
        if selector.selects_nothing:
            return []
        best, least = None, len(self._all)
        for condition in selector.requirements:
            if condition.operator is not Operator.IN:
                continue
            same = self._of_key(condition.key)
            if same is None:
                continue
            found = [there for value in condition.values if (there := same.get((namespace, value)))]
            size = sum(map(len, found))
            if best is None or size < least:
                best, least = found, size
        return best

    def _of_key(self, key: str) -> _Same | None:
        same = self._by_key.get(key)
        if same is None and len(self._by_key) < _KEYS_MAX:
            same = self._by_key[key] = {}
            for presence in self._all.values():
                _put(same, key, presence)
        return same

    def check(self) -> None:
        """Assert that what is kept by labels is what there is; for tests."""
        for key, same in self._by_key.items():
            wanted: _Same = {}
            for presence in self._all.values():
                _put(wanted, key, presence)
            assert same == wanted, key


def _value_of(group: Group, key: str) -> str | None:
    for name, value in group.labels:
        if name == key:
            return value
    return None


def _put(same: _Same, key: str, presence: Presence) -> None:
    group = presence.group
    value = _value_of(group, key)
    if value is not None:
        same.setdefault((group.namespace, value), {})[group.number] = presence


def _take(same: _Same, key: str, group: Group) -> None:
    value = _value_of(group, key)
    if value is None:
        return
    there = same[group.namespace, value]
    del there[group.number]
    if not there:
        del same[group.namespace, value]

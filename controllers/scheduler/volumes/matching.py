"""Which nodes have, or can get, the volumes of a pod: VolumeBinding and VolumeZone.

    claims bound ------ their volumes reach the node? ------------------> conflict
    claims to bind ---- a free volume that reaches it? the smallest ----> choice
          └ none ------ can its class make one there? enough capacity? -> to be provisioned

All that nodes differ in for this is labels. So nodes are told apart by the labels that anything
here asks for, each kind of node is decided once in plain Python, and arrays spread the answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from controllers.scheduler.columns import ABSENT, Bools, Ints, NodeColumns
from controllers.scheduler.fit import ratio_table
from controllers.scheduler.node_rules import names_match, term_matches
from controllers.scheduler.settings import SCORE_MAX
from controllers.scheduler.terms import NodeTerm
from controllers.scheduler.volumes.book import Book
from controllers.scheduler.volumes.briefs import (
    Capacity,
    Claim,
    StorageClass,
    Volume,
    matches_terms,
)
from kube.selectors import Operator

NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
Labels = Mapping[str, str]


class Choice(NamedTuple):
    """What a pod would have on a node.

    Attributes:
        found: claims and the volumes that they get.
        provisioned: claims whose volumes are to be made.
        is_bindable: whether each claim gets a volume.
        has_space: whether there is room for those that are to be made.
        score: of VolumeBinding, 0 to 100.
    """

    found: tuple[tuple[Claim, Volume], ...] = ()
    provisioned: tuple[Claim, ...] = ()
    is_bindable: bool = True
    has_space: bool = True
    score: int = 0


class Shelf:
    """The volumes that would do for a claim, the smallest first, by where they can be reached."""

    def __init__(self, volumes: Sequence[Volume], preferred: str = "") -> None:
        self.volumes = sorted(volumes, key=lambda one: (one.size, one.name))
        self._preferred = next((one for one in self.volumes if one.name == preferred), None)
        self._anywhere: list[int] = []
        self._by_value: dict[str, dict[str, list[int]]] = {}
        self._others: list[int] = []
        for rank, volume in enumerate(self.volumes):
            self._put(rank, volume)

    def _put(self, rank: int, volume: Volume) -> None:
        terms = volume.terms
        if terms is None:
            self._anywhere.append(rank)
        elif len(terms) == 1 and len(terms[0].expressions) == 1 and not terms[0].names:
            requirement = terms[0].expressions[0]
            if requirement.operator is Operator.IN:
                values = self._by_value.setdefault(requirement.key, {})
                for value in set(requirement.values):
                    values.setdefault(value, []).append(rank)
            else:
                self._others.append(rank)
        else:
            self._others.append(rank)

    def keys(self) -> set[str]:
        """Return the labels that it matters for."""
        found = set(self._by_value)
        for rank in self._others:
            for term in self.volumes[rank].terms or ():
                found |= {one.key for one in term.expressions}
        return found

    def best(self, labels: Labels, but: Collection[str]) -> Volume | None:
        """Return the smallest volume that a node with these labels reaches.

        Args:
            labels: of the node.
            but: names of volumes that are chosen already.
        """
        if self._preferred is not None and self._preferred.name not in but:
            # One that is meant for the claim is it, or none (FindMatchingVolume).
            return self._preferred if matches_terms(self._preferred.terms, labels) else None
        found: int | None = None
        for bucket in self._buckets(labels):
            found = self._first(bucket, but, found)
        for rank in self._others:
            if found is not None and rank >= found:
                break
            volume = self.volumes[rank]
            if volume.name not in but and matches_terms(volume.terms, labels):
                found = rank
        return None if found is None else self.volumes[found]

    def _buckets(self, labels: Labels) -> Iterator[list[int]]:
        yield self._anywhere
        for key, values in self._by_value.items():
            bucket = values.get(labels[key]) if key in labels else None
            if bucket is not None:
                yield bucket

    def _first(self, bucket: list[int], but: Collection[str], found: int | None) -> int | None:
        for rank in bucket:
            if found is not None and rank >= found:
                return found
            if self.volumes[rank].name not in but:
                return rank
        return found


@dataclass(slots=True)
class Wanted:
    """A claim that waits for its first pod, and what would do for it."""

    claim: Claim
    shelf: Shelf
    storage_class: StorageClass | None


def shelf_for(book: Book, claim: Claim) -> Shelf:
    """Return the free volumes that fit a claim (FindMatchingVolume)."""
    fitting, preferred = [], ""
    for volume in book.free_of(claim.class_name, claim):
        if volume.is_going or volume.size < (claim.size or 0) or volume.mode != claim.mode:
            continue
        if volume.attributes_class != claim.attributes_class:
            continue
        if volume.claim == claim.key:
            preferred = preferred or volume.name
        elif not claim.modes <= volume.modes or (
            claim.selector is not None and not claim.selector.matches(dict(volume.labels))
        ):
            continue
        fitting.append(volume)
    return Shelf(fitting, preferred)


@dataclass(slots=True)
class Matching:
    """See the module's head; of the claims that are to be bound.

    Attributes:
        points: of utilization and score, by which capacity is scored.
    """

    book: Book
    columns: NodeColumns
    wanted: Sequence[Wanted]
    points: tuple[tuple[int, int], ...]
    _choices: list[Choice] = field(default_factory=list)
    _codes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def decide(self) -> None:
        """Decide for every node."""
        columns, count = self.columns, self.columns.count
        keys = sorted(self._keys())
        codes = np.zeros(count, np.int64)
        for key in keys:
            column = columns.label(key)
            wide = codes * (len(column.values) + 1) + (column.codes[:count] - ABSENT)
            _, codes = np.unique(wide, return_inverse=True)
        _, firsts = np.unique(codes, return_index=True)
        self._codes = codes.astype(np.int64)
        self._choices = [self._choice(self._labels(keys, int(slot))) for slot in firsts]

    def choice_for(self, slot: int) -> Choice:
        """Return what a pod has on a node, without a look at others."""
        return self._choice(self._labels(sorted(self._keys()), slot))

    def masks(self) -> tuple[Bools, Bools]:
        """Return, by slot, whether all claims can be bound and whether there is space."""
        bindable = np.array([one.is_bindable for one in self._choices], np.bool_)
        space = np.array([one.has_space for one in self._choices], np.bool_)
        return bindable[self._codes], space[self._codes]

    def scores(self) -> Ints:
        """Return the scores by slot, 0 to 100."""
        found: Ints = np.array([one.score for one in self._choices], np.int64)[self._codes]
        return found

    def _keys(self) -> set[str]:
        found: set[str] = set()
        for one in self.wanted:
            found |= one.shelf.keys()
            if one.storage_class is None:
                continue
            for term in one.storage_class.topologies:
                found |= {requirement.key for requirement in term}
            for capacity in self._capacities(one.storage_class).values():
                if capacity.selector is not None:
                    found |= {requirement.key for requirement in capacity.selector.requirements}
        return found

    def _labels(self, keys: Sequence[str], slot: int) -> dict[str, str]:
        labels = {}
        for key in keys:
            column = self.columns.label(key)
            code = int(column.codes[slot])
            if code != ABSENT:
                labels[key] = column.values[code]
        return labels

    def _choice(self, labels: Labels) -> Choice:
        found: list[tuple[Claim, Volume]] = []
        left: list[Wanted] = []
        chosen: set[str] = set()
        # Who asks for least chooses first, so that each gets the smallest that fits.
        for one in sorted(self.wanted, key=lambda each: each.claim.size or 0):
            volume = None
            if not self.book.node_of(one.claim):
                volume = one.shelf.best(labels, chosen)
            if volume is None:
                left.append(one)
                continue
            chosen.add(volume.name)
            found.append((one.claim, volume))
        capacities: list[tuple[Claim, Capacity]] = []
        for one in left:
            if not self._can_provision(one, labels):
                return Choice(is_bindable=False)
            is_enough, capacity = self._enough(one, labels)
            if not is_enough:
                return Choice(has_space=False)
            if capacity is not None:
                capacities.append((one.claim, capacity))
        provisioned = tuple(one.claim for one in left)
        return Choice(tuple(found), provisioned, score=self._score(found, capacities))

    @staticmethod
    def _can_provision(one: Wanted, labels: Labels) -> bool:
        storage_class = one.storage_class
        if storage_class is None or storage_class.provisioner in ("", NO_PROVISIONER):
            return False
        topologies = storage_class.topologies
        return not topologies or any(
            bool(term) and all(requirement.matches(labels) for requirement in term)
            for term in topologies
        )

    def _capacities(self, storage_class: StorageClass) -> Mapping[str, Capacity]:
        if storage_class.provisioner not in self.book.checked_drivers:
            return {}
        return self.book.capacities.get(storage_class.name, {})

    def _enough(self, one: Wanted, labels: Labels) -> tuple[bool, Capacity | None]:
        storage_class = one.storage_class
        assert storage_class is not None
        size = one.claim.size
        if size is None or storage_class.provisioner not in self.book.checked_drivers:
            return True, None
        for _, capacity in sorted(self._capacities(storage_class).items()):
            if capacity.largest is None or capacity.largest < size:
                continue
            if capacity.selector is not None and capacity.selector.matches(labels):
                return True, capacity
        return False, None

    def _score(
        self, found: list[tuple[Claim, Volume]], capacities: list[tuple[Claim, Capacity]]
    ) -> int:
        """Return how little of what it would use a pod leaves unused (StorageCapacityScoring)."""
        asked: dict[str, int] = {}
        there: dict[str, int] = {}
        for claim, volume in found:
            asked[volume.class_name] = asked.get(volume.class_name, 0) + (claim.size or 0)
            there[volume.class_name] = there.get(volume.class_name, 0) + volume.size
        if not found:
            for claim, capacity in capacities:
                # The same capacity for all claims of a class, so it is not added up.
                asked[claim.class_name] = asked.get(claim.class_name, 0) + (claim.size or 0)
                there[claim.class_name] = capacity.total
        if not asked or not self.points:
            return 0
        table = ratio_table(self.points)
        total = 0
        for name, size in asked.items():
            has = there[name]
            used = SCORE_MAX if not has or size > has else size * SCORE_MAX // has
            total += int(table[used])
        return int(total / len(asked) + 0.5)


def reach_mask(columns: NodeColumns, volume: Volume) -> Bools:
    """Return which nodes reach a volume (CheckNodeAffinity)."""
    found = np.zeros(columns.count, np.bool_)
    for term in volume.terms or ():
        # Upstream looks at labels alone: names are those of no node.
        if names_match(term, ""):
            found |= term_matches(columns, NodeTerm(term.expressions, ()))
    return found


def zone_mask(columns: NodeColumns, volumes: Sequence[Volume], labels: Sequence[str]) -> Bools:
    """Return which nodes are in the zones of all volumes; those without any zone are (VolumeZone).

    Args:
        columns: the nodes.
        volumes: that are bound.
        labels: the names that zones and regions go by; beta names are found by newer ones, too.
    """
    count = columns.count
    has_zone = np.zeros(count, np.bool_)
    for key in labels:
        has_zone |= columns.label(key).codes[:count] != ABSENT
    passed = np.ones(count, np.bool_)
    for volume in volumes:
        for key, values in volume.zones:
            passed &= _in_zone(columns, key, values)
    found: Bools = passed | ~has_zone
    return found


_NEWER: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}


def _in_zone(columns: NodeColumns, key: str, values: Collection[str]) -> Bools:
    count = columns.count

    def of(name: str) -> tuple[Bools, Bools]:
        column = columns.label(name)
        wanted = [column.code_of[value] for value in values if value in column.code_of]
        codes = column.codes[:count]
        return codes != ABSENT, np.isin(codes, wanted)

    has, found = of(key)
    newer = _NEWER.get(key)
    if newer is not None:
        found = np.where(has, found, of(newer)[1])
    result: Bools = found
    return result

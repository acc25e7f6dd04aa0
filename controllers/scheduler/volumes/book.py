"""Claims, volumes and storage classes as the scheduler believes them to be.

Between a decision and the watch's word of it, a volume is *taken* by the claim that is to have it,
and a claim *is meant* for a node where its volume is to be made: other pods see both at once.
Whoever keeps conclusions asks `stamp` for what they are about: it is raised by each change.

Invariants:
    - What is taken is not free. It ends when the API tells that the volume has a claim, or when
      whoever took it gives it back.
    - `free_of` lists exactly the volumes of a class that somebody may have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from controllers.scheduler.volumes.briefs import (
    Capacity,
    Claim,
    StorageClass,
    Volume,
    read_capacity,
    read_claim,
    read_class,
    read_volume,
)
from kube.informers.changes import Change
from kube.informers.informer import Delta

CLAIM_MARK: Final = "claim:"
CLASS_MARK: Final = "class:"
VOLUME_MARK: Final = "volume:"


class Book:
    """See the module's head.

    Attributes:
        claims: by "namespace/name".
        capacities: of each class, by the capacity's own key.
        checked_drivers: CSI drivers that want their capacity to be looked at.
        needed_drivers: CSI drivers without which a node gets none of their pods.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self.volumes: dict[str, Volume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.capacities: dict[str, dict[str, Capacity]] = {}
        self.checked_drivers: set[str] = set()
        self.needed_drivers: set[str] = set()
        self.on_claim: list[Callable[[str], None]] = []
        self._by_class: dict[str, dict[str, Volume]] = {}
        self._taken: dict[str, str] = {}
        self._meant: dict[str, str] = {}
        self._stamps: dict[str, int] = {}
        self._stamp = 0
        self._floor = 0

    def stamp(self, marks: Iterable[str]) -> int:
        """Return a number that is raised by each change of any of some things."""
        stamps, found = self._stamps, self._floor
        for mark in marks:
            found = max(found, stamps.get(mark, 0))
        return found

    def touch(self, mark: str) -> None:
        """Take note that something has changed."""
        self._stamp += 1
        self._stamps[mark] = self._stamp

    def _drop_mark(self, mark: str) -> None:
        # Nothing is kept of what is gone; all look again.
        self._stamps.pop(mark, None)
        self._stamp += 1
        self._floor = self._stamp

    def take_claims(self, deltas: Sequence[Delta]) -> None:
        """Take changes of claims."""
        for delta in deltas:
            key = delta.key
            if delta.change is Change.DELETED:
                self.claims.pop(key, None)
                self._meant.pop(key, None)
                self._drop_mark(CLAIM_MARK + key)
            else:
                claim = read_claim(delta.object)
                before = self.claims.get(key)
                self.claims[key] = claim
                if before is None or before._replace(revision=0) != claim._replace(revision=0):
                    self.touch(CLAIM_MARK + key)
            for tell in self.on_claim:
                tell(key)

    def take_volumes(self, deltas: Sequence[Delta]) -> None:
        """Take changes of volumes."""
        for delta in deltas:
            name = delta.key
            before = self.volumes.pop(name, None)
            if before is not None:
                self._by_class[before.class_name].pop(name, None)
            if delta.change is Change.DELETED:
                self._taken.pop(name, None)
                self._drop_mark(VOLUME_MARK + name)
            else:
                volume = self.volumes[name] = read_volume(delta.object)
                self._by_class.setdefault(volume.class_name, {})[name] = volume
                if volume.claim:
                    self._taken.pop(name, None)
                if before is not None and before._replace(revision=0) == volume._replace(
                    revision=0
                ):
                    continue
                self.touch(VOLUME_MARK + name)
                self.touch(CLASS_MARK + volume.class_name)
            if before is not None:
                self.touch(CLASS_MARK + before.class_name)
            for claim in self._claims_at(before, self.volumes.get(name)):
                for tell in self.on_claim:
                    tell(claim)

    @staticmethod
    def _claims_at(*volumes: Volume | None) -> set[str]:
        return {volume.claim for volume in volumes if volume is not None and volume.claim}

    def take_classes(self, deltas: Sequence[Delta]) -> None:
        """Take changes of storage classes."""
        for delta in deltas:
            if delta.change is Change.DELETED:
                self.classes.pop(delta.key, None)
            else:
                self.classes[delta.key] = read_class(delta.object)
            self.touch(CLASS_MARK + delta.key)

    def take_capacities(self, deltas: Sequence[Delta]) -> None:
        """Take changes of CSIStorageCapacities."""
        for delta in deltas:
            capacity = read_capacity(delta.object)
            if delta.change is Change.DELETED:
                self.capacities.get(capacity.class_name, {}).pop(delta.key, None)
            else:
                self.capacities.setdefault(capacity.class_name, {})[delta.key] = capacity
            self.touch(CLASS_MARK + capacity.class_name)

    def take_drivers(self, deltas: Sequence[Delta]) -> None:
        """Take changes of CSIDrivers: all look again, as there are few and they change seldom."""
        for delta in deltas:
            spec = delta.object.get("spec") or {}
            is_gone = delta.change is Change.DELETED
            for drivers, field in (
                (self.checked_drivers, "storageCapacity"),
                (self.needed_drivers, "preventPodSchedulingIfMissing"),
            ):
                if spec.get(field) and not is_gone:
                    drivers.add(delta.key)
                else:
                    drivers.discard(delta.key)
        self._stamp += 1
        self._floor = self._stamp

    def node_of(self, claim: Claim) -> str:
        """Return where a claim's volume is to be made; empty: nothing is said yet."""
        return self._meant.get(claim.key) or claim.node

    def free_of(self, class_name: str, claim: Claim) -> Iterator[Volume]:
        """Yield the volumes of a class that a claim may have, if they fit."""
        for name, volume in self._by_class.get(class_name, {}).items():
            taken = self._taken.get(name)
            if taken is not None:
                if taken == claim.key:
                    yield volume
            elif not volume.claim:
                if volume.is_available:
                    yield volume
            elif volume.claim == claim.key and volume.claim_uid in ("", claim.uid):
                yield volume

    def take_volume(self, name: str, claim: Claim) -> None:
        """Keep a volume for a claim."""
        self._taken[name] = claim.key
        self.touch(CLASS_MARK + claim.class_name)
        self.touch(CLAIM_MARK + claim.key)

    def give_back(self, name: str, claim: str) -> None:
        """Let others have a volume again, unless the API says meanwhile whose it is."""
        if self._taken.get(name) == claim:
            del self._taken[name]
            volume = self.volumes.get(name)
            if volume is not None:
                self.touch(CLASS_MARK + volume.class_name)
            self.touch(CLAIM_MARK + claim)

    def mean(self, claim: Claim, node: str) -> None:
        """Have a claim's volume made for a node."""
        self._meant[claim.key] = node
        self.touch(CLAIM_MARK + claim.key)

    def unmean(self, claim: str) -> None:
        """Forget what was meant with a claim: the API knows, or it is not so."""
        if self._meant.pop(claim, None) is not None:
            self.touch(CLAIM_MARK + claim)

    def check(self) -> None:
        """Assert the invariants; for tests."""
        listed = {name for volumes in self._by_class.values() for name in volumes}
        assert listed == set(self.volumes), (listed, set(self.volumes))
        assert not {name for name in self._taken if self.volumes[name].claim}, self._taken

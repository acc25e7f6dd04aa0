"""What the scheduler asks of volumes: one extension for VolumeBinding and its three neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools, Ints, NodeColumns
from controllers.scheduler.extension import Extension, Occupancy
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import BINDING, LIMITS, RESTRICTIONS, ZONE, Profile
from controllers.scheduler.shapes import Shape
from controllers.scheduler.volumes.attached import NODES_MARK, USERS_MARK, Attached
from controllers.scheduler.volumes.book import CLAIM_MARK, CLASS_MARK, VOLUME_MARK, Book
from controllers.scheduler.volumes.briefs import ZONE_LABELS, Claim, Volume
from controllers.scheduler.volumes.matching import (
    Choice,
    Matching,
    Wanted,
    reach_mask,
    shelf_for,
    zone_mask,
)
from controllers.scheduler.volumes.occupancy import VolumeOccupancy
from controllers.scheduler.volumes.uses import Use, uses_of

NO_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
CONFLICT: Final = "node(s) had volume node affinity conflict"
NOTHING_TO_BIND: Final = "node(s) didn't find available persistent volumes to bind"
NO_SPACE: Final = "node(s) did not have enough free storage"
NO_ZONE: Final = "node(s) had no available volume zone"
UNBOUND: Final = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(slots=True)
class _Sorted:
    """A pod's claims: bound, and to be bound once it has a node."""

    bound: list[Claim] = field(default_factory=list)
    wanted: list[Claim] = field(default_factory=list)
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is kept for a pod that is to be bound.

    Attributes:
        node: its name.
        choice: what is to be written before; empty of both: nothing.
    """

    node: str
    choice: Choice


class Volumes(Extension):
    """See the module's head.

    Attributes:
        book: what there is.
        attached: what is taken of nodes.
    """

    is_early = True
    plugins = (RESTRICTIONS, LIMITS, BINDING, ZONE)

    def __init__(self, columns: NodeColumns) -> None:
        self.book = Book()
        self.attached = Attached(self.book, columns)
        self.book.on_claim.append(self.attached.review)
        self._columns = columns
        self._reserved: dict[str, Reserved] = {}
        self._asked: tuple[int, int, int, Matching] | None = None

    def concerns(self, shape: Shape) -> bool:
        """Tell whether a pod has volumes that matter."""
        return bool(shape.volumes)

    def version(self, shape: Shape) -> int:
        """Return a number that changes with what a pod's volumes depend on."""
        return self.news(shape) + self.chances(shape)

    def chances(self, shape: Shape) -> int:
        """Return a number that changes with what nodes attach, and may."""
        return self.book.stamp((NODES_MARK,))

    def news(self, shape: Shape) -> int:
        """Return a number that changes with a pod's claims and what may be had for them."""
        marks = []
        for use in uses_of(shape):
            marks.append(CLAIM_MARK + use.key)
            claim = self.book.claims.get(use.key)
            if claim is None:
                continue
            if claim.volume:
                marks.append(VOLUME_MARK + claim.volume)
            if not claim.is_bound:
                marks.append(CLASS_MARK + claim.class_name)
            if not use.is_made and not self.attached.is_shared(use.key):
                marks.append(USERS_MARK + use.key)
        return self.book.stamp(marks)

    def checks(self, shape: Shape, profile: Profile) -> Iterator[Check]:
        """Yield what VolumeBinding and VolumeZone say; what is wrong with the pod is told alone."""
        uses, count = uses_of(shape), self._columns.count
        if not uses:
            return
        for plugin, why in self._refusals(uses, shape):
            if plugin in profile.filters:
                none = np.zeros(count, np.bool_)
                yield Check(plugin, why, is_final=True, passed=none, is_whole=True)
                return
        claims = self._sort(uses)
        volumes = [
            self.book.volumes[one.volume] for one in claims.bound if one.volume in self.book.volumes
        ]
        if BINDING in profile.filters:
            yield from self._binding(claims, volumes, profile, shape)
        if ZONE in profile.filters and any(volume.zones for volume in volumes):
            passed = zone_mask(self._columns, volumes, ZONE_LABELS)
            yield Check(ZONE, NO_ZONE, is_final=True, passed=passed)

    def scores(self, shape: Shape, profile: Profile) -> Ints | None:
        """Return VolumeBinding's weighted scores (StorageCapacityScoring)."""
        weight = profile.weights.get(BINDING, 0)
        if not weight or not uses_of(shape) or any(self._refusals(uses_of(shape), shape)):
            return None
        claims = self._sort(uses_of(shape))
        if not claims.wanted:
            return None
        scores = self._matching(shape, claims, profile).scores()
        return weight * scores if scores.any() else None

    def occupancy(self, shape: Shape, profile: Profile) -> Occupancy | None:
        """Return what VolumeRestrictions and NodeVolumeLimits look at."""
        return VolumeOccupancy(self.attached, shape, profile)

    def reserve(self, uid: str, shape: Shape, slot: int) -> None:
        """Keep the volumes that a pod gets on its node, and say where others are to be made."""
        claims = self._sort(uses_of(shape))
        node = self._columns.names[slot]
        if not claims.wanted:
            return
        choice = self._match(claims.wanted, ()).choice_for(slot)
        for claim, volume in choice.found:
            if not volume.claim:
                self.book.take_volume(volume.name, claim)
        for claim in choice.provisioned:
            self.book.mean(claim, node)
        self._reserved[uid] = Reserved(node, choice)

    def reserved(self, uid: str) -> Reserved | None:
        """Return what is kept for a pod."""
        return self._reserved.get(uid)

    def release(self, uid: str) -> None:
        """Give back what was kept for a pod."""
        reserved = self._reserved.pop(uid, None)
        if reserved is None:
            return
        for claim, volume in reserved.choice.found:
            self.book.give_back(volume.name, claim.key)
        for claim in reserved.choice.provisioned:
            self.book.unmean(claim.key)

    def settle(self, uid: str) -> None:
        """Forget what was kept for a pod: volumes stay taken until the API tells whose they are."""
        reserved = self._reserved.pop(uid, None)
        if reserved is not None:
            for claim in reserved.choice.provisioned:
                self.book.unmean(claim.key)

    def _refusals(self, uses: tuple[Use, ...], shape: Shape) -> Iterator[tuple[str, str]]:
        """Yield who refuses the pod whatever the node, in upstream's order, and why."""
        claims = self.book.claims
        for use in uses:
            if not use.is_made and use.key not in claims:
                yield RESTRICTIONS, f'persistentvolumeclaim "{use.name}" not found'
        for use in uses:
            if why := self._wrong_with(use, shape):
                yield BINDING, why
                return
        if self._sort(uses).is_waiting:
            yield BINDING, UNBOUND
        for use in uses:
            if not use.is_made and (why := self._no_zone(use)):
                yield ZONE, why

    def _wrong_with(self, use: Use, shape: Shape) -> str:
        claim = self.book.claims.get(use.key)
        if claim is None:
            if not use.is_made:
                return f'persistentvolumeclaim "{use.name}" not found'
            text = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
            return f'{text} "{use.name}"'
        if claim.is_lost:
            return (
                f'persistentvolumeclaim "{use.name}" bound to non-existent persistentvolume '
                f'"{claim.volume}"'
            )
        if claim.is_going:
            return f'persistentvolumeclaim "{use.name}" is being deleted'
        if use.is_made and claim.owner != shape.pod_uid:
            mine = f"{shape.namespace}/{shape.pod_name}"
            return f"PVC {use.key} was not created for pod {mine} (pod is not owner)"
        return ""

    def _no_zone(self, use: Use) -> str:
        claim = self.book.claims.get(use.key)
        if claim is None:
            return f'persistentvolumeclaim "{use.name}" not found'
        if claim.volume:
            known = claim.volume in self.book.volumes
            return "" if known else f'persistentvolume "{claim.volume}" not found'
        if not claim.class_name:
            return "PersistentVolumeClaim had no pv name and storageClass name"
        storage_class = self.book.classes.get(claim.class_name)
        if storage_class is None:
            return f'storageclass.storage.k8s.io "{claim.class_name}" not found'
        return "" if storage_class.is_delayed else "PersistentVolume had no name"

    def _sort(self, uses: tuple[Use, ...]) -> _Sorted:
        found = _Sorted()
        for key in dict.fromkeys(use.key for use in uses):
            claim = self.book.claims.get(key)
            if claim is None:
                continue
            storage_class = self.book.classes.get(claim.class_name)
            if claim.is_bound:
                found.bound.append(claim)
            elif storage_class is not None and storage_class.is_delayed and not claim.volume:
                found.wanted.append(claim)
            else:
                found.is_waiting = True
        return found

    def _binding(
        self, claims: _Sorted, volumes: list[Volume], profile: Profile, shape: Shape
    ) -> Iterator[Check]:
        columns, count = self._columns, self._columns.count
        limited = [volume for volume in volumes if volume.terms is not None]
        if limited:
            passed = np.ones(count, np.bool_)
            for volume in limited:
                passed &= reach_mask(columns, volume)
            yield Check(BINDING, CONFLICT, is_final=True, passed=passed)
        if claims.wanted:
            bindable, space = self._matching(shape, claims, profile).masks()
            meant = self._meant(claims)
            yield Check(BINDING, NOTHING_TO_BIND, is_final=True, passed=bindable & meant)
            yield Check(BINDING, NO_SPACE, is_final=True, passed=space | ~meant)
        if len(volumes) < len(claims.bound):
            none = np.zeros(count, np.bool_)
            yield Check(BINDING, NO_VOLUME, is_final=True, passed=none)

    def _matching(self, shape: Shape, claims: _Sorted, profile: Profile) -> Matching:
        """Return what was decided for a shape, kept for the scores that are asked for next."""
        key = (shape.number, self.version(shape), self._columns.version)
        if self._asked is None or self._asked[:3] != key:
            found = self._match(claims.wanted, profile.volume_points)
            found.decide()
            self._asked = (*key, found)
        return self._asked[3]

    def _match(self, claims: list[Claim], points: tuple[tuple[int, int], ...]) -> Matching:
        wanted = [
            Wanted(claim, shelf_for(self.book, claim), self.book.classes.get(claim.class_name))
            for claim in claims
        ]
        return Matching(self.book, self._columns, wanted, points)

    def _meant(self, claims: _Sorted) -> Bools:
        """Return the nodes where volumes are to be made that were asked for already."""
        found = np.ones(self._columns.count, np.bool_)
        for one in claims.wanted:
            node = self.book.node_of(one)
            if node:
                only = np.zeros(len(found), np.bool_)
                slot = self._columns.slot_of.get(node)
                if slot is not None:
                    only[slot] = True
                found &= only
        return found

"""What other pods leave of volumes to a pod: VolumeRestrictions and NodeVolumeLimits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import LIMITS, RESTRICTIONS, Profile
from controllers.scheduler.shapes import Shape
from controllers.scheduler.volumes.attached import DISKS, Attached, disks_clash
from controllers.scheduler.volumes.uses import uses_of

NO_DISK: Final = "node(s) had no available disk"
IN_USE: Final = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)
TOO_MANY: Final = "node(s) exceed max volume count"


class VolumeOccupancy:
    """See the module's head.

    Args of the constructor:
        attached: what there is.
        shape, profile: of the pods.
    """

    def __init__(self, attached: Attached, shape: Shape, profile: Profile) -> None:
        self._attached = attached
        self._columns = attached.columns
        self._restricts = RESTRICTIONS in profile.filters
        self._limits = LIMITS in profile.filters
        self._disks = tuple(one for one in shape.volumes if any(one.get(kind) for kind in DISKS))
        self._alone = tuple(
            use.key for use in uses_of(shape) if not use.is_made and not attached.is_shared(use.key)
        )
        self._by_driver: dict[str, list[str]] = {}
        for driver, handle in attached.handles_of(shape):
            self._by_driver.setdefault(driver, []).append(handle)

    def checks(self) -> Iterator[Check]:
        """Yield what the two filters say."""
        count = self._columns.count
        if self._restricts:
            if self._disks:
                passed = np.ones(count, np.bool_)
                for slot in self._attached.disks:
                    if slot < count:
                        passed[slot] = not self._clashes(slot, ())
                yield Check(RESTRICTIONS, NO_DISK, is_final=False, passed=passed)
            if self._alone and self._is_used(()):
                none = np.zeros(count, np.bool_)
                yield Check(RESTRICTIONS, IN_USE, is_final=False, passed=none)
        if self._limits and self._by_driver:
            yield from self._missing_drivers()
            yield Check(LIMITS, TOO_MANY, is_final=False, passed=self._with_room())

    def passes(self, slot: int, without: Collection[str] = ()) -> bool:
        """Tell whether a node will do, if some pods were not there."""
        if self._restricts:
            if self._alone and self._is_used(without):
                return False
            if self._disks and self._clashes(slot, without):
                return False
        if not self._limits:
            return True
        limits = self._attached.limits.get(self._columns.names[slot])
        has_drivers = all(self._has_driver(driver, limits) for driver in self._by_driver)
        return has_drivers and self._fits_all(slot, without)

    def _is_used(self, without: Collection[str]) -> bool:
        return any(
            uid not in without
            for claim in self._alone
            for uid in self._attached.users.get(claim, ())
        )

    def _clashes(self, slot: int, without: Collection[str]) -> bool:
        there = self._attached.disks.get(slot, {})
        return any(
            uid not in without and disks_clash(self._disks, disks) for uid, disks in there.items()
        )

    def _has_driver(self, driver: str, limits: dict[str, int] | None) -> bool:
        if driver not in self._attached.book.needed_drivers:
            return True
        return limits is not None and driver in limits

    def _missing_drivers(self) -> Iterator[Check]:
        """Yield where drivers are missing that say that no pod may come before them."""
        for driver in self._by_driver:
            if driver not in self._attached.book.needed_drivers:
                continue
            passed = np.zeros(self._columns.count, np.bool_)
            for name, limits in self._attached.limits.items():
                slot = self._columns.slot_of.get(name)
                if slot is not None and driver in limits:
                    passed[slot] = True
            text = f"{driver} CSI driver is not installed on the node"
            yield Check(LIMITS, text, is_final=False, passed=passed)

    def _fits_all(self, slot: int, without: Collection[str]) -> bool:
        attached = self._attached
        for driver, handles in self._by_driver.items():
            most = int(attached.most_of(driver)[slot])
            if most < 0:
                continue
            more = sum(not attached.has(slot, (driver, handle), without) for handle in handles)
            if more and attached.count(slot, driver, without) + more > most:
                return False
        return True

    def _with_room(self) -> Bools:
        attached, count = self._attached, self._columns.count
        passed = np.ones(count, np.bool_)
        for driver, handles in self._by_driver.items():
            most = attached.most_of(driver)
            passed &= (most < 0) | (attached.used_by(driver)[:count] + len(handles) <= most)
            # Where one of them is already, it takes no more room.
            for handle in handles:
                for slot in attached.where.get((driver, handle), ()):
                    if slot < count:
                        passed[slot] = self._fits_all(slot, ())
        return passed

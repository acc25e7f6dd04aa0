"""What pods' volumes take of nodes: attachments by driver, disks, and claims for one pod only.

Kept up to date by pods that come and go (`take_pod`), so that a decision looks up and does not
count. What a claim stands for can change while its pod is there: when it is bound, its pods'
entries are made anew (`review`).

Invariants:
    - `where[driver, handle]` counts, by slot, the entries of pods and attachments.
    - `used[driver][slot]` is how many handles of a driver are there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from controllers.scheduler.columns import Ints, NodeColumns
from controllers.scheduler.shapes import Shape
from controllers.scheduler.state import Placed
from controllers.scheduler.volumes.book import Book
from controllers.scheduler.volumes.briefs import READ_WRITE_ONCE_POD, attached_by
from controllers.scheduler.volumes.uses import uses_of
from controllers.volumes import facts
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

Handle = tuple[str, str]
DISKS: Final = ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd")
NODES_MARK: Final = "nodes"
USERS_MARK: Final = "users:"
_NOT_MADE: Final = "not-made-yet"


@dataclass(slots=True)
class _Entry:
    slot: int
    handles: tuple[Handle, ...]
    claims: tuple[str, ...]
    shape: Shape | None = None


class _Attachment(NamedTuple):
    node: str
    volume: str
    attacher: str


@dataclass(slots=True)
class Attached:
    """See the module's head.

    Attributes:
        limits: by node's name, driver and how many it attaches; drivers without a limit have -1.
        disks: by slot and uid, volumes of pods that must not be in two places.
        users: by claim, the uids of pods that have it.
    """

    book: Book
    columns: NodeColumns
    limits: dict[str, dict[str, int]] = field(default_factory=dict)
    where: dict[Handle, dict[int, int]] = field(default_factory=dict)
    used: dict[str, Ints] = field(default_factory=dict)
    disks: dict[int, dict[str, tuple[JsonObject, ...]]] = field(default_factory=dict)
    users: dict[str, dict[str, int]] = field(default_factory=dict)
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _attachments: dict[str, _Attachment] = field(default_factory=dict)
    _at: dict[str, set[str]] = field(default_factory=dict)
    _most: dict[str, Ints] = field(default_factory=dict)
    _most_at: tuple[int, int] = (-1, -1)

    def take_pod(self, pod: Placed, sign: int) -> None:
        """Take note of a pod that came to its node (1), or is not there any more (-1)."""
        if pod.shape.volumes:
            (self._came if sign > 0 else self._went)(pod)

    def _came(self, pod: Placed) -> None:
        shape = pod.shape
        claims = tuple(dict.fromkeys(use.key for use in uses_of(shape)))
        self._put(pod.uid, _Entry(pod.slot, self.handles_of(shape), claims, shape))
        disks = tuple(one for one in shape.volumes if any(one.get(kind) for kind in DISKS))
        if disks:
            self.disks.setdefault(pod.slot, {})[pod.uid] = disks
        for claim in claims:
            self.users.setdefault(claim, {})[pod.uid] = pod.slot
            self.book.touch(USERS_MARK + claim)

    def _went(self, pod: Placed) -> None:
        entry = self._take(pod.uid)
        there = self.disks.get(pod.slot)
        if there is not None and there.pop(pod.uid, None) is not None and not there:
            del self.disks[pod.slot]
        for claim in entry.claims:
            users = self.users[claim]
            del users[pod.uid]
            if not users:
                del self.users[claim]
            self.book.touch(USERS_MARK + claim)

    def review(self, claim: str) -> None:
        """Take note that a claim, or its volume, is another now."""
        for uid in tuple(self.users.get(claim, ())):
            entry = self._entries[uid]
            assert entry.shape is not None
            handles = self.handles_of(entry.shape)
            if handles != entry.handles:
                self._take(uid)
                entry.handles = handles
                self._put(uid, entry)

    def take_attachments(self, deltas: Sequence[Delta]) -> None:
        """Take changes of VolumeAttachments: what is attached, but no pod's, counts too."""
        for delta in deltas:
            spec = delta.object.get("spec") or {}
            name = (spec.get("source") or {}).get("persistentVolumeName")
            before = self._attachments.pop(delta.key, None)
            if before is not None:
                for place in (before.node, before.volume):
                    self._at[place].discard(delta.key)
            if delta.change is not Change.DELETED and name and spec.get("attacher"):
                node = f"node/{spec.get('nodeName', '')}"
                made = _Attachment(node, f"volume/{name}", spec["attacher"])
                self._attachments[delta.key] = made
                for place in (made.node, made.volume):
                    self._at.setdefault(place, set()).add(delta.key)
            self._review_attachment(delta.key)

    def review_attachments(self, deltas: Sequence[Delta], kind: str) -> None:
        """Take note that nodes ("node") or volumes ("volume") came or went."""
        for delta in deltas:
            if delta.change is not Change.MODIFIED or kind == "volume":
                for key in tuple(self._at.get(f"{kind}/{delta.key}", ())):
                    self._review_attachment(key)

    def _review_attachment(self, key: str) -> None:
        uid = f"attachment {key}"
        if uid in self._entries:
            self._take(uid)
        self.book.touch(NODES_MARK)
        attachment = self._attachments.get(key)
        if attachment is None:
            return
        slot = self.columns.slot_of.get(attachment.node.partition("/")[2])
        volume = self.book.volumes.get(attachment.volume.partition("/")[2])
        if slot is not None and volume is not None and volume.attached is not None:
            self._put(uid, _Entry(slot, ((attachment.attacher, volume.attached[1]),), ()))

    def take_nodes(self, deltas: Sequence[Delta]) -> None:
        """Take changes of CSINodes."""
        for delta in deltas:
            if delta.change is Change.DELETED:
                self.limits.pop(delta.key, None)
            else:
                limits = {
                    driver["name"]: int((driver.get("allocatable") or {}).get("count", -1))
                    for driver in (delta.object.get("spec") or {}).get("drivers") or ()
                }
                if self.limits.get(delta.key) == limits:
                    continue
                self.limits[delta.key] = limits
            self.book.touch(NODES_MARK)

    def handles_of(self, shape: Shape) -> tuple[Handle, ...]:
        """Return what a node attaches for a pod of a shape, each once."""
        found: dict[Handle, None] = {}
        for use in uses_of(shape):
            handle = self._handle(use.key)
            if handle is not None:
                found[handle] = None
        for volume in shape.volumes:
            if "persistentVolumeClaim" not in volume and "ephemeral" not in volume:
                inline = attached_by(volume)
                if inline is not None:
                    found[inline] = None
        return tuple(found)

    def _handle(self, key: str) -> Handle | None:
        claim = self.book.claims.get(key)
        if claim is None:
            return None
        volume = self.book.volumes.get(claim.volume) if claim.volume else None
        if volume is not None:
            return volume.attached
        storage_class = self.book.classes.get(claim.class_name)
        if storage_class is None or not storage_class.provisioner:
            return None
        driver = facts.MIGRATED.get(storage_class.provisioner, storage_class.provisioner)
        return driver, f"{_NOT_MADE} {key}"

    def used_by(self, driver: str) -> Ints:
        """Return how many volumes of a driver each node has, by slot."""
        column = self.used.get(driver)
        room = len(self.columns.pods)
        if column is None or len(column) < room:
            grown = np.zeros(room, np.int64)
            if column is not None:
                grown[: len(column)] = column
            column = self.used[driver] = grown
        return column

    def most_of(self, driver: str) -> Ints:
        """Return how many volumes of a driver each node may have, by slot; -1: any number."""
        at = (self.columns.version, self.book.stamp((NODES_MARK,)))
        if at != self._most_at:
            self._most_at = at
            self._most = {}
        column = self._most.get(driver)
        if column is None:
            column = np.full(self.columns.count, -1, np.int64)
            for name, limits in self.limits.items():
                slot = self.columns.slot_of.get(name)
                if slot is not None:
                    column[slot] = limits.get(driver, -1)
            self._most[driver] = column
        return column

    def count(self, slot: int, driver: str, without: Collection[str] = ()) -> int:
        """Return how many volumes of a driver a node has, if some pods were not there."""
        found = int(self.used_by(driver)[slot])
        return found - len(self._only(slot, driver, without)) if without else found

    def has(self, slot: int, handle: Handle, without: Collection[str] = ()) -> bool:
        """Tell whether a node has a volume, if some pods were not there."""
        if slot not in self.where.get(handle, ()):
            return False
        return not without or handle not in self._only(slot, handle[0], without)

    def _only(self, slot: int, driver: str, uids: Collection[str]) -> set[Handle]:
        """Return the handles that a node has for some pods alone."""
        theirs: dict[Handle, int] = {}
        for uid in uids:
            entry = self._entries.get(uid)
            if entry is not None and entry.slot == slot:
                for handle in entry.handles:
                    if handle[0] == driver:
                        theirs[handle] = theirs.get(handle, 0) + 1
        return {handle for handle, number in theirs.items() if self.where[handle][slot] == number}

    def is_shared(self, claim: str) -> bool:
        """Tell whether more than one pod may have a claim."""
        found = self.book.claims.get(claim)
        return found is None or READ_WRITE_ONCE_POD not in found.modes

    def _put(self, uid: str, entry: _Entry) -> None:
        self._entries[uid] = entry
        for handle in entry.handles:
            slots = self.where.setdefault(handle, {})
            if entry.slot not in slots:
                self.used_by(handle[0])[entry.slot] += 1
            slots[entry.slot] = slots.get(entry.slot, 0) + 1

    def _take(self, uid: str) -> _Entry:
        entry = self._entries.pop(uid)
        for handle in entry.handles:
            slots = self.where[handle]
            slots[entry.slot] -= 1
            if not slots[entry.slot]:
                self.used_by(handle[0])[entry.slot] -= 1
                del slots[entry.slot]
                if not slots:
                    del self.where[handle]
        return entry

    def check(self) -> None:
        """Assert the invariants; for tests."""
        counted: dict[Handle, dict[int, int]] = {}
        used: dict[str, dict[int, int]] = {}
        for entry in self._entries.values():
            for handle in entry.handles:
                slots = counted.setdefault(handle, {})
                slots[entry.slot] = slots.get(entry.slot, 0) + 1
        for (driver, _), slots in counted.items():
            for slot in slots:
                used.setdefault(driver, {})[slot] = used.get(driver, {}).get(slot, 0) + 1
        assert self.where == counted
        for driver, column in self.used.items():
            has = {slot: int(number) for slot, number in enumerate(column) if number}
            assert has == used.get(driver, {}), driver


def disks_clash(mine: Iterable[JsonObject], theirs: Iterable[JsonObject]) -> bool:
    """Tell whether pods with some volumes cannot be on one node (isVolumeConflict)."""
    others = tuple(theirs)
    return any(_disk_clashes(one, other) for one in mine for other in others)


def _disk_clashes(one: JsonObject, other: JsonObject) -> bool:
    for kind in DISKS:
        mine, theirs = one.get(kind), other.get(kind)
        if mine is None or theirs is None:
            continue
        is_read = bool(mine.get("readOnly")) and bool(theirs.get("readOnly"))
        if kind == "awsElasticBlockStore":
            clashes = mine.get("volumeID") == theirs.get("volumeID")
        elif kind == "gcePersistentDisk":
            clashes = mine.get("pdName") == theirs.get("pdName") and not is_read
        elif kind == "iscsi":
            clashes = mine.get("iqn") == theirs.get("iqn") and not is_read
        else:
            monitors = set(mine.get("monitors") or ()) & set(theirs.get("monitors") or ())
            same = (mine.get("pool") or "rbd", mine.get("image")) == (
                theirs.get("pool") or "rbd",
                theirs.get("image"),
            )
            clashes = bool(monitors) and same and not is_read
        if clashes:
            return True
    return False

"""Volumes that nobody has, in order, so that the smallest that fits is found without a search.

    shelf (class, mode, attributes class)  ->  access modes  ->  [(bytes, name), ...]  sorted

Of the sets of access modes that have all that are wanted the smallest comes first (persistentvolume
/index.go). A volume that is meant for a claim lies apart, under that claim. Invariants:
    - A volume lies in one place at most; one that is going lies nowhere.
    - A volume that is reserved is not found by others: whoever binds is not done yet.
The store is as new as what was put last: the watch's word, or the server's answer to a write, which
comes before it; an older word than what is there counts for nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from controllers.volumes import facts
from kube.json_types import JsonObject

Admits = Callable[[JsonObject], bool]
Selects = Callable[[Mapping[str, str]], bool]
_Shelf = tuple[str, str, str]


class VolumeBrief(NamedTuple):
    """What is kept of a volume.

    Attributes:
        place: class, mode and attributes class.
        modes: access modes.
        size: bytes.
        claim: whom it is meant for, "namespace/name"; empty: for nobody.
        labels: kept, as many volumes may have to be looked at for one selector.
        revision: of the object.
        is_free: whether it may be given to whoever asks.
    """

    name: str
    place: _Shelf
    modes: frozenset[str]
    size: int
    claim: str
    labels: tuple[tuple[str, str], ...]
    revision: int
    is_free: bool


def _brief(volume: JsonObject) -> VolumeBrief:
    metadata = volume["metadata"]
    claim = facts.claim_key_of(volume)
    is_going = "deletionTimestamp" in metadata
    is_available = (volume.get("status") or {}).get("phase") == "Available"
    return VolumeBrief(
        name=metadata["name"],
        place=_place(volume),
        modes=facts.access_modes(volume),
        size=facts.capacity_bytes(volume),
        claim="" if is_going else claim,
        labels=tuple((metadata.get("labels") or {}).items()),
        revision=int(metadata.get("resourceVersion") or 0),
        is_free=is_available and not claim and not is_going,
    )


def _place(obj: JsonObject) -> _Shelf:
    return facts.class_of(obj), facts.mode_of(obj), facts.attributes_class_of(obj)


class Shelves:
    """See the module's head.

    Args of the constructor:
        read: returns a volume by its name.
    """

    def __init__(self, read: Callable[[str], JsonObject | None]) -> None:
        self._read = read
        self._briefs: dict[str, VolumeBrief] = {}
        self._free: dict[_Shelf, dict[frozenset[str], list[tuple[int, str]]]] = {}
        self._meant: dict[str, set[str]] = {}
        self._reserved: dict[str, str] = {}
        self._on_free: Callable[[str], None] | None = None

    def on_free(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with a class of which a volume may have become free."""
        self._on_free = tell

    def put(self, volume: JsonObject) -> None:
        """Take note of a volume."""
        new = _brief(volume)
        old = self._briefs.get(new.name)
        if old is not None and new.revision < old.revision:
            return
        if old is not None:
            self._take_out(old)
        self._briefs[new.name] = new
        if new.claim:
            self._meant.setdefault(new.claim, set()).add(new.name)
        if new.is_free:
            lists = self._free.setdefault(new.place, {})
            bisect.insort(lists.setdefault(new.modes, []), (new.size, new.name))
            # Labels may have changed too, so any other revision of a free volume is news.
            if self._on_free is not None and (old is None or old.revision != new.revision):
                self._on_free(new.place[0])

    def drop(self, name: str) -> None:
        """Take note that a volume is gone."""
        old = self._briefs.pop(name, None)
        self._reserved.pop(name, None)
        if old is not None:
            self._take_out(old)

    def _take_out(self, brief: VolumeBrief) -> None:
        if brief.claim and (meant := self._meant.get(brief.claim)) is not None:
            meant.discard(brief.name)
            if not meant:
                del self._meant[brief.claim]
        if not brief.is_free:
            return
        lists = self._free[brief.place]
        found = lists[brief.modes]
        del found[bisect.bisect_left(found, (brief.size, brief.name))]
        if not found:
            del lists[brief.modes]
            if not lists:
                del self._free[brief.place]

    def meant(self, claim: str) -> tuple[str, ...]:
        """Return the volumes that are meant for a claim, "namespace/name"."""
        return tuple(self._meant.get(claim, ()))

    def reserve(self, name: str, claim: str) -> bool:
        """Keep a volume for a claim until `release`; return whether no other claim has it."""
        return self._reserved.setdefault(name, claim) == claim

    def release(self, name: str) -> None:
        """Let a volume be found again, if it is free."""
        self._reserved.pop(name, None)

    def find(
        self,
        claim: JsonObject,
        selects: Selects | None = None,
        *,
        is_delayed: bool = False,
        admits: Admits = lambda _volume: True,
    ) -> JsonObject | None:
        """Return the volume that a claim gets, None if none fits (FindMatchingVolume).

        Args:
            claim: it.
            selects: its selector, as a function of labels; None: it has none.
            is_delayed: whether only a volume that is meant for it already will do.
            admits: what else decides, such as a node that must reach the volume.
        """
        metadata = claim["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        wanted, size = facts.access_modes(claim), facts.requested_bytes(claim)
        place = _place(claim)
        meant = [self._briefs[name] for name in sorted(self._meant.get(key, ()))]
        fitting = [one for one in meant if self._is_meant_for(one, claim, wanted, size)]
        free = {} if is_delayed else self._free.get(place, {})
        sets = {modes for modes in free if wanted <= modes} | {one.modes for one in fitting}
        for modes in sorted(sets, key=lambda one: (len(one), sorted(one))):
            for brief in fitting:
                if brief.modes == modes:
                    volume = self._read(brief.name)
                    return volume if volume is not None and admits(volume) else None
            for brief in self._larger(free.get(modes, ()), size, key):
                if selects is not None and not selects(dict(brief.labels)):
                    continue
                volume = self._read(brief.name)
                if volume is not None and admits(volume):
                    return volume
        return None

    def _is_meant_for(
        self, brief: VolumeBrief, claim: JsonObject, wanted: frozenset[str], size: int
    ) -> bool:
        if brief.place[1] != facts.mode_of(claim) or brief.size < size or not wanted <= brief.modes:
            return False
        volume = self._read(brief.name)
        return volume is not None and facts.is_for(volume, claim)

    def _larger(
        self, ordered: list[tuple[int, str]] | tuple[()], size: int, claim: str
    ) -> Iterator[VolumeBrief]:
        for at in range(bisect.bisect_left(ordered, (size, "")), len(ordered)):
            name = ordered[at][1]
            if self._reserved.get(name, claim) != claim:
                continue
            yield self._briefs[name]

    def check(self) -> None:
        """Assert the invariants; for tests."""
        listed = [
            (place, modes, one)
            for place, lists in self._free.items()
            for modes, ordered in lists.items()
            for one in ordered
        ]
        wanted = [
            (one.place, one.modes, (one.size, one.name))
            for one in self._briefs.values()
            if one.is_free
        ]
        assert len(listed) == len(wanted), (listed, wanted)
        assert set(listed) == set(wanted), (listed, wanted)
        for lists in self._free.values():
            for ordered in lists.values():
                assert ordered == sorted(ordered), ordered

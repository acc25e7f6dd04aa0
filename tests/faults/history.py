"""What clients and watchers of a campaign note, and the log's own history of the same objects.

Pure data. Every write has a mark of its own, which is its object's value; the mark's last letter
is the object's label `tier`, so that whether a selector fits follows from the mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.integration.kill_model import Change, Key
from tests.integration.linearizability import Request

TIERS: Final = ("a", "b")
PARTITIONS: Final = {
    "configmaps": "default",
    "leases": "leases",
    "pods": "pods",
    "services": "default",
}
"""Revisions of types in one partition come from one counter."""


def selects(tier: str, mark: str) -> bool:
    """Return whether an object with a mark is in a selection: of a tier, or "" for all."""
    return not tier or mark.endswith(tier)


class Write(NamedTuple):
    """A write and what its acknowledgement told.

    Attributes:
        revision: the resourceVersion that was told, 0 for none.
        uid: of a delete that was acknowledged: of what; else "".
    """

    request: Request
    revision: int = 0
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list, as its client saw it.

    Attributes:
        tier: the selection.
        consistent: whether it must show all that was acknowledged before it was called.
        revision: the list's own resourceVersion.
        items: revision and mark by key.
    """

    resource: str
    tier: str
    consistent: bool
    revision: int
    items: dict[Key, tuple[int, str]]
    called_s: float
    answered_s: float = math.inf


@dataclass(slots=True)
class Stream:
    """One watch request's events, in the order they came.

    Attributes:
        start: the resourceVersion it was asked to begin after.
        events: with bookmarks among them, whose kind is BOOKMARK and whose mark is "".
        watcher: whose; its streams go on from each other.
    """

    resource: str
    tier: str
    start: int
    watcher: str = ""
    events: list[Change] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Up to where the watcher knows everything."""
        return self.events[-1].revision if self.events else self.start


@dataclass(slots=True)
class Observed:
    """All that clients and watchers of a round have seen.

    Attributes:
        requests: to single objects.
        writes: those among them that are writes.
        shown: by type: mark and revision of each object that was shown by anything but a watch.
        faults: what was wrong at first sight.
    """

    requests: list[Request] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    shown: dict[tuple[Key, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def of_partition(resources: Sequence[str]) -> dict[str, list[str]]:
    """Return types by partition."""
    found: dict[str, list[str]] = {}
    for resource in resources:
        found.setdefault(PARTITIONS[resource], []).append(resource)
    return found

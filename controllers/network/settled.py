"""Slices that need not be looked at: nothing they were made of has changed since they were right.

A sync of a Service with ten thousand pods would decode and compare a hundred slices, though one pod
changed. So of each slice that a sync found right it is kept what it was right for: its bytes, and
the briefs of its pods, all of which the store and the book have anyway. While they are the same
objects, and the Service and its pods' nodes are as they were, the slice is as it should be.
What is written is looked at once more, by the next sync, when the watch has told of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controllers.workloads.pods import PodBrief

PortsKey = tuple[tuple[str, int, str, str], ...]
"""A set of ports, in an order of its own."""
PODS_MIN: Final = 200
"""Services of fewer pods are looked at whole: that costs next to nothing, and needs no memory."""


class Settled(NamedTuple):
    """A slice that was right.

    Attributes:
        raw: its JSON, the very object that the store had.
        uid, generation: its own.
        ports: of it.
        family: of its addresses.
        pods: the briefs of its endpoints, in order.
    """

    raw: bytes
    uid: str
    generation: int
    ports: PortsKey
    family: str
    pods: tuple[PodBrief, ...]


@dataclass(slots=True)
class Basis:
    """What slices of a Service were right for, besides their pods.

    Attributes:
        service: its JSON, the very object that the store had.
        zones: which state of nodes' zones.
        pieces: by name.
    """

    service: bytes
    zones: int
    pieces: dict[str, Settled] = field(default_factory=dict)


class Memory:
    """By Service, "namespace/name"; see the module's head."""

    def __init__(self) -> None:
        self._known: dict[str, Basis] = {}

    def basis(self, key: str, service: bytes, zones: int) -> Basis:
        """Return what is known of a Service's slices if that is still good, else nothing."""
        known = self._known.get(key)
        if known is not None and known.service is service and known.zones == zones:
            return known
        self._known.pop(key, None)
        return Basis(service, zones)

    def keep(self, key: str, basis: Basis) -> None:
        """Keep what a sync found, which wrote all it had to."""
        if sum(len(piece.pods) for piece in basis.pieces.values()) >= PODS_MIN:
            self._known[key] = basis
        else:
            self._known.pop(key, None)

    def forget(self, key: str) -> None:
        """Forget a Service."""
        self._known.pop(key, None)


def are_alive(piece: Settled, alive: set[int]) -> bool:
    """Tell whether all pods of a slice are those that are there, by the ids of their briefs."""
    return all(id(pod) in alive for pod in piece.pods)


def ids_of(pods: Iterable[PodBrief]) -> set[int]:
    """Return the ids of briefs, which must be held elsewhere for as long as they are used."""
    return {id(pod) for pod in pods}

"""What decides beside the columns: volumes, device claims, plugins of others.

An extension is asked once for a kind of pods, for all nodes at once, and again when its `version`
for that kind has changed. What depends on the pods that are there (`Occupancy`) is asked again for
each node where pods came or went. When a pod gets its node the extension is told before the next
pod is decided, and may keep what the pod will have (`reserve`) until it is bound or taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from controllers.scheduler.columns import Bools, Ints
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import Shape


class Occupancy(Protocol):
    """What pods that are there leave to one kind of pods."""

    def checks(self) -> Iterable[Check]:
        """Yield what is said of all nodes."""
        ...

    def passes(self, slot: int, without: Collection[str] = ()) -> bool:
        """Tell whether a node will do, if some pods, by uid, were not there."""
        ...


class Extension:
    """See the module's head; this one has nothing to say.

    Attributes:
        is_early: whether its filters come before those of topology, as upstream orders them.
        plugins: what it is called in profiles.
    """

    is_early = False
    plugins: Sequence[str] = ()

    def concerns(self, shape: Shape) -> bool:
        """Tell whether it has anything to say of a kind of pods."""
        return False

    def version(self, shape: Shape) -> int:
        """Return a number that changes when `checks` or `scores` would say something else."""
        return 0

    def news(self, shape: Shape) -> int:
        """Return a number that changes when a pod is to be told anew, in any case."""
        return self.version(shape)

    def chances(self, shape: Shape) -> int:
        """Return a number that changes when a pod may get a node that got none."""
        return 0

    def checks(self, shape: Shape, profile: Profile) -> Iterable[Check]:
        """Yield what is said of nodes, whatever pods are on them."""
        return ()

    def scores(self, shape: Shape, profile: Profile) -> Ints | None:
        """Return weighted scores by slot; None: there are none."""
        return None

    def preferences(self, shape: Shape, profile: Profile) -> tuple[int, Ints] | None:
        """Return a weight and raw scores by slot, which the best node's makes 100; None: none."""
        return None

    def unblock(self, shape: Shape) -> str:
        """Do what may help a pod without a node; return what it is told of that."""
        return ""

    def occupancy(self, shape: Shape, profile: Profile) -> Occupancy | None:
        """Return what depends on the pods that are there; None: nothing does."""
        return None

    def reserve(self, uid: str, shape: Shape, slot: int) -> None:
        """Keep what a pod has on the node that it gets."""

    def release(self, uid: str) -> None:
        """Give back what was kept for a pod, if anything was: it does not get its node."""

    def settle(self, uid: str) -> None:
        """Take note that a pod is bound, or gone: the API tells what became of its things."""


def passed_by_all(checks: Iterable[Check], valid: Bools) -> Bools:
    """Return the nodes that all checks let through."""
    found = valid.copy()
    for check in checks:
        found &= check.passed
    return found

"""When each node was last heard of, by its lease or its Ready condition.

A lease is renewed every ten seconds by every node, so ten thousand a second by a hundred thousand:
what is kept of one is its renewal time and when that was seen, by this process's own clock, as
clocks of nodes go wrong. No task and no timer belongs to a node. Rules (tryUpdateNodeHealth):
    - A renewal that is later than the one before counts as of now, and so does the first seen.
    - A Ready condition that comes, goes, or has another heartbeat time counts as of now.
    - A node that never had one counts as of its creation.
One rule is ours: kubelets that renew less often, to spare the API server, say so in their leases
(leaseDurationSeconds, four intervals, 40 by default), and are given a quarter more time than that,
as the default grace period (50 s) is to the default lease: none has to be set for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from controllers.nodes.book import NodeBrief
from kube.informers.changes import Change, Told
from runtime.clock import Clock

LEASES: Final = "/apis/coordination.k8s.io/v1/leases"
_NAMESPACE: Final = "kube-node-lease"
_SLICE: Final = 1000
_GRACE_PER_HOLD: Final = 1.25


class Heartbeat:
    """What was heard of a node.

    Attributes:
        seen_s: when something new was heard, by the monotonic clock.
        renewed: its lease's renewTime; empty: no lease was seen.
        written: the heartbeat time of its Ready condition; None: it has no such condition.
        is_node: whether there is such a node; leases may come before and stay after.
        generation: in which telling of all leases its own was told.
        grace_s: how long it may be silent by what its lease says; 0: it says nothing.
    """

    __slots__ = ("generation", "grace_s", "is_node", "renewed", "seen_s", "written")

    def __init__(self, seen_s: float) -> None:
        self.seen_s = seen_s
        self.renewed = ""
        self.written: str | None = None
        self.is_node = False
        self.generation = 0
        self.grace_s = 0.0


class Heartbeats:
    """See the module's head; it is told of all leases, and takes note of those of nodes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_name: dict[str, Heartbeat] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Heartbeat | None:
        """Return what was heard of a node; None: there is no node of that name."""
        found = self._by_name.get(name)
        return found if found is not None and found.is_node else None

    def observe(self, _old: NodeBrief | None, new: NodeBrief | None, name: str) -> None:
        """Take note of a node."""
        known = self._by_name.get(name)
        if new is None:
            if known is not None:
                known.is_node, known.written = False, None
                if not known.renewed:
                    del self._by_name[name]
            return
        written = new.heartbeat if new.ready else None
        now_s = self._clock.monotonic_s()
        if known is None:
            known = self._by_name[name] = Heartbeat(now_s)
        if not known.is_node:
            known.is_node, known.written = True, written
            if written is None and not known.renewed:
                known.seen_s = now_s - max(0.0, self._clock.now_s() - new.created_s)
            else:
                known.seen_s = now_s
        elif known.written != written:
            known.written, known.seen_s = written, now_s

    def wrote(self, name: str, written: str) -> None:
        """Take note that a Ready condition was written for a node: that is no sign of life."""
        if (known := self._by_name.get(name)) is not None:
            known.written = written

    def forgive(self) -> Iterator[None]:
        """Count all nodes as heard of now, in steps."""
        now_s = self._clock.monotonic_s()
        names = list(self._by_name)
        for at in range(0, len(names), _SLICE):
            for name in names[at : at + _SLICE]:
                if (known := self._by_name.get(name)) is not None:
                    known.seen_s = now_s
            yield

    def begin(self) -> None:
        """Be told all leases; see Sink."""
        self._generation += 1

    def take(self, events: Sequence[Told]) -> None:
        """Take note of leases; see Sink."""
        now_s = self._clock.monotonic_s()
        for change, lease, _ in events:
            metadata = lease["metadata"]
            if metadata.get("namespace") != _NAMESPACE:
                continue
            name = metadata["name"]
            known = self._by_name.get(name)
            if change is Change.DELETED:
                if known is not None and not known.is_node:
                    del self._by_name[name]
                continue
            spec = lease.get("spec") or {}
            renewed = spec.get("renewTime") or ""
            if known is None:
                known = self._by_name[name] = Heartbeat(now_s)
            known.generation = self._generation
            known.grace_s = _GRACE_PER_HOLD * (spec.get("leaseDurationSeconds") or 0)
            # Times of the API with six decimals are in order as texts.
            if renewed > known.renewed:
                known.renewed, known.seen_s = renewed, now_s

    def sweep(self) -> Iterator[None]:
        """Forget leases that are gone and have no node; see Sink."""
        names = list(self._by_name)
        for at in range(0, len(names), _SLICE):
            for name in names[at : at + _SLICE]:
                known = self._by_name.get(name)
                if known and not known.is_node and known.generation != self._generation:
                    del self._by_name[name]
            yield

"""Zones: how many of their nodes are lost, and how fast lost nodes are tainted therefore.

    Normal             at the eviction rate
    PartialDisruption  at the secondary rate; not at all in a small zone
    FullDisruption     at the eviction rate; not at all if that is so of every zone, as then it is
                       rather this process that is cut off

One zone's nodes wait in a queue of its own. All of this is in memory: after a restart each node
that is lost is found and queued again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

from controllers.nodes.options import NodeOptions

_FEW: Final = 2
"""So many lost nodes never make a zone partly disrupted."""


class ZoneState(Enum):
    """What a zone's nodes say of it."""

    INITIAL = "Initial"
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(slots=True)
class ZoneCount:
    """Nodes of a zone in one pass."""

    ready: int = 0
    lost: int = 0

    def state(self, unhealthy_share: float) -> ZoneState:
        """Return what that means (ComputeZoneState)."""
        if not self.ready and self.lost:
            return ZoneState.FULL
        if self.lost > _FEW and self.lost / (self.lost + self.ready) >= unhealthy_share:
            return ZoneState.PARTIAL
        return ZoneState.NORMAL


class TaintQueue:
    """Nodes of a zone that are to be tainted, at a rate, one at a time.

    One that was tainted is not queued again before it was `remove`d. Work on the first in the
    queue that fails keeps its place for a while.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._due_s: dict[str, float] = {}
        self._known: set[str] = set()
        self._tokens = 1.0
        self._filled_s: float | None = None

    def __len__(self) -> int:
        return len(self._due_s)

    def add(self, name: str, now_s: float) -> bool:
        """Queue a node; return whether that is news."""
        if name in self._known:
            return False
        self._known.add(name)
        self._due_s[name] = now_s
        return True

    def readd(self, name: str, now_s: float) -> bool:
        """Queue a node though it was worked on: it has lost its taint since."""
        if name not in self._due_s:
            self._known.discard(name)
        return self.add(name, now_s)

    def remove(self, name: str) -> bool:
        """Take a node out, wherever it is; return whether it was anywhere."""
        self._due_s.pop(name, None)
        if name not in self._known:
            return False
        self._known.discard(name)
        return True

    def set_rate(self, rate: float, now_s: float) -> None:
        """Change the rate; whoever has to wait at the old one begins to at the new one."""
        if rate != self.rate:
            self._fill(now_s)
            self.rate = rate

    def take(self, now_s: float) -> str | None:
        """Return the next node if the rate lets it go now; it stays queued until `done`."""
        first = next(iter(self._due_s.items()), None)
        if first is None or first[1] > now_s:
            return None
        self._fill(now_s)
        if self.rate <= 0 or self._tokens < 1:
            return None
        self._tokens -= 1
        return first[0]

    def done(self, name: str) -> None:
        """Take a node out of the queue, known as tainted."""
        self._due_s.pop(name, None)

    def again(self, name: str, due_s: float) -> None:
        """Have a node worked on again later."""
        if self._due_s.pop(name, None) is not None:
            self._due_s[name] = due_s

    def _fill(self, now_s: float) -> None:
        passed_s = now_s - self._filled_s if self._filled_s is not None else 0.0
        self._tokens = min(1.0, self._tokens + passed_s * max(0.0, self.rate))
        self._filled_s = now_s


@dataclass(slots=True)
class Verdict:
    """What a pass's counts change.

    Attributes:
        halts: all zones are lost now: no node is to keep its NoExecute taints.
        resumes: all were lost, and are not any more: nodes get their time anew.
        changed: the zones that have another state.
    """

    halts: bool = False
    resumes: bool = False
    changed: dict[str, ZoneState] = field(default_factory=dict)


class Zones:
    """See the module's head."""

    def __init__(self, options: NodeOptions) -> None:
        self._options = options
        self._states: dict[str, ZoneState] = {}
        self.queues: dict[str, TaintQueue] = {}

    @property
    def states(self) -> dict[str, ZoneState]:
        """The zones' states, as of the last pass."""
        return self._states

    def queue(self, zone: str) -> TaintQueue:
        """Return a zone's queue; it is a zone from now on."""
        found = self.queues.get(zone)
        if found is None:
            found = self.queues[zone] = TaintQueue(self._options.eviction_rate)
            self._states[zone] = ZoneState.INITIAL
        return found

    def judge(self, counts: dict[str, ZoneCount], now_s: float) -> Verdict:
        """Set zones' states and rates by what a pass has counted (handleDisruption)."""
        share = self._options.unhealthy_zone_share
        new = {zone: count.state(share) for zone, count in counts.items()}
        for zone in new:
            self.queue(zone)
            self._states.setdefault(zone, ZoneState.INITIAL)
        for zone in [zone for zone in self._states if zone not in counts]:
            del self._states[zone]
            # Whoever waits there has no node that counts; a node with one brings it back.
            if not len(self.queues[zone]):
                del self.queues[zone]
        verdict = Verdict()
        all_are = _all_full(new.values())
        all_were = _all_full(self._states.values())
        if all_are and all_were:
            return verdict
        if all_are:
            verdict.halts = True
            for zone in self._states:
                self.queues[zone].set_rate(0.0, now_s)
                self._states[zone] = verdict.changed[zone] = ZoneState.FULL
            return verdict
        verdict.resumes = all_were
        for zone, state in new.items():
            if self._states[zone] is state and not all_were:
                continue
            size = counts[zone].ready + counts[zone].lost
            self.queues[zone].set_rate(self._rate(state, size), now_s)
            self._states[zone] = verdict.changed[zone] = state
        return verdict

    def _rate(self, state: ZoneState, size: int) -> float:
        options = self._options
        match state:
            case ZoneState.NORMAL | ZoneState.FULL | ZoneState.INITIAL:
                return options.eviction_rate
            case ZoneState.PARTIAL:
                is_large = size > options.large_cluster_size
                return options.secondary_eviction_rate if is_large else 0.0
            case _:
                assert_never(state)


def _all_full(states: Iterable[ZoneState]) -> bool:
    return all(state is ZoneState.FULL for state in states)

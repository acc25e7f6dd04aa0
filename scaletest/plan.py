"""How large a run is: the published experiments' sizes, times a scale.

A run at scale 1 has 100,000 nodes, two DaemonSets on each and one pod of a workload on each, which
is 300,000 pods, and ten million objects. Everything else follows from the number of nodes; latency
bars do not change with the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NODES_FULL: Final = 100_000
OBJECTS_FULL: Final = 10_000_000
STORE_BYTES_MAX: Final = 20 << 30
"""As published for one database; the same at any scale, as history has a size of its own."""
DAEMON_SETS: Final = 2
SCALE_MIN: Final = 0.01
SCALE_MAX: Final = 1.0
FINE_TUNINGS: Final = 10
"""Jobs that share all nodes in the experiment of fine-tuning alone."""
TUNED_OF_TEN: Final = 7
"""Tenths of the nodes that fine-tuning has in mixed mode; inference has the others."""
GROUP_PODS: Final = 10
"""Pods of one inference replica: a leader and nine workers."""
_NODE_BYTES: Final = 130_000
"""With its three pods, in all processes: 110 to 170 kB were measured at 5,000 nodes."""
_SPARE_BYTES: Final = 1 << 30
# Nodes, Leases, pods, and an event for some of those: what a run makes without being told to.
_OBJECTS_BY_NODE: Final = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of a run.

    Attributes:
        scale: the share of the published sizes.
        nodes: launched.
        objects: aimed at when all nodes have their pods.
        store_bytes_max: of the replica; no more objects are added at that size.
        sample_s: between two samples.
        hold_s: how long a workload runs on once all of it does.
    """

    scale: float
    nodes: int
    objects: int
    store_bytes_max: int
    sample_s: float
    hold_s: float

    @property
    def pods(self) -> int:
        """Pods when a workload has all nodes: its own, and those of the DaemonSets."""
        return self.nodes * (DAEMON_SETS + 1)

    @property
    def filling(self) -> int:
        """Objects that are added at the start, so that there are `objects` at the peak."""
        return max(0, self.objects - self.nodes * _OBJECTS_BY_NODE)

    @property
    def spared_bytes(self) -> int:
        """Memory that is left to what comes after the filling: nodes and pods, in all processes."""
        return _SPARE_BYTES + self.nodes * _NODE_BYTES

    @property
    def groups(self) -> int:
        """Replicas of the inference workload in mixed mode."""
        return max(1, self.nodes * (10 - TUNED_OF_TEN) // 10 // GROUP_PODS)

    @property
    def tunings(self) -> tuple[int, ...]:
        """Pods of each Job in the experiment of fine-tuning alone."""
        return shares(self.nodes, FINE_TUNINGS)

    @property
    def mixed_tunings(self) -> tuple[int, ...]:
        """Pods of each fine-tuning Job in mixed mode: what inference leaves."""
        return shares(self.nodes - self.groups * GROUP_PODS, TUNED_OF_TEN)

    @property
    def tuning_s(self) -> float:
        """How long a fine-tuning pod runs: until all others do at 500 pods a second."""
        return max(5.0, self.nodes / 500)

    def timeout_s(self, each_s: float = 0.05) -> float:
        """Return how long a phase may take that does something for each node."""
        return 120.0 + self.nodes * each_s

    def fill_timeout_s(self) -> float:
        """Return how long adding objects may take; what is there by then has to do."""
        return 60.0 + self.filling / 1_000


def shares(whole: int, count: int) -> tuple[int, ...]:
    """Return `count` numbers, as equal as can be, whose sum is `whole`."""
    return tuple(whole * (at + 1) // count - whole * at // count for at in range(count))


def make_plan(scale: float, objects: int | None = None) -> Plan:
    """Return the plan of a scale.

    Args:
        scale: from SCALE_MIN to SCALE_MAX.
        objects: how many there are to be at the peak; None: by scale.
    """
    assert SCALE_MIN <= scale <= SCALE_MAX, scale
    return Plan(
        scale=scale,
        nodes=round(NODES_FULL * scale),
        objects=round(OBJECTS_FULL * scale) if objects is None else objects,
        store_bytes_max=STORE_BYTES_MAX,
        sample_s=min(5.0, max(1.0, 20.0 * scale)),
        hold_s=min(30.0, max(2.0, 30.0 * scale)),
    )

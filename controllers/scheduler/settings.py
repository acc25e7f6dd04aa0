"""What a profile says: which plugins run, with which weights and arguments; upstream's defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from controllers.scheduler.resources import CPU, MEMORY
from controllers.scheduler.shapes import DEFAULT_SCHEDULER

LEAST: Final = "LeastAllocated"
MOST: Final = "MostAllocated"
RATIO: Final = "RequestedToCapacityRatio"
SCORE_MAX: Final = 100

UNSCHEDULABLE: Final = "NodeUnschedulable"
NODE_NAME: Final = "NodeName"
TAINTS: Final = "TaintToleration"
NODE_AFFINITY: Final = "NodeAffinity"
PORTS: Final = "NodePorts"
FIT: Final = "NodeResourcesFit"
BALANCED: Final = "NodeResourcesBalancedAllocation"
IMAGES: Final = "ImageLocality"
SPREAD: Final = "PodTopologySpread"
POD_AFFINITY: Final = "InterPodAffinity"
RESTRICTIONS: Final = "VolumeRestrictions"
LIMITS: Final = "NodeVolumeLimits"
BINDING: Final = "VolumeBinding"
ZONE: Final = "VolumeZone"
CLAIMS: Final = "DynamicResources"
PREEMPTION: Final = "DefaultPreemption"
GANG: Final = "GangScheduling"

DEFAULT_WEIGHTS: Final = {
    TAINTS: 3,
    NODE_AFFINITY: 2,
    SPREAD: 2,
    POD_AFFINITY: 2,
    FIT: 1,
    CLAIMS: 2,
    BINDING: 1,
    BALANCED: 1,
    IMAGES: 1,
}
FILTERS: Final = (
    UNSCHEDULABLE,
    NODE_NAME,
    TAINTS,
    NODE_AFFINITY,
    PORTS,
    FIT,
    RESTRICTIONS,
    LIMITS,
    BINDING,
    ZONE,
    SPREAD,
    POD_AFFINITY,
    CLAIMS,
)
"""In the order in which the first that refuses a node is told."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How NodeResourcesFit scores.

    Attributes:
        kind: LEAST, MOST or RATIO.
        resources: names and weights.
        points: of RATIO: utilization in percent and score of 0 to 10.
    """

    kind: str = LEAST
    resources: tuple[tuple[str, int], ...] = ((CPU, 1), (MEMORY, 1))
    points: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile of a KubeSchedulerConfiguration.

    Attributes:
        weights: of score plugins; one that is missing does not score.
        filters: the plugins that filter.
        balanced: resources of BalancedAllocation.
        hard_weight: what a required affinity term of another pod is worth.
        ignores_preferred: whether preferred terms of pods that are there do not count.
        spread_defaults: "System" or "List".
        ignored_resources, ignored_groups: resources that NodeResourcesFit does not look at.
        volume_points: utilization and score (0 to 10) of VolumeBinding.
        bind_timeout_s: how long a pod waits for its volumes to be bound.
    """

    name: str = DEFAULT_SCHEDULER
    weights: dict[str, int] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    filters: frozenset[str] = frozenset(FILTERS)
    strategy: Strategy = Strategy()
    balanced: tuple[tuple[str, int], ...] = ((CPU, 1), (MEMORY, 1))
    hard_weight: int = 1
    ignores_preferred: bool = False
    spread_defaults: str = "System"
    spread_list: tuple[dict[str, object], ...] = ()
    preempts: bool = True
    ignored_resources: frozenset[str] = frozenset()
    ignored_groups: frozenset[str] = frozenset()
    volume_points: tuple[tuple[int, int], ...] = ((0, 10), (100, 0))
    bind_timeout_s: float = 600.0

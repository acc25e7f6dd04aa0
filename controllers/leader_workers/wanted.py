"""What a LeaderWorkerSet asks for, read once out of its spec."""

from __future__ import annotations

from typing import Final, NamedTuple

from controllers.leader_workers.names import SHARED, UNIQUE
from controllers.workloads.rollout_math import scaled
from kube.json_types import JsonObject

_RESTARTING: Final = ("RecreateGroupOnPodRestart", "RecreateGroupAfterStart")


class Wanted(NamedTuple):
    """See the module's head.

    Attributes:
        replicas: how many groups.
        size: how many pods in each, the leader among them.
        partition: so many groups, the first ones, stay as they are in an update.
        surge_max: so many groups more may be there in an update.
        unavailable_max: so many groups may be missing in an update.
        is_recreated: whether a group is made anew when one of its pods fails.
        waits_for_start: and only if none of them is pending.
        waits_for_leader: whether workers are made once their leader is ready.
        is_unique: whether each group has a service of its own.
    """

    replicas: int
    size: int
    partition: int
    surge_max: int
    unavailable_max: int
    is_recreated: bool
    waits_for_start: bool
    waits_for_leader: bool
    is_unique: bool


def read_spec(spec: JsonObject) -> Wanted:
    """Return what a spec asks for; what it leaves out is what upstream's defaults say."""
    template = spec["leaderWorkerTemplate"]
    rolling = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
    replicas = int(spec.get("replicas", 1))
    policy = template.get("restartPolicy", _RESTARTING[0])
    return Wanted(
        replicas=replicas,
        size=int(template.get("size", 1)),
        partition=int(rolling.get("partition", 0)),
        # No need for more of them than there are groups.
        surge_max=min(replicas, scaled(rolling.get("maxSurge", 0), replicas, up=True)),
        unavailable_max=scaled(rolling.get("maxUnavailable", 1), replicas, up=False),
        is_recreated=policy in _RESTARTING,
        waits_for_start=policy == _RESTARTING[1],
        waits_for_leader=spec.get("startupPolicy") == "LeaderReady",
        is_unique=subdomain_policy(spec) == UNIQUE,
    )


def subdomain_policy(spec: JsonObject) -> str:
    """Return whether groups share a service or have one each."""
    return str((spec.get("networkConfig") or {}).get("subdomainPolicy") or SHARED)

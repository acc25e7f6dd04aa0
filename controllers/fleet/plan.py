"""What a fleet is told: plain frozen values, and their JSON, which `ultraplane up` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

INSTANCE_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "standard-4": {"cpu": "4", "memory": "16Gi"},
    "standard-8": {"cpu": "8", "memory": "32Gi"},
    "standard-32": {"cpu": "32", "memory": "128Gi"},
    "compute-16": {"cpu": "16", "memory": "32Gi"},
    "memory-16": {"cpu": "16", "memory": "128Gi"},
    "gpu-8": {"cpu": "192", "memory": "2Ti", "nvidia.com/gpu": "8"},
    "neuron-16": {"cpu": "192", "memory": "2Ti", "aws.amazon.com/neuron": "16"},
}
LEASE_S_MIN: Final = 10.0
"""As kubelets: a quarter of the 40 s for which a Lease holds."""
LEASE_S_MAX: Final = 40.0
"""Less than the 50 s after which upstream's node lifecycle controller gives a node up."""
_LEASES_PER_S: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of node.

    Attributes:
        name: nodes are called so, with a number.
        instance_type: a key of the instance types.
        weight: its share of the fleet's nodes.
        labels: beside those of every node.
        taints: as in a Node's spec.
        zones: where they are, in turn.
    """

    name: str
    instance_type: str
    weight: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The fleet.

    Attributes:
        nodes: how many are registered at the start.
        templates: what they are.
        instance_types: capacities by name, beside the built-in ones.
        pod_cidrs: where nodes get their /24s from, one range after the other.
        lease_interval_s: between two renewals of a node's Lease; 0: by the number of nodes.
        status_interval_s: between two reports of a node on which nothing changes.
        writes_max: writes to the API server that may be under way at once.
        host, kubelet_port: where logs and the like are served; port 0: nowhere.
        storage_class: of simulated disks; empty: none is made.
        client_ca, proxy_ca: who may ask there: the API server itself, and whom it vouches for.
    """

    nodes: int = 0
    templates: tuple[Template, ...] = (Template("node", "standard-8"),)
    instance_types: dict[str, dict[str, str]] = field(default_factory=dict)
    pod_cidrs: tuple[str, ...] = ("10.128.0.0/9", "240.0.0.0/4")
    lease_interval_s: float = 0.0
    status_interval_s: float = 300.0
    writes_max: int = 32
    host: str = "127.0.0.1"
    kubelet_port: int = 0
    storage_class: str = "standard"
    client_ca: str = ""
    proxy_ca: str = ""

    def lease_s(self, nodes: int) -> float:
        """Return the interval between renewals for so many nodes."""
        if self.lease_interval_s:
            return self.lease_interval_s
        return min(LEASE_S_MAX, max(LEASE_S_MIN, nodes / _LEASES_PER_S))


def encode_plan(plan: FleetPlan) -> bytes:
    """Return a plan as JSON."""
    return orjson.dumps(dataclasses.asdict(plan), option=orjson.OPT_INDENT_2)


def read_plan(path: Path) -> FleetPlan:
    """Return the plan in a file.

    Raises:
        OSError, ValueError: there is none.
    """
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
        templates = tuple(
            Template(**{**one, "taints": tuple(one["taints"]), "zones": tuple(one["zones"])})
            for one in content.pop("templates")
        )
        cidrs = tuple(content.pop("pod_cidrs"))
        return FleetPlan(templates=templates, pod_cidrs=cidrs, **content)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} is no plan of a fleet: {error}") from error

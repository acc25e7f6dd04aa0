"""The settings of the simulated fleet."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from controllers.fleet.plan import INSTANCE_TYPES
from ultraplane.sections import Section

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
_POD_NETWORK_BITS: Final = 24


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be made of a-z, 0-9 and inner dashes")
    return text


def _class_name(text: str) -> str:
    return _name(text) if text else text


def _pod_range(text: str) -> str:
    network = ipaddress.IPv4Network(text)
    if network.prefixlen > _POD_NETWORK_BITS:
        raise ValueError("must hold a /24 at least, as each node gets one")
    return str(network)


class TemplateSection(Section):
    """A kind of node."""

    name: Annotated[str, AfterValidator(_name)] = Field(
        description="Nodes are called so, with a number."
    )
    instance_type: str = Field(default="standard-8", description="What they have.")
    weight: int = Field(default=1, ge=1, le=1000, description="Their share of the fleet.")
    labels: dict[str, str] = Field(default_factory=dict, description="More labels of theirs.")
    taints: tuple[dict[str, str], ...] = Field(
        default=(), description="Their taints: key, value, effect."
    )
    zones: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("zone-a", "zone-b", "zone-c"), description="Where they are, in turn."
    )


class FleetSection(Section):
    """Simulated nodes, on which pods live as if they ran; see docs/fleet.md."""

    nodes: int = Field(
        default=3,
        ge=0,
        le=1_000_000,
        description="How many are registered at the start; 0: there is no fleet.",
    )
    templates: tuple[TemplateSection, ...] = Field(
        default=(),
        description="What they are: name, instance_type, weight, labels, taints, zones. None: all "
        "are called node, of instance type standard-8.",
    )
    instance_types: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description='More instance types: {"tiny": {"cpu": "1", "memory": "2Gi"}}. Built in: '
        f"{', '.join(INSTANCE_TYPES)}.",
    )
    pod_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_pod_range)], ...], Field(min_length=1)
    ] = Field(
        default=("10.128.0.0/9", "240.0.0.0/4"),
        description="Each node gets a /24 for its pods, of the first range that has one left.",
    )
    lease_interval_s: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Between two renewals of a node's Lease; 0: 10 s, more from 10,000 nodes on, "
        "up to 40 s, so that no more than 2,500 a second are written for 100,000 nodes.",
    )
    status_interval_s: float = Field(
        default=300.0, ge=1, description="Between two reports of a node on which nothing changes."
    )
    writes_max: int = Field(
        default=32, ge=1, le=1024, description="Writes of pods that may be under way at once."
    )
    storage_class: Annotated[str, AfterValidator(_class_name)] = Field(
        default="standard",
        description="The StorageClass of simulated disks, which is made, and the default one "
        'unless another is; "": none is made.',
    )
    kubelet_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Where all nodes answer for logs, exec and port-forward, on loopback; 0: a "
        "free port, the one of the last time if it is.",
    )

    @model_validator(mode="after")
    def _types_are_known(self) -> Self:
        names = [one.name for one in self.templates]
        if len(set(names)) != len(names):
            raise ValueError("templates must have names of their own")
        for one in self.templates:
            if one.instance_type not in {**INSTANCE_TYPES, **self.instance_types}:
                raise ValueError(f"templates: there is no instance type {one.instance_type!r}")
        return self

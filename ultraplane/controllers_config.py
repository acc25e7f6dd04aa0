"""The settings of the controllers: of nodes, and of the addresses that their pods get."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from ultraplane.sections import Section


def _cluster_ranges(text: str) -> str:
    """Check one or two networks, of one family each."""
    networks = [ip_network(part) for part in text.split(",") if part]
    if len({one.version for one in networks}) != len(networks):
        raise ValueError(f"{text!r} has two ranges of one family")
    return ",".join(map(str, networks))


class ControllersSection(Section):
    """How the controllers act."""

    run: str = Field(
        default="*",
        description="Which run: '*' for all that are not named, 'foo' for foo, '-foo' for not foo, "
        "with commas between.",
    )
    cluster_cidr: Annotated[str, AfterValidator(_cluster_ranges)] = Field(
        default="",
        description="Where nodes get the addresses of their pods from, as upstream's "
        "--cluster-cidr; with a comma, a range of each family. Empty: others see to that, as the "
        "fleet does for its nodes.",
    )
    node_cidr_mask_size_ipv4: int = Field(
        default=24,
        ge=8,
        le=32,
        description="How long the prefix of a node's range is. The cluster's is at most 24 bits "
        "shorter: 10.0.0.0/8 holds 65,536 nodes with /24 each, and a million with /28.",
    )
    node_cidr_mask_size_ipv6: int = Field(
        default=64, ge=16, le=128, description="The same of ranges of IPv6."
    )
    node_monitor_period_s: float = Field(
        default=5.0, gt=0, le=3600, description="How often all nodes are looked at."
    )
    node_monitor_grace_period_s: float = Field(
        default=50.0,
        gt=0,
        le=86_400,
        description="A node whose kubelet says nothing for longer is unknown, and later tainted; "
        "one whose Lease holds for longer has a quarter more time than that.",
    )
    node_startup_grace_period_s: float = Field(
        default=60.0, gt=0, le=86_400, description="The same of one that was never ready."
    )
    node_eviction_rate: float = Field(
        default=0.1,
        ge=0,
        le=1000,
        description="How many lost nodes a second of a zone are given the taint that evicts pods.",
    )
    secondary_node_eviction_rate: float = Field(
        default=0.01,
        ge=0,
        le=1000,
        description="The same where a large share of a zone's nodes are lost.",
    )

    @model_validator(mode="after")
    def _ranges_have_parts(self) -> Self:
        for text in filter(None, self.cluster_cidr.split(",")):
            network = ip_network(text)
            is_v4 = network.version == 4
            prefix = self.node_cidr_mask_size_ipv4 if is_v4 else self.node_cidr_mask_size_ipv6
            if not 0 <= prefix - network.prefixlen <= 24:
                raise ValueError(
                    f"cluster_cidr {network} cannot be given out in parts of /{prefix}"
                )
        return self

    def arguments(self, service_cidr: str) -> list[str]:
        """Return what `controllers.main` is told."""
        return [
            f"--cluster-cidr={self.cluster_cidr}",
            f"--node-cidr-mask-size-ipv4={self.node_cidr_mask_size_ipv4}",
            f"--node-cidr-mask-size-ipv6={self.node_cidr_mask_size_ipv6}",
            f"--service-cluster-ip-range={service_cidr}",
            f"--node-monitor-period={self.node_monitor_period_s:f}s",
            f"--node-monitor-grace-period={self.node_monitor_grace_period_s:f}s",
            f"--node-startup-grace-period={self.node_startup_grace_period_s:f}s",
            f"--node-eviction-rate={self.node_eviction_rate:g}",
            f"--secondary-node-eviction-rate={self.secondary_node_eviction_rate:g}",
        ]

"""What can be set of the controllers of nodes: names and defaults of upstream's flags."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from ipaddress import ip_network

from kube.go_durations import parse_go_duration


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """See the flags of kube-controller-manager; rates are in nodes a second.

    Attributes:
        monitor_period_s: how often all nodes are looked at.
        monitor_grace_s: a node that says nothing for longer is unknown.
        startup_grace_s: the same of one that never said that it is ready.
        eviction_rate, secondary_eviction_rate: at which nodes of a zone are given NoExecute
            taints when it is well, and when it is partly disrupted and large.
        large_cluster_size: in a smaller zone that is partly disrupted none is tainted.
        unhealthy_zone_share: from which share of lost nodes on a zone is partly disrupted.
        cluster_cidrs: where nodes get their pods' addresses from, one range for each family;
            none: nobody gives nodes ranges.
        node_prefix_v4, node_prefix_v6: how long the prefix of a node's range is.
        service_cidrs: what is left out, as Services have it.
    """

    monitor_period_s: float = 5.0
    monitor_grace_s: float = 50.0
    startup_grace_s: float = 60.0
    eviction_rate: float = 0.1
    secondary_eviction_rate: float = 0.01
    large_cluster_size: int = 50
    unhealthy_zone_share: float = 0.55
    cluster_cidrs: tuple[str, ...] = ()
    node_prefix_v4: int = 24
    node_prefix_v6: int = 64
    service_cidrs: tuple[str, ...] = ()


DEFAULTS = NodeOptions()


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(part)) for part in text.split(",") if part)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration_s(text: str) -> float:
    try:
        seconds = parse_go_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not longer than nothing")
    return seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    group = parser.add_argument_group("nodes", "as upstream has them")
    add = group.add_argument
    for flag, default_s in (
        ("--node-monitor-period", DEFAULTS.monitor_period_s),
        ("--node-monitor-grace-period", DEFAULTS.monitor_grace_s),
        ("--node-startup-grace-period", DEFAULTS.startup_grace_s),
    ):
        add(flag, type=_duration_s, default=default_s, metavar="DURATION")
    add("--node-eviction-rate", type=float, default=DEFAULTS.eviction_rate)
    add("--secondary-node-eviction-rate", type=float, default=DEFAULTS.secondary_eviction_rate)
    add("--large-cluster-size-threshold", type=int, default=DEFAULTS.large_cluster_size)
    add("--unhealthy-zone-threshold", type=float, default=DEFAULTS.unhealthy_zone_share)
    add("--cluster-cidr", type=_networks, default=(), metavar="CIDR[,CIDR]")
    add("--node-cidr-mask-size-ipv4", type=int, default=DEFAULTS.node_prefix_v4)
    add("--node-cidr-mask-size-ipv6", type=int, default=DEFAULTS.node_prefix_v6)
    add("--service-cluster-ip-range", type=_networks, default=(), metavar="CIDR[,CIDR]")


def options_of(given: argparse.Namespace) -> NodeOptions:
    """Return what the flags say."""
    return NodeOptions(
        monitor_period_s=given.node_monitor_period,
        monitor_grace_s=given.node_monitor_grace_period,
        startup_grace_s=given.node_startup_grace_period,
        eviction_rate=given.node_eviction_rate,
        secondary_eviction_rate=given.secondary_node_eviction_rate,
        large_cluster_size=given.large_cluster_size_threshold,
        unhealthy_zone_share=given.unhealthy_zone_threshold,
        cluster_cidrs=given.cluster_cidr,
        node_prefix_v4=given.node_cidr_mask_size_ipv4,
        node_prefix_v6=given.node_cidr_mask_size_ipv6,
        service_cidrs=given.service_cluster_ip_range,
    )

"""Flags of the controllers of nodes, and the configuration that becomes them."""

from __future__ import annotations

import argparse

import pytest
from pydantic import ValidationError

from controllers.nodes.options import DEFAULTS, NodeOptions, add_arguments, options_of
from ultraplane.controllers_config import ControllersSection


def _parse(*arguments: str) -> NodeOptions:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return options_of(parser.parse_args(arguments))


def test_without_flags_all_is_as_upstream_has_it() -> None:
    assert _parse() == DEFAULTS
    assert (DEFAULTS.monitor_period_s, DEFAULTS.monitor_grace_s) == (5, 50)
    assert (DEFAULTS.eviction_rate, DEFAULTS.secondary_eviction_rate) == (0.1, 0.01)


def test_flags_are_read_as_upstream_writes_them() -> None:
    found = _parse(
        "--node-monitor-grace-period=1m30s",
        "--cluster-cidr=10.0.0.0/8,fd00::/48",
        "--node-cidr-mask-size-ipv4=28",
    )
    assert found.monitor_grace_s == 90
    assert found.cluster_cidrs == ("10.0.0.0/8", "fd00::/48")
    assert found.node_prefix_v4 == 28


@pytest.mark.parametrize(
    "argument",
    ["--node-monitor-period=0s", "--node-monitor-period=soon", "--cluster-cidr=10.0.0.0/99"],
)
def test_what_cannot_be_read_is_refused(argument: str) -> None:
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        _parse(argument)


def test_the_configuration_becomes_flags_that_say_the_same() -> None:
    section = ControllersSection(
        cluster_cidr="10.0.0.0/8",
        node_cidr_mask_size_ipv4=28,
        node_monitor_grace_period_s=1.5,
        node_eviction_rate=3,
    )
    found = _parse(*section.arguments("10.96.0.0/12"))
    assert found.cluster_cidrs == ("10.0.0.0/8",)
    assert found.service_cidrs == ("10.96.0.0/12",)
    assert (found.node_prefix_v4, found.monitor_grace_s, found.eviction_rate) == (28, 1.5, 3.0)
    nobody = _parse(*ControllersSection(cluster_cidr="").arguments("10.96.0.0/12"))
    assert nobody.cluster_cidrs == ()


@pytest.mark.parametrize(
    "cidr", ["10.0.0.0/25", "0.0.0.0/0,10.0.0.0/8", "10.0.0.0/8,11.0.0.0/8", "nonsense"]
)
def test_a_configuration_without_ranges_for_nodes_is_refused(cidr: str) -> None:
    with pytest.raises(ValidationError):
        ControllersSection(cluster_cidr=cidr)

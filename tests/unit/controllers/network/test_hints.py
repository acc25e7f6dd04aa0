"""Hints by traffic distribution and by zones' CPU (trafficdist and topologycache, their tables)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.network import hints, topology
from controllers.network.nodes import Zones
from controllers.network.slices import Plan
from kube.informers.changes import Change
from kube.informers.informer import Delta

WHERE = ("n/foo", "IPv4")
SHARES = {"zone-a": 0.3, "zone-b": 0.4, "zone-c": 0.3}


def endpoint(zone: str, *, ready: bool = True, hint: str = "", node: str = "") -> dict[str, Any]:
    """Return an endpoint in a zone."""
    made: dict[str, Any] = {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}
    if zone:
        made["zone"] = zone
    if hint:
        made["hints"] = {"forZones": [{"name": hint}]}
    if node:
        made["nodeName"] = node
    return made


def plan_of(create: list[Any] | None = None, kept: list[Any] | None = None) -> Plan:
    """Return a plan of one new slice, and one that stays."""
    plan = Plan()
    if create is not None:
        plan.create.append({"endpoints": create})
    if kept is not None:
        plan.kept["kept"] = {"endpoints": kept}
    return plan


def hinted(pieces: Any) -> list[Any]:
    """Return the hints of all endpoints."""
    return [one.get("hints") for piece in pieces for one in piece["endpoints"]]


@pytest.mark.parametrize("distribution", ["PreferClose", "PreferSameZone"])
def test_ready_endpoints_have_a_hint_for_their_own_zone(distribution: str) -> None:
    hint = hints.hint_by(distribution)
    assert hint is not None
    plan = plan_of([endpoint("a", node="x"), endpoint("b", ready=False), endpoint("")])
    hints.apply(plan, hint)
    assert hinted(plan.create) == [{"forZones": [{"name": "a"}]}, None, None]


def test_prefer_same_node_has_hints_for_nodes_beside_those_for_zones() -> None:
    hint = hints.hint_by("PreferSameNode")
    assert hint is not None
    plan = plan_of([endpoint("a", node="x"), endpoint("", node="y")])
    hints.apply(plan, hint)
    assert hinted(plan.create) == [
        {"forZones": [{"name": "a"}], "forNodes": [{"name": "x"}]},
        {"forNodes": [{"name": "y"}]},
    ]


def test_a_slice_with_wrong_hints_is_written_and_one_with_right_ones_is_not() -> None:
    hint = hints.hint_by("PreferClose")
    assert hint is not None
    wrong = plan_of(kept=[endpoint("a", hint="a"), endpoint("b", hint="a")])
    hints.apply(wrong, hint)
    assert list(wrong.update) == ["kept"]
    right = plan_of(kept=[endpoint("a", hint="a"), endpoint("b", ready=False, hint="c")])
    hints.apply(right, hint)
    assert list(right.kept) == ["kept"]


def test_without_a_distribution_hints_are_taken_away() -> None:
    assert hints.hint_by(None) is None
    assert hints.hint_by("Other") is None
    plan = plan_of(kept=[endpoint("a", hint="a")])
    hints.remove(plan)
    assert hinted(plan.update.values()) == [None]


@pytest.mark.parametrize(
    ("notes", "wanted"),
    [
        ({}, False),
        ({"service.kubernetes.io/topology-mode": "Auto"}, True),
        ({"service.kubernetes.io/topology-mode": "auto"}, True),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, True),
        (
            {
                "service.kubernetes.io/topology-aware-hints": "Disabled",
                "service.kubernetes.io/topology-mode": "Auto",
            },
            False,
        ),
    ],
)
def test_the_older_annotation_counts_before_the_newer(
    notes: dict[str, str],
    wanted: bool,  # noqa: FBT001
) -> None:
    assert hints.is_automatic({"metadata": {"annotations": notes}}) is wanted


def test_without_word_of_nodes_there_are_no_hints_and_an_event_says_so() -> None:
    cache, plan = topology.HintCache(), plan_of([endpoint("zone-a", hint="zone-a")])
    said = topology.add_hints(cache, None, WHERE, plan)
    assert said == (
        True,
        "TopologyAwareHintsDisabled",
        "Insufficient Node information: allocatable CPU or zone not specified on one or more "
        "nodes, addressType: IPv4",
    )
    assert hinted(plan.create) == [None]
    assert not cache.is_on("n/foo")


def test_fewer_endpoints_than_zones_have_no_hints() -> None:
    plan = plan_of([endpoint("zone-a"), endpoint("zone-b")])
    said = topology.add_hints(topology.HintCache(), SHARES, WHERE, plan)
    assert said is not None
    assert said.text == "Insufficient number of endpoints (2 endpoints, 3 zones), addressType: IPv4"


def test_two_endpoints_in_two_zones_have_hints_and_that_is_told_once() -> None:
    cache, shares = topology.HintCache(), {"zone-a": 0.45, "zone-b": 0.55}
    plan = plan_of([endpoint("zone-a"), endpoint("zone-b"), endpoint("zone-b", ready=False)])
    said = topology.add_hints(cache, shares, WHERE, plan)
    text = "Topology Aware Hints has been enabled, addressType: IPv4"
    assert said == (False, "TopologyAwareHintsEnabled", text)
    zones = [{"forZones": [{"name": "zone-a"}]}, {"forZones": [{"name": "zone-b"}]}, None]
    assert hinted(plan.create) == zones
    again = plan_of(kept=[endpoint("zone-a", hint="zone-a"), endpoint("zone-b", hint="zone-b")])
    assert topology.add_hints(cache, shares, WHERE, again) is None
    assert list(again.kept) == ["kept"]


def test_a_zone_without_endpoints_is_lent_some() -> None:
    cache, plan = topology.HintCache(), plan_of([endpoint("zone-a") for _ in range(10)])
    topology.add_hints(cache, SHARES, WHERE, plan)
    counts: dict[str, int] = {}
    for hint in hinted(plan.create):
        zone = hint["forZones"][0]["name"]
        counts[zone] = counts.get(zone, 0) + 1
    assert counts == {"zone-a": 3, "zone-b": 4, "zone-c": 3}
    assert cache.overloaded(SHARES) == []
    assert cache.overloaded({"zone-a": 0.8, "zone-b": 0.2}) == ["n/foo"]


def test_an_endpoint_without_a_zone_ends_all_hints() -> None:
    plan = plan_of([endpoint("zone-a"), endpoint("zone-b"), endpoint("zone-a"), endpoint("")])
    shares = {"zone-a": 0.5, "zone-b": 0.5}
    said = topology.add_hints(topology.HintCache(), shares, WHERE, plan)
    assert said is not None
    assert said.text.startswith("One or more endpoints do not have a zone specified")
    assert hinted(plan.create) == [None] * 4


def node(name: str, zone: str, cpu: str, *, ready: str = "True", **labels: str) -> Delta:
    """Return a node as an informer tells of it."""
    if zone:
        labels["topology.kubernetes.io/zone"] = zone
    status = {"conditions": [{"type": "Ready", "status": ready}], "allocatable": {"cpu": cpu}}
    obj = {"metadata": {"name": name, "labels": labels}, "status": status}
    return Delta(Change.MODIFIED, name, obj)


CONTROL = {"node-role.kubernetes.io/control-plane": ""}


@pytest.mark.parametrize(
    ("nodes", "shares"),
    [
        ([], None),
        ([node("a", "zone-a", "1")], None),
        ([node("a", "zone-a", "1"), node("b", "zone-a", "1")], None),
        (
            [node("a", "zone-a", "1000m"), node("b", "zone-b", "3")],
            {"zone-a": 0.25, "zone-b": 0.75},
        ),
        ([node("a", "zone-a", "1", ready="False"), node("b", "zone-b", "1")], None),
        ([node("a", "zone-a", "1", **CONTROL), node("b", "zone-b", "1")], None),
        ([node("a", "zone-a", "1"), node("b", "zone-b", "1"), node("c", "", "1")], None),
        ([node("a", "zone-a", "1"), node("b", "zone-b", "1"), node("c", "zone-c", "0")], None),
    ],
)
def test_zones_share_the_cpu_of_ready_nodes_if_all_say_where_they_are(
    nodes: list[Delta], shares: dict[str, float] | None
) -> None:
    zones = Zones()
    zones.take(nodes)
    assert zones.shares() == shares


def test_a_node_that_goes_takes_its_cpu_along() -> None:
    zones, told = Zones(), []
    zones.listen(lambda: told.append(1))
    zones.take([node("a", "zone-a", "1"), node("b", "zone-b", "1"), node("c", "", "1")])
    zones.take([node("a", "zone-a", "1")])
    zones.take([node("c", "", "1")._replace(change=Change.DELETED)])
    assert zones.shares() == {"zone-a": 0.5, "zone-b": 0.5}
    assert (zones.zone_of("a"), zones.zone_of("c"), len(told)) == ("zone-a", None, 2)

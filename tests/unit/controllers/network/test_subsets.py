"""Subsets of Endpoints: the tables of endpoints_controller_test.go and endpoints/util_test.go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.network.backends import find_port
from controllers.network.subsets import Subset, render, truncate
from controllers.network.subsets import subsets_of as found_subsets
from controllers.workloads.pods import PodBrief
from tests.unit.controllers.network.network_objects import pod, service


def subsets_of(of: dict[str, Any], pods: list[Any]) -> list[dict[str, Any]]:
    """Return the subsets that pods make, as an object has them."""
    return render(found_subsets(of, pods), of)


def shown(subsets: list[dict[str, Any]]) -> list[tuple[list[str], list[str], list[int]]]:
    """Return addresses that are ready and those that are not, and ports."""
    return [
        (
            [one["ip"] for one in subset.get("addresses", ())],
            [one["ip"] for one in subset.get("notReadyAddresses", ())],
            [one["port"] for one in subset.get("ports", ())],
        )
        for subset in subsets
    ]


def test_pods_that_are_not_ready_are_addresses_of_their_own_kind() -> None:
    subsets = subsets_of(service(), [pod(2, ready=False), pod(1)])
    assert shown(subsets) == [(["10.0.1.1"], ["10.0.1.2"], [8080])]


def test_a_service_may_publish_addresses_that_are_not_ready() -> None:
    of = service(publishNotReadyAddresses=True)
    subsets = subsets_of(of, [pod(2, ready=False), pod(1, is_deleting=True)])
    assert shown(subsets) == [(["10.0.1.1", "10.0.1.2"], [], [8080])]


@pytest.mark.parametrize(
    "changes", [{"phase": "Succeeded"}, {"phase": "Failed"}, {"is_deleting": True}]
)
def test_a_pod_that_is_over_or_going_has_no_address(changes: dict[str, Any]) -> None:
    assert subsets_of(service(), [pod(1, **changes)]) == []


def test_a_pod_without_an_address_is_left_out() -> None:
    assert subsets_of(service(), [pod(1, network={"ips": ()})]) == []


def test_all_ports_of_the_same_pods_are_one_subset() -> None:
    of = service(
        ports=[
            {"name": "b", "port": 81, "protocol": "TCP", "targetPort": 8088},
            {"name": "a", "port": 80, "protocol": "TCP", "targetPort": 8080},
        ]
    )
    assert shown(subsets_of(of, [pod(1), pod(2)])) == [(["10.0.1.1", "10.0.1.2"], [], [8080, 8088])]


def test_pods_that_have_different_ports_are_different_subsets() -> None:
    of = service(ports=[{"name": "a", "port": 80, "protocol": "TCP", "targetPort": "web"}])
    pods = [
        pod(1, network={"ports": (("web", "TCP", 8080),)}),
        pod(2, network={"ports": (("web", "TCP", 9090),)}),
        pod(3),
    ]
    assert shown(subsets_of(of, pods)) == [(["10.0.1.1"], [], [8080]), (["10.0.1.2"], [], [9090])]


def test_a_headless_service_needs_no_ports_and_another_one_does() -> None:
    assert shown(subsets_of(service(ports=[], clusterIP="None"), [pod(1)])) == [
        (["10.0.1.1"], [], [])
    ]
    assert subsets_of(service(ports=[]), [pod(1)]) == []


def test_the_first_family_of_a_service_decides_which_address_of_a_pod_it_has() -> None:
    both = pod(1, network={"ips": ("10.0.0.1", "fd00::1")})
    assert shown(subsets_of(service(ipFamilies=["IPv6", "IPv4"]), [both]))[0][0] == ["fd00::1"]
    assert shown(subsets_of(service(), [both]))[0][0] == ["10.0.0.1"]
    assert subsets_of(service(ipFamilies=["IPv6"]), [pod(1)]) == []


def test_the_same_address_of_two_pods_is_two_addresses() -> None:
    subsets = subsets_of(service(), [pod(1, ip="10.0.0.1"), pod(2, ip="10.0.0.1")])
    assert [one["targetRef"]["uid"] for one in subsets[0]["addresses"]] == ["uid1", "uid2"]


def many(*shape: tuple[int, int]) -> list[Subset]:
    """Return subsets of so many addresses that are ready and that are not."""
    return [Subset([], [("r", "")] * ready, [("u", "")] * unready, {}) for ready, unready in shape]


@pytest.mark.parametrize(
    ("shape", "wanted", "is_cut"),
    [
        ([(500, 500)], [(500, 500)], False),
        ([(1000, 0)], [(1000, 0)], False),
        ([(1001, 0)], [(1000, 0)], True),
        ([(800, 400)], [(800, 200)], True),
        ([(1200, 600)], [(1000, 0)], True),
        # Ten subsets with room for a fifth of what is not ready.
        ([(50, 100)] * 10, [(50, 50)] * 10, True),
        # Shares are rounded up, so that the last gets less.
        ([(1001, 0), (1001, 0), (1001, 0)], [(334, 0), (334, 0), (332, 0)], True),
        ([(400, 0), (400, 0), (0, 201)], [(400, 0), (400, 0), (0, 200)], True),
    ],
)
def test_endpoints_are_cut_to_a_thousand_addresses_ready_ones_first(
    shape: list[tuple[int, int]],
    wanted: list[tuple[int, int]],
    is_cut: bool,  # noqa: FBT001
) -> None:
    subsets, told = truncate(many(*shape))
    found = [(len(one.ready), len(one.unready)) for one in subsets]
    assert (found, told) == (wanted, is_cut)


def _plainly(of: dict[str, Any], pods: list[PodBrief]) -> list[dict[str, Any]]:
    """Return the subsets port by port: those with the same addresses in the same state are one."""
    by_port: dict[tuple[str, int], dict[tuple[str, str], bool]] = {}
    for one in pods:
        for port in of["spec"]["ports"]:
            number = find_port(one, port)
            if number is not None:
                group = by_port.setdefault((port["name"], number), {})
                group[one.network.ips[0], one.uid] = one.ready_s is not None
    packed: dict[Any, list[tuple[str, int]]] = {}
    for port, states in by_port.items():
        packed.setdefault(tuple(sorted(states.items())), []).append(port)
    found = sorted((sorted(ports), states) for states, ports in packed.items())
    return [
        {
            "ports": ports,
            "ready": [key for key, is_ready in states if is_ready],
            "unready": [key for key, is_ready in states if not is_ready],
        }
        for ports, states in found
    ]


NAMED = st.lists(
    st.tuples(st.sampled_from("abc"), st.just("TCP"), st.integers(1, 2)), max_size=3, unique=True
).map(tuple)


@given(st.lists(st.tuples(NAMED, st.booleans()), max_size=8), st.sets(st.sampled_from("abcd")))
def test_subsets_are_those_of_each_port_for_itself(
    kinds: list[tuple[Any, bool]], names: set[str]
) -> None:
    ports = [{"name": one, "port": 1, "protocol": "TCP", "targetPort": one} for one in names]
    ports.append({"name": "number", "port": 1, "protocol": "TCP", "targetPort": 8080})
    of = service(ports=ports)
    pods = [
        pod(number, ready=is_ready, network={"ports": named})
        for number, (named, is_ready) in enumerate(kinds)
    ]
    assert [
        {
            "ports": [(port["name"], port["port"]) for port in one.ports],
            "ready": one.ready,
            "unready": one.unready,
        }
        for one in found_subsets(of, pods)
    ] == _plainly(of, pods)

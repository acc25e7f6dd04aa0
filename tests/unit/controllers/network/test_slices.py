"""How endpoints are spread over slices: the tables of k8s.io/endpointslice, reconciler_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.network import slices
from controllers.network.slices import Plan
from tests.unit.controllers.network.network_objects import desired, piece, pod, ports, service


def spread(of: dict[str, Any], pods: list[Any], existing: list[Any], most: int = 100) -> Plan:
    """Return what is to be written for pods."""
    shape = slices.Shape(ports(of), "IPv4", most)
    return slices.spread(of, desired(pods, of), existing, shape)


def lengths(plan: Plan) -> list[int]:
    """Return how many endpoints each slice has afterwards."""
    pieces = [*plan.create, *plan.update.values(), *plan.kept.values()]
    return sorted(len(one["endpoints"]) for one in pieces)


def counts(plan: Plan) -> tuple[int, int, int]:
    """Return how many slices are created, updated and deleted."""
    return len(plan.create), len(plan.update), len(plan.delete)


def test_many_pods_fill_slices_of_at_most_a_hundred() -> None:
    plan = spread(service(), [pod(n, ready=n % 3 != 0) for n in range(250)], [])
    assert (counts(plan), lengths(plan)) == ((3, 0, 0), [50, 100, 100])


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        (50, [50, 50, 50, 50, 50]),
        (80, [10, 80, 80, 80]),
        (150, [100, 150]),
        (250, [250]),
        (500, [250]),
    ],
)
def test_how_many_a_slice_holds_is_a_setting(most: int, wanted: list[int]) -> None:
    plan = spread(service(), [pod(n) for n in range(250)], [], most)
    assert lengths(plan) == wanted


def test_what_is_left_goes_into_the_one_slice_that_has_room_for_all_of_it() -> None:
    pods = [pod(n, ready=n % 3 != 0) for n in range(250)]
    one = piece(1, pods[1 : len(pods) - 4 : 4], service())
    two = piece(2, pods[3 : len(pods) - 4 : 4], service())
    plan = spread(service(), pods, [one, two])
    assert (counts(plan), lengths(plan)) == ((1, 1, 0), [61, 89, 100])


def test_slices_are_not_packed_anew_only_to_have_fewer() -> None:
    pods = [pod(n, ready=n % 3 != 0) for n in range(300)]
    one = piece(1, pods[1 : len(pods) - 4 : 4], service())
    two = piece(2, pods[3 : len(pods) - 4 : 4], service())
    plan = spread(service(), pods, [one, two])
    assert (counts(plan), lengths(plan)) == ((2, 0, 0), [52, 74, 74, 100])


def test_slices_that_are_written_anyway_are_filled_first_the_fullest_of_them_before_others() -> (
    None
):
    many, few = [pod(n) for n in range(80)], [pod(n) for n in range(100, 120)]
    existing = [piece(1, many, service()), piece(2, few, service())]
    changed = [
        one._replace(ready_s=None) if n % 10 == 0 else one for n, one in enumerate(many + few)
    ]
    plan = spread(service(), changed + [pod(n) for n in range(200, 215)], existing)
    assert (counts(plan), lengths(plan)) == ((0, 2, 0), [20, 95])


def test_a_slice_whose_endpoints_are_as_they_should_be_is_not_written() -> None:
    pods = [pod(n) for n in range(150)]
    existing = [piece(1, pods[:100], service()), piece(2, pods[100:], service())]
    pods[120] = pods[120]._replace(ready_s=None)
    plan = spread(service(), pods, existing)
    assert (list(plan.update), list(plan.kept), counts(plan)) == (["s2"], ["s1"], (0, 1, 0))


def test_a_slice_that_lost_all_its_endpoints_goes() -> None:
    pods = [pod(n) for n in range(150)]
    existing = [piece(1, pods[:100], service()), piece(2, pods[100:], service())]
    plan = spread(service(), pods[:100], existing)
    assert (list(plan.delete), list(plan.kept)) == (["s2"], ["s1"])


def test_changed_labels_of_a_service_are_copied_to_its_slices() -> None:
    pods = [pod(1)]
    existing = [piece(1, pods, service())]
    renamed = service()
    renamed["metadata"]["labels"] = {"team": "other"}
    plan = spread(renamed, pods, existing)
    assert plan.update["s1"]["metadata"]["labels"]["team"] == "other"


def test_labels_that_say_whose_slices_they_are_cannot_be_set_by_a_service() -> None:
    of = service()
    of["metadata"]["labels"] |= {slices.MANAGED_BY: "me", slices.SERVICE_NAME: "other"}
    assert slices.labels_for(of) == {
        "team": "net",
        slices.MANAGED_BY: "endpointslice-controller.k8s.io",
        slices.SERVICE_NAME: "foo",
    }
    assert spread(of, [pod(1)], [piece(1, [pod(1)], service())]).kept.keys() == {"s1"}


def test_slices_of_a_headless_service_say_so() -> None:
    assert "service.kubernetes.io/headless" in slices.labels_for(service(clusterIP="None"))


@pytest.mark.parametrize(
    ("ready", "deleting", "always", "conditions"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, False, False)),
        (True, True, True, (True, True, True)),
    ],
)
def test_conditions_say_ready_serving_and_terminating(
    ready: bool,  # noqa: FBT001
    deleting: bool,  # noqa: FBT001
    always: bool,  # noqa: FBT001
    conditions: tuple[bool, bool, bool],
) -> None:
    of = service(publishNotReadyAddresses=always)
    endpoint = slices.endpoint_of(pod(1, ready=ready, is_deleting=deleting), "z", of, "IPv4")
    assert endpoint is not None
    assert tuple(endpoint["conditions"].values()) == conditions


def test_an_endpoint_has_node_zone_and_the_hostname_of_its_subdomain() -> None:
    named = pod(1, network={"hostname": "h", "subdomain": "foo"})
    endpoint = slices.endpoint_of(named, "zone-a", service(), "IPv4")
    assert endpoint == {
        "addresses": ["10.0.1.1"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "n", "name": "pod1", "uid": "uid1"},
        "nodeName": "node-1",
        "zone": "zone-a",
        "hostname": "h",
    }
    elsewhere = slices.endpoint_of(named, "", service("bar"), "IPv4")
    assert elsewhere is not None
    assert "hostname" not in elsewhere
    assert "zone" not in elsewhere


def test_a_pod_without_an_address_of_the_family_is_no_endpoint() -> None:
    both = pod(1, network={"ips": ("10.0.0.1", "fd00::1")})
    found = slices.endpoint_of(both, "", service(), "IPv6")
    assert found is not None
    assert found["addresses"] == ["fd00::1"]
    assert slices.endpoint_of(pod(1), "", service(), "IPv6") is None


def test_ports_are_found_by_name_in_each_pod_and_left_out_where_there_is_none() -> None:
    of = service(
        ports=[
            {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"},
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns", "appProtocol": "x"},
        ]
    )
    told = (("web", "TCP", 8080), ("dns", "TCP", 53), ("dns", "UDP", 5353))
    assert slices.ports_of(pod(1, network={"ports": told}), of) == [
        {"name": "http", "port": 8080, "protocol": "TCP"},
        {"name": "dns", "port": 5353, "protocol": "UDP", "appProtocol": "x"},
    ]
    assert slices.ports_of(pod(1), of) == []


def test_ports_in_another_order_are_the_same_and_no_name_is_not_an_empty_one() -> None:
    one, two = {"name": "a", "port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "UDP"}
    assert slices.ports_key([one, two]) == slices.ports_key([two, one])
    assert slices.ports_key([two]) != slices.ports_key([{**two, "name": ""}])
    assert slices.ports_key(None) == slices.ports_key([])


def test_only_an_empty_slice_with_the_right_labels_is_a_placeholder() -> None:
    empty = slices.new_slice(service(), [], "IPv4", [])
    assert slices.is_placeholder(empty, service())
    assert not slices.is_placeholder(piece(1, [pod(1)], service()), service())
    empty["metadata"]["labels"] = {}
    assert not slices.is_placeholder(empty, service())


def test_a_revision_in_a_reference_makes_no_difference() -> None:
    pods = [pod(1)]
    existing = piece(1, pods, service())
    existing["endpoints"][0]["targetRef"]["resourceVersion"] = "7"
    assert spread(service(), pods, [existing]).kept.keys() == {"s1"}


def test_new_endpoints_are_placed_in_the_order_in_which_their_pods_came() -> None:
    plan = spread(service(), [pod(n) for n in (9, 1, 5)], [])
    names = [one["targetRef"]["name"] for one in plan.create[0]["endpoints"]]
    assert names == ["pod9", "pod1", "pod5"]


def test_names_of_slices_begin_with_the_service_and_a_dash_unless_that_is_too_long() -> None:
    assert slices.prefix_of("foo") == "foo-"
    assert slices.prefix_of("f" * 253) == "f" * 253

"""What a Service takes from the pools of addresses and ports, and gives back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.types.core.service_allocation import (
    HEALTH_CHECK,
    IpRequest,
    PortRequest,
    assign,
    held,
    wanted,
)

DUAL = ("IPv4", "IPv6")


def service(**spec: Any) -> dict[str, Any]:
    base = {"type": "ClusterIP", "selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {"spec": base | spec}


def created(families: tuple[str, ...] = ("IPv4",), **spec: Any) -> dict[str, Any]:
    """Return a service as it is stored after its creation."""
    obj = service(**spec)
    allocation = wanted(obj, None, families)
    assert not allocation.errors
    ips = [r.ip or {"IPv4": "10.0.0.9", "IPv6": "fd00::9"}[r.family] for r in allocation.ips]
    ports = [r.port or 30_000 + index for index, r in enumerate(allocation.ports)]
    assign(obj, allocation, ips=ips, ports=ports)
    return obj


def test_new_service_wants_one_address_of_the_default_family() -> None:
    obj = service()
    allocation = wanted(obj, None)
    assert allocation.ips == (IpRequest("IPv4", "", 0),)
    assert allocation.ports == ()
    assert obj["spec"]["ipFamilies"] == ["IPv4"]
    assert obj["spec"]["ipFamilyPolicy"] == "SingleStack"
    assign(obj, allocation, ips=["10.0.0.9"], ports=[])
    assert obj["spec"]["clusterIP"] == "10.0.0.9"
    assert obj["spec"]["clusterIPs"] == ["10.0.0.9"]


def test_asked_for_address_is_asked_for() -> None:
    obj = service(clusterIP="10.0.0.7")
    assert wanted(obj, None).ips == (IpRequest("IPv4", "10.0.0.7", 0),)
    assert obj["spec"]["clusterIPs"] == ["10.0.0.7"]


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ExternalName", "externalName": "example.com"},
        {"clusterIP": "None"},
        {"clusterIP": "None", "selector": {}},
    ],
)
def test_some_services_want_no_address(spec: dict[str, Any]) -> None:
    allocation = wanted(service(**spec), None)
    assert allocation.ips == ()
    assert not allocation.errors


def test_headless_service_without_selector_lists_both_families() -> None:
    obj = service(clusterIP="None", selector={})
    wanted(obj, None)
    assert obj["spec"]["ipFamilyPolicy"] == "RequireDualStack"
    assert obj["spec"]["ipFamilies"] == ["IPv4", "IPv6"]


def test_dual_stack_is_preferred_only_where_there_is_any() -> None:
    single = service(ipFamilyPolicy="PreferDualStack")
    assert [r.family for r in wanted(single, None).ips] == ["IPv4"]
    dual = service(ipFamilyPolicy="PreferDualStack")
    assert [r.family for r in wanted(dual, None, DUAL).ips] == ["IPv4", "IPv6"]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
            "this cluster is not configured for dual-stack services",
        ),
        (
            {"ipFamilies": ["IPv6"]},
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
        ),
        (
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: '
            "IPv6 is not configured on this cluster",
        ),
        (
            {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
            "'PreferDualStack' when multiple IP families are specified",
        ),
    ],
)
def test_impossible_wish_is_refused(spec: dict[str, Any], error: str) -> None:
    assert [str(e) for e in wanted(service(**spec), None).errors] == [error]


def test_node_port_service_wants_a_port_for_each_port_number() -> None:
    ports = [
        {"port": 53, "protocol": "UDP", "name": "a"},
        {"port": 53, "protocol": "TCP", "name": "b"},
        {"port": 80, "protocol": "TCP", "name": "c", "nodePort": 30_080},
    ]
    obj = service(type="NodePort", ports=ports)
    allocation = wanted(obj, None)
    assert allocation.ports == (PortRequest(0, (0, 1)), PortRequest(30_080, (2,)))
    assign(obj, allocation, ips=["10.0.0.9"], ports=[30_053, 30_080])
    assert [port["nodePort"] for port in obj["spec"]["ports"]] == [30_053, 30_053, 30_080]


def test_load_balancer_may_do_without_node_ports() -> None:
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    assert wanted(service(**spec), None).ports == ()


def test_local_load_balancer_wants_a_health_check_port() -> None:
    obj = service(type="LoadBalancer", externalTrafficPolicy="Local")
    allocation = wanted(obj, None)
    assert allocation.ports == (PortRequest(0, (0,)), PortRequest(0, (HEALTH_CHECK,)))
    assign(obj, allocation, ips=["10.0.0.9"], ports=[30_001, 30_002])
    assert obj["spec"]["healthCheckNodePort"] == 30_002


def test_update_without_addresses_keeps_them_and_wants_nothing() -> None:
    old = created(type="NodePort")
    new = service(type="NodePort")
    allocation = wanted(new, old)
    assert (allocation.ips, allocation.ports) == ((), ())
    assert (allocation.released_ips, allocation.released_ports) == ((), ())
    assert new["spec"] == old["spec"]


def test_becoming_external_gives_all_back() -> None:
    old = created(type="NodePort")
    new = copy.deepcopy(old)
    new["spec"] |= {"type": "ExternalName", "externalName": "example.com"}
    allocation = wanted(new, old)
    assert allocation.released_ips == ("10.0.0.9",)
    assert allocation.released_ports == (30_000,)


def test_ceasing_to_be_external_takes_an_address() -> None:
    old = service(type="ExternalName", externalName="example.com")
    assert wanted(service(), old).ips == (IpRequest("IPv4", "", 0),)


def test_changed_node_port_is_exchanged() -> None:
    old = created(type="NodePort")
    new = copy.deepcopy(old)
    new["spec"]["ports"][0]["nodePort"] = 31_000
    allocation = wanted(new, old)
    assert allocation.ports == (PortRequest(31_000, (0,)),)
    assert allocation.released_ports == (30_000,)


def test_upgrade_to_dual_stack_takes_the_second_address_only() -> None:
    old = created(DUAL)
    new = copy.deepcopy(old)
    new["spec"]["ipFamilyPolicy"] = "RequireDualStack"
    assert wanted(new, old, DUAL).ips == (IpRequest("IPv6", "", 1),)


def test_downgrade_gives_the_second_address_back() -> None:
    old = created(DUAL, ipFamilyPolicy="RequireDualStack")
    new = copy.deepcopy(old)
    new["spec"]["ipFamilyPolicy"] = "SingleStack"
    allocation = wanted(new, old, DUAL)
    assert allocation.released_ips == ("fd00::9",)
    assert new["spec"]["clusterIPs"] == ["10.0.0.9"]
    assert new["spec"]["ipFamilies"] == ["IPv4"]


def test_preferring_service_is_left_alone_when_the_cluster_changes() -> None:
    old = created(ipFamilyPolicy="PreferDualStack")
    new = copy.deepcopy(old)
    allocation = wanted(new, old, DUAL)
    assert (allocation.ips, allocation.errors) == ((), [])
    assert new == old


def test_leaving_local_traffic_gives_the_health_check_port_back() -> None:
    old = created(type="LoadBalancer", externalTrafficPolicy="Local")
    new = copy.deepcopy(old)
    new["spec"]["externalTrafficPolicy"] = "Cluster"
    assert wanted(new, old).released_ports == (30_001,)


def test_deletion_gives_back_all_that_is_held() -> None:
    obj = created(type="LoadBalancer", externalTrafficPolicy="Local")
    assert held(obj).released_ips == ("10.0.0.9",)
    assert held(obj).released_ports == (30_000, 30_001)
    assert held(created(clusterIP="None")).released_ips == ()

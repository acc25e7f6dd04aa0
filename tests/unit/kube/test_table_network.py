"""What `kubectl get` says of networking types."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.printers import printer_for

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S


def cells(resource: str, **obj: Any) -> list[Any]:
    metadata = {"name": "w", "creationTimestamp": CREATED}
    return printer_for(resource).cells({"metadata": metadata, **obj}, NOW_S)


def test_service_shows_ports_with_node_ports() -> None:
    ports = [
        {"port": 80, "protocol": "TCP", "nodePort": 30080},
        {"port": 53, "protocol": "UDP"},
    ]
    spec = {
        "type": "NodePort",
        "clusterIPs": ["10.0.0.1", "fd00::1"],
        "ports": ports,
        "selector": {"app": "web"},
    }
    expected = ["w", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "5m", "app=web"]
    assert cells("services", spec=spec) == expected


def test_headless_external_name_service_has_no_ports() -> None:
    spec = {"type": "ExternalName", "externalName": "db.example.com"}
    expected = ["ExternalName", "<none>", "db.example.com", "<none>", "5m", "<none>"]
    assert cells("services", spec=spec)[1:] == expected


@pytest.mark.parametrize(
    ("points", "fixed", "expected"),
    [
        ([], [], "<pending>"),
        ([{"ip": "2.2.2.2"}, {"hostname": "lb.example.com"}, {"ip": "1.1.1.1"}], [], None),
        ([], ["9.9.9.9"], "9.9.9.9"),
        ([{"ip": "1.1.1.1", "hostname": "h"}], ["9.9.9.9"], "1.1.1.1,9.9.9.9"),
    ],
)
def test_load_balancer_shows_ingress_points_unclipped_then_external_ips(
    points: list[Any], fixed: list[str], expected: str | None
) -> None:
    spec = {"type": "LoadBalancer", "externalIPs": fixed}
    status = {"loadBalancer": {"ingress": points}}
    shown = cells("services", spec=spec, status=status)[3]
    assert shown == (expected or "1.1.1.1,2.2.2.2,lb.example.com")


def test_cluster_ip_service_shows_external_ips() -> None:
    spec = {"type": "ClusterIP", "externalIPs": ["1.1.1.1", "2.2.2.2"]}
    assert cells("services", spec=spec)[3] == "1.1.1.1,2.2.2.2"


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([], "*"),
        ([None], "*"),
        (["a", None, "b"], "a,b"),
        (["a", "b", "c"], "a,b,c"),
        (["a", "b", "c", "d", "e"], "a,b,c + 2 more..."),
        (["a", "b", "c", None], "a,b,c + 1 more..."),
    ],
)
def test_ingress_shows_three_hosts(hosts: list[str | None], expected: str) -> None:
    rules = [{"host": host} if host else {} for host in hosts]
    assert cells("networking.k8s.io/ingresses", spec={"rules": rules})[2] == expected


def test_ingress_with_tls_opens_443() -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}}
    spec = {"ingressClassName": "nginx", "tls": [{}]}
    shown = cells("networking.k8s.io/ingresses", spec=spec, status=status)
    assert shown == ["w", "nginx", "*", "1.1.1.1", "80, 443", "5m"]
    bare = cells("networking.k8s.io/ingresses", spec={})
    assert bare == ["w", "<none>", "*", "", "80", "5m"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (None, "<none>"),
        ({"kind": "ConfigMap", "name": "c"}, "ConfigMap/c"),
        ({"kind": "Params", "apiGroup": "x.io", "name": "c"}, "Params.x.io/c"),
    ],
)
def test_ingress_class_shows_parameters(parameters: Any, expected: str) -> None:
    spec = {"controller": "x.io/c"} | ({"parameters": parameters} if parameters else {})
    shown = cells("networking.k8s.io/ingressclasses", spec=spec)
    assert shown == ["w", "x.io/c", expected, "5m"]


def test_network_policy_shows_pod_selector() -> None:
    spec = {"podSelector": {"matchLabels": {"a": "b"}}}
    assert cells("networking.k8s.io/networkpolicies", spec=spec) == ["w", "a=b", "5m"]


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([], "<none>"),
        ([{"notReadyAddresses": [{"ip": "1.1.1.1"}], "ports": [{"port": 80}]}], ""),
        ([{"addresses": [{"ip": "1.1.1.1"}]}], "1.1.1.1"),
        ([{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}], "[fd00::1]:80"),
        (
            [{"addresses": [{"ip": "a"}, {"ip": "b"}], "ports": [{"port": 1}, {"port": 2}]}],
            "a:1,b:1,a:2 + 1 more...",
        ),
    ],
)
def test_endpoints_show_three_addresses(subsets: list[Any], expected: str) -> None:
    assert cells("endpoints", subsets=subsets) == ["w", expected, "5m"]


def test_endpoint_slice_shows_three_ports_and_addresses() -> None:
    shown = cells(
        "discovery.k8s.io/endpointslices",
        addressType="IPv4",
        ports=[{"port": 80}, {"name": "named"}, {}, {"port": 443}],
        endpoints=[{"addresses": ["1.1.1.1", "2.2.2.2"]}],
    )
    assert shown == ["w", "IPv4", "80,named,* + 1 more...", "1.1.1.1,2.2.2.2", "5m"]
    empty = cells("discovery.k8s.io/endpointslices", addressType="IPv4")
    assert empty[2:4] == ["<unset>", "<unset>"]


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ({"resource": "services", "namespace": "default", "name": "k"}, "services/default/k"),
        ({"resource": "Gateways", "group": "x.io", "name": "g"}, "gateways.x.io/g"),
    ],
)
def test_ip_address_shows_its_parent(parent: dict[str, str], expected: str) -> None:
    shown = cells("networking.k8s.io/ipaddresses", spec={"parentRef": parent})
    assert shown[:2] == ["w", expected]


def test_service_cidr_shows_both_families() -> None:
    shown = cells("networking.k8s.io/servicecidrs", spec={"cidrs": ["10.0.0.0/16", "fd00::/112"]})
    assert shown == ["w", "10.0.0.0/16,fd00::/112", "5m"]

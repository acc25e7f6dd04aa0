"""Services: cluster IPs and node ports are given, refused, shared by nobody, given back.

The addresses that tests ask for lie in the low part of the range, which the server does not hand
out by itself while the rest has room (KEP-3070); node ports likewise are released by each test.
"""

from __future__ import annotations

import ipaddress
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.api_calls import (
    Collection,
    Json,
    check_status,
    collection,
    named,
)
from tests.integration.cluster import Answer, Cluster

RANGE = ipaddress.ip_network("10.96.0.0/12")
PORTS = range(30_000, 32_768)
NOT_IN_RANGE = "the provided network does not match the current range"
TAKEN = "provided IP is already allocated"
PORT_TAKEN = "provided port is already allocated"
PORT_NOT_IN_RANGE = (
    "provided port is not in the valid range. The range of valid ports is 30000-32767"
)
_low = itertools.count(20)


@pytest.fixture
def services(cluster: Cluster, namespace: str) -> Collection:
    """The services of a new namespace."""
    return collection(cluster, namespace, "services")


@pytest.fixture
def addresses(cluster: Cluster) -> Collection:
    """The claimed addresses."""
    return collection(cluster, "", "ipaddresses", "networking.k8s.io/v1")


def _ip() -> str:
    """Return an address that no other test asks for, nor the server picks."""
    return str(RANGE[next(_low)])


def _service(name: str, **spec: Any) -> Json:
    return named(name, spec={"ports": [{"port": 80}], **spec})


def _external_name(name: str, **spec: Any) -> Json:
    return named(name, spec={"type": "ExternalName", "externalName": "example.com", **spec})


def _check_invalid(answer: Answer, name: str, *faults: str) -> None:
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    check_status(answer, 422, "Invalid", f'Service "{name}" is invalid: {text}')


# Cluster IPs --------------------------------------------------------------------------------


def test_a_service_gets_an_address_of_the_range_and_the_defaults(
    services: Collection, addresses: Collection
) -> None:
    made = services.made(_service("a", selector={"app": "a"}))
    spec = made["spec"]
    ip = spec.pop("clusterIP")
    assert ipaddress.ip_address(ip) in RANGE
    assert spec == {
        "clusterIPs": [ip],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "a"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert made["status"] == {"loadBalancer": {}}
    claim = addresses.get(ip).json
    assert claim["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    namespace = made["metadata"]["namespace"]
    parent = {"group": "", "name": "a", "namespace": namespace, "resource": "services"}
    assert {"group": "", **claim["spec"]["parentRef"]} == parent


def test_an_address_asked_for_is_given_and_refused_to_the_next(services: Collection) -> None:
    ip = _ip()
    assert services.made(_service("a", clusterIP=ip))["spec"]["clusterIPs"] == [ip]
    _check_invalid(
        services.create(_service("b", clusterIP=ip)),
        "b",
        f'spec.clusterIPs: Invalid value: ["{ip}"]: failed to allocate IP {ip}: {TAKEN}',
    )
    assert services.get("b").code == 404


@pytest.mark.parametrize("ip", ["10.0.0.1", "192.168.7.7", str(RANGE[0]), str(RANGE[-1])])
def test_an_address_out_of_range_is_refused(services: Collection, ip: str) -> None:
    _check_invalid(
        services.create(_service("a", clusterIP=ip)),
        "a",
        f'spec.clusterIPs: Invalid value: ["{ip}"]: failed to allocate IP {ip}: {NOT_IN_RANGE}',
    )


def test_what_is_no_address_is_refused(services: Collection) -> None:
    answer = services.create(_service("a", clusterIP="10.96.0.300"))
    _check_invalid(
        answer,
        "a",
        'spec.clusterIPs[0]: Invalid value: "10.96.0.300": must be a valid IP address, '
        "(e.g. 10.9.8.7 or 2001:db8::ffff)",
    )


def test_a_dry_run_takes_no_address(services: Collection) -> None:
    ip = _ip()
    assert services.create(_service("a", clusterIP=ip), "?dryRun=All").code == 201
    assert services.made(_service("b", clusterIP=ip))["spec"]["clusterIP"] == ip


@pytest.mark.parametrize("whole", [False, True])
def test_a_deleted_service_gives_back_what_it_held(
    services: Collection, addresses: Collection, *, whole: bool
) -> None:
    ip = _ip()
    wanted = _service("a", clusterIP=ip, type="NodePort")
    wanted["spec"]["ports"][0]["nodePort"] = 30_101
    services.made(wanted)
    assert addresses.get(ip).code == 200
    assert services.delete("" if whole else "a").code == 200
    assert addresses.get(ip).code == 404
    assert services.made({**wanted, "metadata": {"name": "b"}})["spec"]["clusterIP"] == ip
    assert services.delete("b").code == 200


def test_a_service_held_by_a_finalizer_keeps_its_address_until_it_goes(
    services: Collection, addresses: Collection
) -> None:
    ip = _ip()
    held = _service("a", clusterIP=ip)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    services.made(held)
    assert services.delete("a").json["metadata"]["deletionTimestamp"]
    assert services.create(_service("b", clusterIP=ip)).code == 422
    assert services.patch("a", {"metadata": {"finalizers": None}}).code == 200
    assert addresses.get(ip).code == 404
    services.made(_service("b", clusterIP=ip))


def test_services_created_at_once_never_share_an_address_or_port(services: Collection) -> None:
    def create(number: int) -> tuple[str, int]:
        made = services.made(_service(f"s-{number}", type="NodePort"))
        return made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]

    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(create, range(120)))
    assert len({ip for ip, _ in given}) == len({port for _, port in given}) == len(given)
    assert all(ipaddress.ip_address(ip) in RANGE and port in PORTS for ip, port in given)
    assert services.delete().code == 200


def test_of_services_that_ask_for_one_address_at_once_just_one_gets_it(
    services: Collection,
) -> None:
    ip = _ip()
    with ThreadPoolExecutor(8) as pool:
        wanted = [_service(f"s-{number}", clusterIP=ip) for number in range(16)]
        answers = list(pool.map(services.create, wanted))
    assert sorted(answer.code for answer in answers) == [201] + [422] * 15
    assert all(TAKEN in answer.json["message"] for answer in answers if answer.code == 422)


# Headless, ExternalName, families -----------------------------------------------------------


def test_a_headless_service_has_no_address(services: Collection) -> None:
    spec = services.made(_service("a", clusterIP="None", selector={"app": "a"}))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert services.made(named("b", spec={"clusterIP": "None", "selector": {"app": "b"}}))


def test_a_headless_service_without_selector_may_be_of_both_families(services: Collection) -> None:
    spec = services.made(_service("a", clusterIP="None"))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_a_headless_service_has_no_node_ports(services: Collection, kind: str) -> None:
    _check_invalid(
        services.create(_service("a", clusterIP="None", type=kind)),
        "a",
        f"spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for {kind} "
        "services",
    )


def test_an_external_name_has_neither_address_nor_families(services: Collection) -> None:
    assert services.made(_external_name("a"))["spec"] == {
        "externalName": "example.com",
        "sessionAffinity": "None",
        "type": "ExternalName",
    }


def test_an_external_name_must_be_named_and_takes_no_address(services: Collection) -> None:
    _check_invalid(
        services.create(named("a", spec={"type": "ExternalName"})),
        "a",
        "spec.externalName: Required value",
    )
    _check_invalid(
        services.create(_external_name("a", clusterIP=_ip())),
        "a",
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    )


def test_a_second_family_is_refused_where_the_cluster_has_one(services: Collection) -> None:
    _check_invalid(
        services.create(_service("a", ipFamilyPolicy="RequireDualStack")),
        "a",
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured '
        "for dual-stack services",
    )
    _check_invalid(
        services.create(_service("a", ipFamilies=["IPv6"])),
        "a",
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    )
    _check_invalid(
        services.create(_service("a", clusterIP="2001:db8::1")),
        "a",
        'spec.clusterIPs[0]: Invalid value: ["2001:db8::1"]: IPv6 is not configured on this '
        "cluster",
    )


def test_dual_stack_is_preferred_in_vain_where_the_cluster_has_one_family(
    services: Collection,
) -> None:
    spec = services.made(_service("a", ipFamilyPolicy="PreferDualStack"))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "PreferDualStack")
    assert len(spec["clusterIPs"]) == 1


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (
            {"clusterIPs": ["10.96.0.19"]},
            'spec.clusterIPs: Invalid value: ["10.96.0.19"]: must be empty when `clusterIP` is not '
            "specified",
        ),
        (
            {"clusterIP": "10.96.0.19", "clusterIPs": ["10.96.0.18"]},
            'spec.clusterIPs: Invalid value: ["10.96.0.18"]: first value must match `clusterIP`',
        ),
        (
            {"ipFamilies": ["IPv4", "IPv4"]},
            'spec.ipFamilies[1]: Duplicate value: "IPv4"',
        ),
        (
            {"ipFamilies": ["IPv5"]},
            'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
        ),
        ({"ports": []}, "spec.ports: Required value"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    services: Collection, spec: Json, fault: str
) -> None:
    _check_invalid(services.create(_service("a", **spec)), "a", fault)


# Node ports ---------------------------------------------------------------------------------


def test_a_node_port_asked_for_is_given_and_refused_to_the_next(services: Collection) -> None:
    ports = [{"name": "x", "port": 80}, {"name": "y", "port": 81, "nodePort": 30_102}]
    made = services.made(_service("a", type="NodePort", ports=ports))["spec"]
    assert made["ports"][0]["nodePort"] in PORTS
    assert made["ports"][1]["nodePort"] == 30_102
    assert made["externalTrafficPolicy"] == "Cluster"
    _check_invalid(
        services.create(_service("b", type="NodePort", ports=ports)),
        "b",
        f"spec.ports[1].nodePort: Invalid value: 30102: {PORT_TAKEN}",
    )
    assert services.delete("a").code == 200


@pytest.mark.parametrize("port", [29_999, 32_768, 80])
def test_a_node_port_out_of_range_is_refused(services: Collection, port: int) -> None:
    ports = [{"port": 80, "nodePort": port}]
    _check_invalid(
        services.create(_service("a", type="NodePort", ports=ports)),
        "a",
        f"spec.ports[0].nodePort: Invalid value: {port}: {PORT_NOT_IN_RANGE}",
    )


def test_ports_of_one_number_share_a_node_port(services: Collection) -> None:
    ports = [
        {"name": "tcp", "port": 53, "protocol": "TCP"},
        {"name": "udp", "port": 53, "protocol": "UDP"},
        {"name": "other", "port": 54},
    ]
    given = services.made(_service("dns", type="NodePort", ports=ports))["spec"]["ports"]
    assert given[0]["nodePort"] == given[1]["nodePort"] != given[2]["nodePort"]


def test_a_cluster_ip_service_takes_no_node_port(services: Collection) -> None:
    ports = [{"port": 80, "nodePort": 30_103}]
    _check_invalid(
        services.create(_service("a", ports=ports)),
        "a",
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    )


def test_a_load_balancer_may_do_without_node_ports(services: Collection) -> None:
    kind = "LoadBalancer"
    with_ports = services.made(_service("a", type=kind))["spec"]
    assert with_ports["allocateLoadBalancerNodePorts"] is True
    assert with_ports["ports"][0]["nodePort"] in PORTS
    spec = services.made(_service("b", type=kind, allocateLoadBalancerNodePorts=False))["spec"]
    assert "nodePort" not in spec["ports"][0]


def test_local_traffic_gets_a_health_check_port_and_gives_it_back(services: Collection) -> None:
    wanted = _service("a", type="LoadBalancer", externalTrafficPolicy="Local")
    wanted["spec"]["healthCheckNodePort"] = 30_104
    assert services.made(wanted)["spec"]["healthCheckNodePort"] == 30_104
    _check_invalid(
        services.create({**wanted, "metadata": {"name": "b"}}),
        "b",
        f"spec.healthCheckNodePort: Invalid value: 30104: {PORT_TAKEN}",
    )
    changed = services.patch("a", {"spec": {"externalTrafficPolicy": "Cluster"}}).json["spec"]
    assert "healthCheckNodePort" not in changed
    assert services.made({**wanted, "metadata": {"name": "b"}})
    assert services.delete("b").code == 200


# Updates ------------------------------------------------------------------------------------


def test_an_address_may_not_be_changed_and_may_be_left_out(services: Collection) -> None:
    made = services.made(_service("a"))
    ip = made["spec"]["clusterIP"]
    other = _ip()
    _check_invalid(
        services.patch("a", {"spec": {"clusterIP": other, "clusterIPs": [other]}}),
        "a",
        f'spec.clusterIPs[0]: Invalid value: ["{other}"]: may not change once set',
    )
    version = made["metadata"]["resourceVersion"]
    plain = _service("a", ports=[{"port": 81}])
    plain["metadata"]["resourceVersion"] = version
    answer = services.put("a", plain)
    assert answer.code == 200, answer.body
    assert answer.json["spec"]["clusterIPs"] == [ip]


def test_a_service_through_all_types_takes_and_gives_back_what_each_needs(
    services: Collection, addresses: Collection
) -> None:
    made = services.made(_service("a"))["spec"]
    ip = made["clusterIP"]
    exposed = services.patch("a", {"spec": {"type": "NodePort"}}).json["spec"]
    port = exposed["ports"][0]["nodePort"]
    assert (exposed["clusterIP"], exposed["externalTrafficPolicy"]) == (ip, "Cluster")
    balanced = services.patch("a", {"spec": {"type": "LoadBalancer"}}).json["spec"]
    assert balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["ports"][0]["nodePort"] == port
    back = services.patch("a", {"spec": {"type": "ClusterIP"}}).json["spec"]
    assert back == made
    taken = _service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    assert services.made(taken)["spec"]["ports"][0]["nodePort"] == port
    outside = {"type": "ExternalName", "externalName": "example.com"}
    named_only = services.patch("a", {"spec": outside}).json["spec"]
    assert {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}.isdisjoint(named_only)
    assert addresses.get(ip).code == 404
    inside = {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}
    again = services.patch("a", {"spec": inside}).json["spec"]
    assert ipaddress.ip_address(again["clusterIP"]) in RANGE
    assert addresses.get(again["clusterIP"]).code == 200


def test_a_node_port_is_moved_and_the_old_one_given_back(services: Collection) -> None:
    services.made(_service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30_105}]))
    moved = [{"port": 80, "nodePort": 30_106}]
    changed = services.patch("a", {"spec": {"ports": moved}})
    assert changed.json["spec"]["ports"][0]["nodePort"] == 30_106
    services.made(_service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30_105}]))
    _check_invalid(
        services.patch("b", {"spec": {"ports": moved}}),
        "b",
        f"spec.ports[0].nodePort: Invalid value: 30106: {PORT_TAKEN}",
    )
    assert services.get("b").json["spec"]["ports"][0]["nodePort"] == 30_105
    assert services.delete().code == 200


def test_a_refused_create_keeps_nothing(services: Collection, addresses: Collection) -> None:
    ip = _ip()
    ports = [{"port": 80, "nodePort": 30_107}, {"port": 81}]  # the second lacks a name
    assert services.create(_service("a", type="NodePort", clusterIP=ip, ports=ports)).code == 422
    assert addresses.get(ip).code == 404
    good = _service("a", type="NodePort", clusterIP=ip, ports=ports[:1])
    assert services.made(good)["spec"]["ports"][0]["nodePort"] == 30_107
    assert services.create(good).code == 409
    assert services.delete("a").code == 200


def test_the_load_balancers_status_is_written_apart_from_the_spec(services: Collection) -> None:
    services.made(_service("a", type="LoadBalancer"))
    points = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    answer = services.patch("a/status", {"status": points, "spec": {"selector": {"a": "b"}}})
    assert answer.code == 200, answer.body
    written = answer.json
    assert "selector" not in written["spec"]
    assert written["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
    plain = services.patch("a", {"spec": {"type": "ClusterIP"}}).json
    assert plain["status"] == {"loadBalancer": {}}


# The cluster's own --------------------------------------------------------------------------


def test_the_api_servers_own_service_is_there_as_upstream_makes_it(cluster: Cluster) -> None:
    own = collection(cluster, "default", "services").get("kubernetes").json
    labels = {"component": "apiserver", "provider": "kubernetes"}
    assert own["metadata"]["labels"] == labels
    assert own["spec"]["clusterIP"] == str(RANGE[1])
    (port,) = own["spec"]["ports"]
    shown = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": cluster.port}
    assert port == shown
    assert own["spec"]["type"] == "ClusterIP"
    assert "selector" not in own["spec"]


def test_the_api_servers_own_endpoints_are_there_in_both_forms(cluster: Cluster) -> None:
    slices = collection(cluster, "default", "endpointslices", "discovery.k8s.io/v1")
    one = slices.get("kubernetes").json
    assert one["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    assert one["addressType"] == "IPv4"
    (endpoint,) = one["endpoints"]
    assert endpoint["conditions"] == {"ready": True}
    ports = [{"name": "https", "port": cluster.port, "protocol": "TCP"}]
    assert one["ports"] == ports
    old = collection(cluster, "default", "endpoints").get("kubernetes").json
    assert old["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
    addresses = [{"ip": ip} for ip in endpoint["addresses"]]
    assert old["subsets"] == [{"addresses": addresses, "ports": ports}]


def test_services_are_found_by_type_and_address(services: Collection) -> None:
    ip = services.made(_service("a"))["spec"]["clusterIP"]
    services.made(_external_name("b"))
    assert services.names(f"?fieldSelector=spec.clusterIP%3D{ip}") == ["a"]
    assert services.names("?fieldSelector=spec.type%3DExternalName") == ["b"]

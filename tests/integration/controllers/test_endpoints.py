"""What services lead to: the controllers of endpoints at a real server; tests play the kubelet."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.api_calls import STRATEGIC, Json, collection, named, pod
from tests.integration.cluster import Cluster

PATIENCE_S = 30.0
NODE = "endpoints-node"
_ips = itertools.count(1)


def until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` finds, as soon as it finds something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
    return found


def ready_status(ip: str, *, ready: bool = True) -> Json:
    """Return what a kubelet says of a pod that runs."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    return {
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [condition],
        }
    }


class Net:
    """A namespace, its pods and services, and a node in a zone."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.pods = collection(cluster, namespace, "pods")
        self.services = collection(cluster, namespace, "services")
        self.endpoints = collection(cluster, namespace, "endpoints")
        self.slices = collection(cluster, namespace, "endpointslices", "discovery.k8s.io/v1")
        labels = {"topology.kubernetes.io/zone": "zone-a"}
        collection(cluster, "", "nodes").create({"metadata": {"name": NODE, "labels": labels}})

    def add_pod(self, name: str, *, ready: bool = True, app: str = "web") -> str:
        """Make a pod that runs; return its address."""
        number = next(_ips)
        ip = f"10.200.{number // 250}.{number % 250 + 1}"
        self.pods.made(pod(name, NODE, app=app))
        self.say(name, ip, ready=ready)
        return ip

    def say(self, name: str, ip: str, *, ready: bool) -> None:
        """Be the kubelet of a pod."""
        body = ready_status(ip, ready=ready)
        assert self.pods.patch(f"{name}/status", body, content_type=STRATEGIC).code == 200

    def add_service(self, name: str, **spec: Any) -> Json:
        """Make a Service that selects app=web, unless it says otherwise."""
        whole = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
        made: Json = self.services.made(named(name, spec=whole))
        return made

    def slices_of(self, service: str) -> list[Json]:
        """Return a Service's slices."""
        query = f"?labelSelector=kubernetes.io/service-name={service}"
        found: list[Json] = self.slices.list(query).json["items"]
        return found

    def states(self, service: str) -> dict[str, tuple[bool, bool, bool]]:
        """Return ready, serving and terminating of each address."""
        return {
            endpoint["addresses"][0]: tuple(endpoint["conditions"].values())
            for piece in self.slices_of(service)
            for endpoint in piece["endpoints"] or ()
        }

    def addresses(self, service: str) -> tuple[list[str], list[str]] | None:
        """Return the addresses that are ready, and not, of a Service's Endpoints."""
        answer = self.endpoints.get(service)
        if answer.code != 200:
            return None
        subsets = answer.json.get("subsets") or ()
        return tuple(  # type: ignore[return-value]
            sorted(one["ip"] for subset in subsets for one in subset.get(name) or ())
            for name in ("addresses", "notReadyAddresses")
        )


@pytest.fixture
def net(cluster: Cluster, namespace: str) -> Net:
    """A namespace to make services and pods in."""
    return Net(cluster, namespace)


def test_pods_behind_a_service_are_in_its_slice_and_in_its_endpoints(net: Net) -> None:
    service = net.add_service("web")
    one, two = net.add_pod("one"), net.add_pod("two", ready=False)
    net.add_pod("other", app="db")
    wanted = {one: (True, True, False), two: (False, False, False)}
    until(lambda: net.states("web") == wanted, f"{net.slices_of('web')}")
    (piece,) = net.slices_of("web")
    metadata = piece["metadata"]
    assert metadata["name"].startswith("web-")
    assert metadata["ownerReferences"][0]["uid"] == service["metadata"]["uid"]
    assert metadata["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert {(one["nodeName"], one["zone"]) for one in piece["endpoints"]} == {(NODE, "zone-a")}
    until(lambda: net.addresses("web") == ([one], [two]), f"{net.addresses('web')}")


def test_a_service_without_pods_has_an_empty_slice(net: Net) -> None:
    net.add_service("lonely")
    (piece,) = until(lambda: net.slices_of("lonely"), "no slice")
    assert not piece["endpoints"]
    assert not piece["ports"]
    until(lambda: net.addresses("lonely") == ([], []), "no Endpoints")


def test_a_pod_that_becomes_ready_changes_its_slice_in_place(net: Net) -> None:
    net.add_service("web")
    ip = net.add_pod("p", ready=False)
    until(lambda: net.states("web") == {ip: (False, False, False)}, "not there")
    (before,) = net.slices_of("web")
    net.say("p", ip, ready=True)
    until(lambda: net.states("web") == {ip: (True, True, False)}, "not ready")
    (after,) = net.slices_of("web")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_a_pod_that_is_being_deleted_serves_and_is_not_ready_any_more(net: Net) -> None:
    net.add_service("web")
    ip = net.add_pod("p")
    until(lambda: net.states("web") == {ip: (True, True, False)}, "not there")
    assert net.pods.delete("p").code == 200
    until(lambda: net.states("web") == {ip: (False, True, True)}, f"{net.states('web')}")
    until(lambda: net.addresses("web") == ([], []), "still an address")
    net.pods.delete("p", {"gracePeriodSeconds": 0})
    until(lambda: net.states("web") == {}, "still an endpoint")


def test_publishing_addresses_that_are_not_ready_is_a_services_choice(net: Net) -> None:
    net.add_service("web", publishNotReadyAddresses=True)
    ip = net.add_pod("p", ready=False)
    until(lambda: net.states("web") == {ip: (True, False, False)}, "not published")
    until(lambda: net.addresses("web") == ([ip], []), "not published")


def test_a_headless_services_endpoints_have_its_label_and_hostnames(net: Net) -> None:
    net.add_service("web", clusterIP="None")
    body = pod("p", NODE, app="web")
    body["spec"] |= {"hostname": "h", "subdomain": "web"}
    net.pods.made(body)
    net.say("p", "10.201.0.1", ready=True)
    until(lambda: "10.201.0.1" in net.states("web"), "not there")
    (piece,) = net.slices_of("web")
    assert "service.kubernetes.io/headless" in piece["metadata"]["labels"]
    assert piece["endpoints"][0]["hostname"] == "h"
    until(lambda: net.addresses("web") == (["10.201.0.1"], []), "no address")
    labels = net.endpoints.get("web").json["metadata"]["labels"]
    assert "service.kubernetes.io/headless" in labels


def test_traffic_distribution_is_a_hint_at_zone_and_node(net: Net) -> None:
    net.add_service("web", trafficDistribution="PreferSameNode")
    net.add_pod("p")
    until(lambda: net.states("web"), "not there")
    hints = {"forZones": [{"name": "zone-a"}], "forNodes": [{"name": NODE}]}
    assert net.slices_of("web")[0]["endpoints"][0]["hints"] == hints
    net.services.patch("web", {"spec": {"trafficDistribution": None}})
    until(lambda: "hints" not in net.slices_of("web")[0]["endpoints"][0], "still hints")


def test_other_labels_of_a_pod_take_it_to_another_service(net: Net) -> None:
    net.add_service("web")
    net.add_service("db", selector={"app": "db"})
    ip = net.add_pod("p")
    until(lambda: ip in net.states("web"), "not there")
    net.pods.patch("p", {"metadata": {"labels": {"app": "db"}}})
    until(lambda: ip in net.states("db") and not net.states("web"), "not moved")


def test_endpoints_without_a_selector_are_mirrored_and_not_touched(net: Net) -> None:
    net.add_service("mine", selector=None)
    subset = {
        "addresses": [{"ip": "10.9.9.9"}],
        "notReadyAddresses": [{"ip": "10.9.9.10"}],
        "ports": [{"port": 80}],
    }
    net.endpoints.made(named("mine", subsets=[subset]))
    until(lambda: len(net.states("mine")) == 2, "not mirrored")
    manager = "endpointslicemirroring-controller.k8s.io"
    (piece,) = net.slices_of("mine")
    assert piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == manager
    assert [one["conditions"]["ready"] for one in piece["endpoints"]] == [True, False]
    net.endpoints.patch("mine", {"subsets": [{**subset, "notReadyAddresses": []}]})
    until(lambda: list(net.states("mine")) == ["10.9.9.9"], "not followed")
    net.endpoints.patch(
        "mine", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}
    )
    until(lambda: not net.slices_of("mine"), "still mirrored")
    assert net.addresses("mine") == (["10.9.9.9"], [])


def test_slices_and_endpoints_go_with_their_service(net: Net) -> None:
    net.add_service("web")
    net.add_pod("p")
    until(lambda: net.states("web") and net.addresses("web") != ([], []), "not there")
    net.services.delete("web")
    until(lambda: not net.slices_of("web"), "slices are left")
    until(lambda: net.endpoints.get("web").code == 404, "Endpoints are left")


def test_a_slice_that_somebody_deletes_or_changes_comes_back_as_it_was(net: Net) -> None:
    net.add_service("web")
    ip = net.add_pod("p")
    until(lambda: ip in net.states("web"), "not there")
    (piece,) = net.slices_of("web")
    net.slices.delete(piece["metadata"]["name"])
    until(lambda: ip in net.states("web"), "not made again")
    (piece,) = net.slices_of("web")
    net.slices.patch(piece["metadata"]["name"], {"endpoints": []})
    until(lambda: ip in net.states("web"), "not mended")


def test_kubectl_shows_what_a_service_leads_to(net: Net) -> None:
    net.add_service("web")
    ip = net.add_pod("p")
    until(lambda: ip in net.states("web"), "not there")
    shown = net.cluster.kubectl("get", "endpointslices", "-n", net.namespace).stdout
    assert shown.splitlines()[0].split() == ["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"]
    assert shown.splitlines()[1].split()[1:4] == ["IPv4", "8080", ip]
    told = net.cluster.kubectl("describe", "service", "web", "-n", net.namespace).stdout
    assert f"{ip}:8080" in told


def test_a_range_of_service_addresses_is_ready_and_goes_when_another_contains_it(
    cluster: Cluster,
) -> None:
    ranges = collection(cluster, "", "servicecidrs", "networking.k8s.io/v1")

    def condition(name: str) -> Json:
        found = ranges.get(name).json.get("status") or {}
        return next(iter(found.get("conditions") or ()), {})

    until(lambda: condition("kubernetes").get("status") == "True", "not ready")
    finalizers = ["networking.k8s.io/service-cidr-finalizer"]
    assert ranges.get("kubernetes").json["metadata"]["finalizers"] == finalizers
    ranges.made(named("small", spec={"cidrs": ["10.96.0.0/16"]}))
    until(lambda: condition("small").get("status") == "True", "not ready")
    assert ranges.delete("small").code == 200
    # Ten seconds, in which allocators may learn of it.
    until(lambda: ranges.get("small").code == 404, "still there")


def test_a_range_that_is_deleted_waits_for_its_addresses_and_says_so(cluster: Cluster) -> None:
    ranges = collection(cluster, "", "servicecidrs", "networking.k8s.io/v1")
    addresses = collection(cluster, "", "ipaddresses", "networking.k8s.io/v1")
    labels = {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    parent = {"resource": "services", "name": "a", "namespace": "default"}
    addresses.made(
        {"metadata": {"name": "172.20.0.9", "labels": labels}, "spec": {"parentRef": parent}}
    )
    ranges.made(named("held", spec={"cidrs": ["172.20.0.0/24"]}))
    until(lambda: ranges.get("held").json["metadata"].get("finalizers"), "not held")
    assert ranges.delete("held").code == 200

    def condition() -> Json:
        found = ranges.get("held").json.get("status") or {}
        return next(iter(found.get("conditions") or ()), {})

    until(lambda: condition().get("reason") == "Terminating", "not terminating")
    assert condition()["status"] == "False"
    assert condition()["message"] == (
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a "
        "new ServiceCIDR"
    )
    addresses.delete("172.20.0.9")
    until(lambda: ranges.get("held").code == 404, "still there")


def test_controllers_that_are_killed_end_where_they_would_have(
    cluster: Cluster, namespace: str
) -> None:
    net = Net(cluster, namespace)
    net.add_service("web")
    ips = {f"p{number}": net.add_pod(f"p{number}") for number in range(6)}
    cluster.kill("controllers")
    # While nobody looks: one goes, one is not ready, one is new, and one Service goes.
    net.add_service("gone")
    net.pods.delete("p0", {"gracePeriodSeconds": 0})
    net.say("p1", ips["p1"], ready=False)
    ips["p6"] = net.add_pod("p6")
    wanted = {ip: (name != "p1",) * 2 + (False,) for name, ip in ips.items() if name != "p0"}
    until(lambda: net.states("web") == wanted, f"{net.states('web')} is not {wanted}")
    cluster.kill("controllers")
    net.services.delete("gone")
    ready = sorted(ip for name, ip in ips.items() if name not in ("p0", "p1"))
    until(lambda: net.addresses("web") == (ready, [ips["p1"]]), f"{net.addresses('web')}")
    until(lambda: net.endpoints.get("gone").code == 404, "Endpoints are left")
    until(lambda: not net.slices_of("gone"), "slices are left")

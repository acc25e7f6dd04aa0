"""Types of the network that need none: ingresses, addresses, slices."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import check, eventually, has, same
from conformance.operations import annotating, annotation, check_discovery, check_operations
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

_GROUP: Final = "networking.k8s.io/v1"
_LIVE: Final = "[sig-network] API Server should"


@case("[sig-network] Ingress API should support creating Ingress API operations [Conformance]")
async def ingresses(stage: Stage) -> None:
    """Ingresses have all verbs, and a status."""
    await check_discovery(stage, _GROUP, "ingresses", "ingresses/status")
    resource = stage.of(_GROUP, "ingresses", "Ingress")
    backend = {"service": {"name": "default-backend", "port": {"number": 80}}}
    await _check_ingress_status(stage, resource, {"spec": {"defaultBackend": backend}})
    await check_operations(stage, resource, annotating({"spec": {"defaultBackend": backend}}))


async def _check_ingress_status(stage: Stage, resource: Resource, template: JsonObject) -> None:
    name = f"status-{stage.unique}"
    await resource.create({**template, "metadata": {"name": name}})
    balancer: Any = {"ingress": [{"ip": "169.1.1.1"}]}
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"loadBalancer": balancer},
    }
    patched = await resource.patch(name, patch, part="status")
    same(patched["status"]["loadBalancer"], balancer, "the status patched")
    same(annotation(patched, "patchedstatus"), "true", "the annotation patched with it")

    def change(obj: JsonObject) -> None:
        obj["status"]["loadBalancer"] = {"ingress": [{"ip": "169.1.1.2"}]}

    updated = await resource.update(name, change, "status")
    same(updated["status"]["loadBalancer"]["ingress"][0]["ip"], "169.1.1.2", "the status updated")
    gotten = await resource.get(name, "status")
    same(gotten["status"], updated["status"], "the status gotten")


@case(
    "[sig-network] IngressClass API should support creating IngressClass API operations "
    "[Conformance]"
)
async def ingress_classes(stage: Stage) -> None:
    """Their classes have all verbs."""
    await check_discovery(stage, _GROUP, "ingressclasses")
    resource = stage.cluster(_GROUP, "ingressclasses", "IngressClass")
    template = {"spec": {"controller": "example.com/controller"}}
    await check_operations(stage, resource, annotating(template))


@case(
    "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]"
)
async def endpoint_slices(stage: Stage) -> None:
    """EndpointSlices have all verbs."""
    group = "discovery.k8s.io/v1"
    await check_discovery(stage, group, "endpointslices")
    endpoint = {"addresses": ["1.2.3.4", "5.6.7.8"]}
    template = {"addressType": "IPv4", "endpoints": [endpoint]}
    resource = stage.of(group, "endpointslices", "EndpointSlice")
    await check_operations(stage, resource, annotating(template))


@case(
    "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations "
    "[Conformance]"
)
async def ip_addresses(stage: Stage) -> None:
    """IPAddresses have all verbs."""
    await check_discovery(stage, _GROUP, "ipaddresses")
    parent = {"group": "", "resource": "services", "name": "foo", "namespace": "bar"}
    # Documentation's own prefix: no Service of any cluster has an address in it.
    steps = annotating(
        {"spec": {"parentRef": parent}}, name=lambda number: f"2001:db8::{number + 1}"
    )
    await check_operations(stage, stage.cluster(_GROUP, "ipaddresses", "IPAddress"), steps)


@case(
    "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations "
    "[Conformance]"
)
async def service_ranges(stage: Stage) -> None:
    """ServiceCIDRs have all verbs, and a status."""
    await check_discovery(stage, _GROUP, "servicecidrs", "servicecidrs/status")
    resource = stage.cluster(_GROUP, "servicecidrs", "ServiceCIDR")
    template = {"spec": {"cidrs": ["2001:db8:1:2::/108"]}}
    name = f"status-{stage.unique}"
    await resource.create({**template, "metadata": {"name": name}})
    stage.remove(resource, name)
    condition = {
        "type": "Foo",
        "status": "False",
        "reason": "reason",
        "message": "message",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch: Any = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"conditions": [condition]},
    }
    patched = await resource.patch(name, patch, part="status")
    same(annotation(patched, "patchedstatus"), "true", "the annotation patched with the status")
    has([entry["type"] for entry in patched["status"]["conditions"]], "Foo", "conditions")

    def change(obj: JsonObject) -> None:
        obj["status"]["conditions"] = [{**condition, "type": "StatusUpdate"}]

    updated = await resource.update(name, change, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    has(kinds, "StatusUpdate", "conditions updated")
    await check_operations(stage, resource, annotating(template))


@case(f"{_LIVE} provide secure master service [Conformance]")
async def own_service(stage: Stage) -> None:
    """The server has a Service of its own."""
    services = stage.of("v1", "services", "Service").within("default")
    found = await services.get("kubernetes")
    ports = [(port["name"], port["port"]) for port in found["spec"]["ports"]]
    has(ports, ("https", 443), "ports of the Service")


@case(f"{_LIVE} have Endpoints and EndpointSlices pointing to API Server [Conformance]")
async def own_endpoints(stage: Stage) -> None:
    """The Service's Endpoints and EndpointSlices tell of the same addresses and ports."""
    endpoints = await stage.of("v1", "endpoints", "Endpoints").within("default").get("kubernetes")
    subsets = endpoints["subsets"]
    same(len(subsets), 1, "subsets of the Endpoints")
    slices = stage.of("discovery.k8s.io/v1", "endpointslices", "EndpointSlice").within("default")
    found = await slices.items(labelSelector="kubernetes.io/service-name=kubernetes")
    check(found, "there is an EndpointSlice")
    addresses = {entry["ip"] for entry in subsets[0]["addresses"]}
    sliced = {
        address
        for entry in found
        for endpoint in entry["endpoints"]
        for address in endpoint["addresses"]
    }
    same(sliced, addresses, "addresses in EndpointSlices and Endpoints")
    ports = {(port.get("name", ""), port["port"]) for port in subsets[0]["ports"]}
    same({(port.get("name", ""), port["port"]) for port in found[0]["ports"]}, ports, "ports")


@case("[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]")
async def endpoints_lifecycle(stage: Stage) -> None:
    """Create, update, patch, delete by label; a watch tells of each."""
    resource = stage.of("v1", "endpoints", "Endpoints")
    selector = f"test-endpoint-static={stage.unique}"
    labels = {"test-endpoint-static": stage.unique}
    subset = {
        "addresses": [{"ip": "10.0.0.24"}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    async with resource.watch(labelSelector=selector) as watch:
        await resource.create(
            {"metadata": {"name": "testservice", "labels": labels}, "subsets": [subset]}
        )
        await watch.expect("ADDED")
        found = await resource.anywhere().names(labelSelector=selector)
        same(found, ["testservice"], "Endpoints in all namespaces")

        def change(obj: JsonObject) -> None:
            obj["metadata"]["labels"]["test-service"] = "updated"

        await resource.update("testservice", change)
        await watch.until(
            "MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-service") == "updated"
        )
        other: Any = {
            "addresses": [{"ip": "10.0.0.25"}],
            "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}],
        }
        patch = {"metadata": {"labels": {"test-service": "patched"}}, "subsets": [other]}
        await resource.patch("testservice", patch)
        await watch.until(
            "MODIFIED", lambda obj: obj["metadata"]["labels"]["test-service"] == "patched"
        )
        found_subsets = (await resource.get("testservice"))["subsets"]
        same(found_subsets, [other], "subsets as patched")
        await resource.delete_all(selector)
        await watch.until("DELETED")
    await eventually("the Endpoints are gone", lambda: resource.gone("testservice"))

"""Networking: services, endpoints, ingresses, policies, addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, NAME, Layout, shows, worded
from kube.table.text import LIST_MAX, NONE, age_of, name_of


def _service(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    cluster_ips = spec.get("clusterIPs")
    return [
        name_of(obj),
        spec.get("type", ""),
        cluster_ips[0] if cluster_ips else NONE,
        _external_ip(obj),
        ",".join(map(_service_port, spec.get("ports", ()))) or NONE,
        age_of(obj, now_s),
        text.labels(spec.get("selector")),
    ]


def _external_ip(service: JsonObject) -> str:
    spec = service.get("spec", {})
    fixed = spec.get("externalIPs", ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(fixed) or NONE
        case "LoadBalancer":
            assigned = _ingress_points(service)
            return ",".join([*assigned, *fixed]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case _:
            return "<unknown>"


def _ingress_points(obj: JsonObject) -> list[str]:
    """Return the distinct addresses that a load balancer has given, sorted."""
    points = text.dig(obj, "status", "loadBalancer", "ingress") or ()
    return sorted({found for p in points if (found := p.get("ip") or p.get("hostname"))})


def _service_port(port: JsonObject) -> str:
    number, node_port = port.get("port", 0), port.get("nodePort", 0)
    shown = f"{number}:{node_port}" if node_port > 0 else f"{number}"
    return f"{shown}/{port.get('protocol', '')}"


def _ingress(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    return [
        name_of(obj),
        spec.get("ingressClassName", NONE),
        _hosts(spec.get("rules", ())),
        ",".join(_ingress_points(obj)),
        "80, 443" if spec.get("tls") else "80",
        age_of(obj, now_s),
    ]


def _hosts(rules: Sequence[JsonObject]) -> str:
    """Return the first hosts of an Ingress; rules without a host are counted, not shown."""
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == LIST_MAX:
            return f"{','.join(hosts)} + {len(rules) - LIST_MAX} more..."
        if host := rule.get("host"):
            hosts.append(host)
    return ",".join(hosts) or "*"


def _ingress_class(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    shown = NONE
    if (parameters := spec.get("parameters")) is not None:
        kind, group = parameters.get("kind", ""), parameters.get("apiGroup")
        kind = kind if group is None else f"{kind}.{group}"
        shown = f"{kind}/{parameters.get('name', '')}"
    return [name_of(obj), spec.get("controller", ""), shown, age_of(obj, now_s)]


def _network_policy(obj: JsonObject, now_s: float) -> list[Any]:
    chosen = text.selector_or_none(obj.get("spec", {}).get("podSelector"))
    return [name_of(obj), chosen, age_of(obj, now_s)]


def _endpoints(obj: JsonObject, now_s: float) -> list[Any]:
    shown: list[str] = []
    for subset in obj.get("subsets", ()):
        addresses = [item.get("ip", "") for item in subset.get("addresses", ())]
        ports = subset.get("ports")
        if not ports:  # a headless service may have none
            shown += addresses
        for port in ports or ():
            shown += [_host_port(address, port.get("port", 0)) for address in addresses]
    listed = text.shortened(shown) if shown else ""
    return [name_of(obj), listed if obj.get("subsets") else NONE, age_of(obj, now_s)]


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoint_slice(obj: JsonObject, now_s: float) -> list[Any]:
    ports = [str(port.get("port", port.get("name", "*"))) for port in obj.get("ports") or ()]
    addresses = [a for item in obj.get("endpoints") or () for a in item.get("addresses", ())]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        text.shortened(ports),
        text.shortened(addresses),
        age_of(obj, now_s),
    ]


def _service_cidr(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), ",".join(obj.get("spec", {}).get("cidrs", ())), age_of(obj, now_s)]


def _ip_address(obj: JsonObject, now_s: float) -> list[Any]:
    """Return name, parent and an age that no column announces: upstream's rows are so."""
    parent = obj.get("spec", {}).get("parentRef")
    shown = NONE
    if parent is not None:
        resource, group = parent.get("resource", ""), parent.get("group", "")
        parts = [(f"{resource}.{group}" if group else resource).lower()]
        parts += [parent["namespace"]] if parent.get("namespace") else []
        shown = "/".join([*parts, parent.get("name", "")])
    return [name_of(obj), shown, age_of(obj, now_s)]


LAYOUTS: Final = {
    "services": Layout(
        columns=(
            NAME,
            shows("Type", "core.v1.ServiceSpec.type"),
            shows("Cluster-IP", "core.v1.ServiceSpec.clusterIP"),
            shows("External-IP", "core.v1.ServiceSpec.externalIPs"),
            shows("Port(s)", "core.v1.ServiceSpec.ports"),
            AGE,
            shows("Selector", "core.v1.ServiceSpec.selector", wide=True),
        ),
        cells=_service,
    ),
    "networking.k8s.io/ingresses": Layout(
        columns=(
            NAME,
            worded("Class", "The IngressClass that the ingress belongs to."),
            worded("Hosts", "The hosts that requests are matched against."),
            worded("Address", "The load balancer's ingress points."),
            worded("Ports", "The ports that are open."),
            AGE,
        ),
        cells=_ingress,
    ),
    "networking.k8s.io/ingressclasses": Layout(
        columns=(
            NAME,
            worded("Controller", "What handles ingresses of this class."),
            worded("Parameters", "The object with more parameters of this class."),
            AGE,
        ),
        cells=_ingress_class,
    ),
    "networking.k8s.io/networkpolicies": Layout(
        (NAME, shows("Pod-Selector", "networking.v1.NetworkPolicySpec.podSelector"), AGE),
        _network_policy,
    ),
    "endpoints": Layout((NAME, shows("Endpoints", "core.v1.Endpoints.subsets"), AGE), _endpoints),
    "discovery.k8s.io/endpointslices": Layout(
        columns=(
            NAME,
            shows("AddressType", "discovery.v1.EndpointSlice.addressType"),
            shows("Ports", "discovery.v1.EndpointSlice.ports"),
            shows("Endpoints", "discovery.v1.EndpointSlice.endpoints"),
            AGE,
        ),
        cells=_endpoint_slice,
    ),
    "networking.k8s.io/servicecidrs": Layout(
        (NAME, shows("CIDRs", "networking.v1.ServiceCIDRSpec.cidrs"), AGE), _service_cidr
    ),
    "networking.k8s.io/ipaddresses": Layout(
        (NAME, shows("ParentRef", "networking.v1.IPAddressSpec.parentRef")), _ip_address
    ),
}

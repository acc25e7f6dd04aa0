"""The subsets of Endpoints: packed into their canonical form, and cut to what an object may hold.

By pkg/api/v1/endpoints and pkg/controller/endpoint. Addresses are sorted by address and uid, ports
and subsets by what they say: the same pods give the same object. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from controllers.network import backends
from controllers.workloads.pods import PodBrief
from kube.json_types import JsonObject

ADDRESSES_MAX: Final = 1000
_PortKey = tuple[str, int, str, str | None]
_AddressKey = tuple[str, str]
_Ports = tuple[_PortKey, ...]
_States = dict[_AddressKey, bool]
_NO_PORTS: Final[_PortKey] = ("", 0, "", None)
"""Stands for a headless Service without ports."""


class Subset(NamedTuple):
    """Addresses that are ready, and that are not, and ports that all of them have.

    Attributes:
        pods: whose addresses they are, and perhaps others.
    """

    ports: list[JsonObject]
    ready: list[_AddressKey]
    unready: list[_AddressKey]
    pods: Mapping[_AddressKey, PodBrief]


def subsets_of(service: JsonObject, pods: Iterable[PodBrief]) -> list[Subset]:
    """Return the subsets that a Service's pods make, packed."""
    spec = service["spec"]
    unready_too = bool(spec.get("publishNotReadyAddresses"))
    ports = spec.get("ports") or []
    family = backends.families_of(service)[0] if spec.get("ipFamilies") else ""
    found: dict[_AddressKey, PodBrief] = {}
    # Pods of one template have the same ports: of ten thousand pods that is one group.
    known: dict[tuple[tuple[str, str, int], ...], _Ports] = {}
    groups: dict[_Ports, _States] = {}
    if not ports and spec.get("clusterIP") != "None":
        return []
    for pod in pods:
        if not backends.is_listed(pod, even_terminating=unready_too):
            continue
        ip = _ip_of(pod, family, service)
        if ip is None:
            continue
        key = (ip, pod.uid)
        found.setdefault(key, pod)
        named = pod.network.ports
        told = known.get(named)
        if told is None:
            told = known[named] = tuple(dict.fromkeys(_ports_of(pod, ports)))
            groups.setdefault(told, {})
        # Not ready counts more than ready, should one address be told of twice.
        group = groups[told]
        group[key] = group.get(key, True) and (unready_too or pod.ready_s is not None)
    return [
        Subset([_port(port) for port in ports if port != _NO_PORTS], *states, found)
        for ports, states in _pack(groups)
    ]


def _ip_of(pod: PodBrief, family: str, service: JsonObject) -> str | None:
    if not family:
        # A server that knows no families: the address of the Service decides, or the pod's first.
        address = service["spec"].get("clusterIP", "")
        first = pod.network.ips[0] if address in ("", "None") else address
        family = "IPv6" if ":" in first else "IPv4"
    is_wanted = family == "IPv6"
    return next((ip for ip in pod.network.ips if (":" in ip) is is_wanted), None)


def _address(ip: str, pod: PodBrief, service: JsonObject) -> JsonObject:
    address: JsonObject = {"ip": ip}
    if hostname := backends.hostname_in(pod, service):
        address["hostname"] = hostname
    if pod.node:
        address["nodeName"] = pod.node
    address["targetRef"] = backends.target_of(pod)
    return address


def _ports_of(pod: PodBrief, ports: list[JsonObject]) -> Iterable[_PortKey]:
    if not ports:
        yield _NO_PORTS
    for port in ports:
        number = backends.find_port(pod, port)
        if number is not None:
            protocol = port.get("protocol", "TCP")
            yield port.get("name", ""), number, protocol, port.get("appProtocol")


def _pack(
    groups: dict[_Ports, _States],
) -> list[tuple[list[_PortKey], tuple[list[_AddressKey], list[_AddressKey]]]]:
    """Put ports that have the same addresses, in the same state, together.

    Args:
        groups: addresses, and whether they are ready, by all the ports that they have.

    Returns:
        The ports, and the addresses that are ready and that are not, all in order.
    """
    # Which groups have a port says which addresses have it, as no address is in two groups.
    having: dict[_PortKey, list[_Ports]] = {}
    for ports in groups:
        for port in ports:
            having.setdefault(port, []).append(ports)
    together: dict[tuple[_Ports, ...], list[_PortKey]] = {}
    for port, all_of_it in having.items():
        together.setdefault(tuple(all_of_it), []).append(port)
    packed = []
    for names, found in together.items():
        states = [one for name in names for one in groups[name].items()]
        chosen = sorted(key for key, is_ready in states if is_ready)
        others = sorted(key for key, is_ready in states if not is_ready)
        packed.append((sorted(found, key=_port_order), (chosen, others)))
    return sorted(packed, key=lambda one: [_port_order(port) for port in one[0]])


def _port_order(port: _PortKey) -> tuple[str, int, str, str]:
    return port[0], port[1], port[2], port[3] or ""


def _port(key: _PortKey) -> JsonObject:
    name, number, protocol, application = key
    port: JsonObject = {"port": number, "protocol": protocol}
    if name:
        port["name"] = name
    if application is not None:
        port["appProtocol"] = application
    return port


def render(subsets: Sequence[Subset], service: JsonObject) -> list[JsonObject]:
    """Return subsets as an object has them."""
    rendered = []
    for subset in subsets:
        made: JsonObject = {}
        for name, keys in (("addresses", subset.ready), ("notReadyAddresses", subset.unready)):
            if keys:
                made[name] = [_address(key[0], subset.pods[key], service) for key in keys]
        if subset.ports:
            made["ports"] = subset.ports
        rendered.append(made)
    return rendered


def truncate(subsets: Sequence[Subset]) -> tuple[list[Subset], bool]:
    """Return subsets of at most 1000 addresses, ready ones first; and whether any was cut off."""
    ready = sum(len(one.ready) for one in subsets)
    unready = sum(len(one.unready) for one in subsets)
    if ready + unready <= ADDRESSES_MAX:
        return list(subsets), False
    cuts_ready = ready > ADDRESSES_MAX
    most, total = (ADDRESSES_MAX, ready) if cuts_ready else (ADDRESSES_MAX - ready, unready)
    left, cut = most, []
    for subset in subsets:
        found = subset.ready if cuts_ready else subset.unready
        # Each subset has its share, rounded up, so the last may get less.
        share = min(left, math.ceil(len(found) / total * most))
        left -= min(share, len(found))
        kept = (
            subset._replace(ready=found[:share], unready=[])
            if cuts_ready
            else subset._replace(unready=found[:share])
        )
        if kept.ready or kept.unready:
            cut.append(kept)
    return cut, True

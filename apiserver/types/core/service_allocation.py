"""What a Service needs from the cluster's pools of addresses and node ports.

`wanted` is called before the type's own hooks, as upstream does: it carries over what the user left
out of an update, keeps clusterIP and clusterIPs in step, settles IP families (all in place), and
says what is to be allocated and released. The caller picks values, then calls `assign`.

    allocation = wanted(new, old)            # old is None at a create
    if allocation.errors: refuse with 422
    assign(new, allocation, ips=..., ports=...)   # one value for each request, in order

Nothing here knows the pools; `Released` values go back to them only once the write is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from apiserver.types.core.service_facts import (
    EXTERNAL_TYPES,
    HEADLESS,
    ROUTED_TYPES,
    needs_health_check,
    spec_of,
)
from apiserver.types.core.service_families import settle_families
from kube.field import FieldError, invalid
from kube.json_types import JsonObject

HEALTH_CHECK: Final = -1


@dataclass(frozen=True, slots=True)
class IpRequest:
    """An address of `family` for `clusterIPs[index]`; `ip` is the one asked for, "" for any."""

    family: str
    ip: str
    index: int


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A node port for the listed ports; `port` is the one asked for, 0 for any.

    Ports of the same number (a DNS server's TCP and UDP) share one node port.
    `indexes` holds positions in spec.ports, or `HEALTH_CHECK`.
    """

    port: int
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """What to take from the pools, what to give back, and what is wrong with the wish."""

    ips: tuple[IpRequest, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    released_ips: tuple[str, ...] = ()
    released_ports: tuple[int, ...] = ()
    errors: list[FieldError] = field(default_factory=list)


def _node_ports(spec: JsonObject) -> list[int]:
    return [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]


def _carry_over(new: JsonObject, old: JsonObject) -> None:
    """Fill in allocated values that an update leaves out, so that it stays idempotent."""
    if old.get("type") != "ExternalName" and new.get("type") != "ExternalName":
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        same = new.get("clusterIP", "") == old.get("clusterIP", "")
        if not new.get("clusterIPs") and same and old.get("clusterIPs"):
            new["clusterIPs"] = list(old["clusterIPs"])
    if old.get("type") in EXTERNAL_TYPES and new.get("type") in EXTERNAL_TYPES:
        used = set(_node_ports(old)) & set(_node_ports(new))
        by_name = {port.get("name", ""): port.get("nodePort", 0) for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            known = by_name.get(port.get("name", ""), 0)
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
                used.add(known)
    if needs_health_check(old) and needs_health_check(new) and old.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = new.get("healthCheckNodePort") or old["healthCheckNodePort"]


def _align_cluster_ips(new: JsonObject, old: JsonObject | None) -> None:
    """Make clusterIPs follow clusterIP for clients that know only the singular."""
    ip, ips = new.get("clusterIP", ""), new.get("clusterIPs") or []
    if old is None:
        if ip and not ips:
            new["clusterIPs"] = [ip]
        return
    old_ip, old_ips = old.get("clusterIP", ""), old.get("clusterIPs") or []
    if old_ips and not ips and ip == old_ip:
        new["clusterIPs"] = ips = list(old_ips)
    if ip != old_ip and ips == old_ips:
        if ip:
            new["clusterIPs"] = [ip]
        elif old_ip:
            new.pop("clusterIPs", None)


def _all_ips(spec: JsonObject) -> tuple[IpRequest, ...]:
    ips = spec.get("clusterIPs") or []
    if spec.get("type") == "ExternalName" or ips[:1] == [HEADLESS]:
        return ()
    return tuple(
        IpRequest(family, ips[index] if index < len(ips) else "", index)
        for index, family in enumerate(spec.get("ipFamilies") or [])
    )


def _changed_ips(new: JsonObject, old: JsonObject) -> tuple[tuple[IpRequest, ...], tuple[str, ...]]:
    """Return the addresses an update takes, and those it gives back."""
    if _keeps_dual_stack(new, old):
        return (), ()
    if old.get("type") == "ExternalName":
        return _all_ips(new), ()
    old_ips = old.get("clusterIPs") or []
    if old_ips[:1] == [HEADLESS]:
        return (), ()
    if new.get("type") == "ExternalName":
        return (), tuple(old_ips)
    families, old_families = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    if len(old_families) == 1 and len(families) == 2:
        return _all_ips(new)[1:], ()
    if len(old_families) == 2 and len(families) == 1:
        return (), tuple(old_ips[1:])
    return (), ()


def _keeps_dual_stack(new: JsonObject, old: JsonObject) -> bool:
    """Whether a PreferDualStack service stays as it is, whatever the cluster has become."""
    return (
        new.get("type") == old.get("type")
        and new.get("type") in ROUTED_TYPES
        and new.get("ipFamilyPolicy") == "PreferDualStack"
        and old.get("ipFamilyPolicy", "PreferDualStack") == "PreferDualStack"
        and (new.get("clusterIPs") or []) == (old.get("clusterIPs") or [])
        and (new.get("ipFamilies") or []) == (old.get("ipFamilies") or [])
    )


def _allocates_ports(spec: JsonObject) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and bool(spec.get("allocateLoadBalancerNodePorts", True))
    )


def _first_ports(spec: JsonObject) -> list[PortRequest]:
    """Return the node ports a new service needs."""
    ports = spec.get("ports") or []
    anyone = _allocates_ports(spec)
    asked: dict[int, int] = {}
    for port in ports:
        if port.get("nodePort"):
            asked.setdefault(port.get("port", 0), port["nodePort"])
    shared: dict[int, tuple[int, list[int]]] = {}
    requests: list[PortRequest] = []
    for index, port in enumerate(ports):
        own, number = port.get("nodePort", 0), port.get("port", 0)
        if not own and not anyone:
            continue
        if number not in shared:
            shared[number] = (asked.get(number, 0), [index])
        elif own in {0, shared[number][0]}:
            shared[number][1].append(index)
        else:
            requests.append(PortRequest(own, (index,)))
    requests.extend(PortRequest(port, tuple(at)) for port, at in shared.values())
    return sorted(requests, key=lambda request: request.indexes)


def _changed_ports(new: JsonObject, old: JsonObject) -> tuple[list[PortRequest], list[int]]:
    """Return the node ports an update takes, and those it gives back."""
    held = _node_ports(old)
    if new.get("type") not in EXTERNAL_TYPES:
        return [], held if old.get("type") in EXTERNAL_TYPES else []
    anyone = _allocates_ports(new)
    requests: list[PortRequest] = []
    taken = set(held)
    for index, port in enumerate(new.get("ports") or []):
        own = port.get("nodePort", 0)
        if own and own not in taken:
            requests.append(PortRequest(own, (index,)))
            taken.add(own)
        elif not own and anyone:
            requests.append(PortRequest(0, (index,)))
    wanted_now = set(_node_ports(new))
    return requests, [port for port in held if port not in wanted_now]


def wanted(
    new: JsonObject, old: JsonObject | None, families: Sequence[str] = ("IPv4",)
) -> Allocation:
    """Settle a Service's address fields in place, and say what it takes and gives back.

    Args:
        new: the Service to be written, defaulted; changed in place.
        old: the stored Service, None at a create; left alone.
        families: the cluster's IP families, the default one first.
    """
    spec = spec_of(new)
    before = spec_of(old) if old is not None else None
    if before is not None:
        _carry_over(spec, before)
    _align_cluster_ips(spec, before)
    kept = before is not None and _keeps_dual_stack(spec, before)
    if not kept and (errors := settle_families(spec, before, families)):
        return Allocation(errors=errors)
    released_ips: tuple[str, ...] = ()
    if before is None:
        ports = _first_ports(spec) if spec.get("type") in EXTERNAL_TYPES else []
        released_ports: list[int] = []
        ips = _all_ips(spec)
        had_check = False
    else:
        ports, released_ports = _changed_ports(spec, before)
        ips, released_ips = _changed_ips(spec, before)
        had_check = needs_health_check(before)
        if had_check and not needs_health_check(spec) and before.get("healthCheckNodePort"):
            released_ports.append(before["healthCheckNodePort"])
    if needs_health_check(spec) and not had_check:
        ports.append(PortRequest(spec.get("healthCheckNodePort", 0), (HEALTH_CHECK,)))
    return Allocation(ips, tuple(ports), released_ips, tuple(released_ports))


def assign(
    new: JsonObject, allocation: Allocation, *, ips: Sequence[str], ports: Sequence[int]
) -> None:
    """Write the picked values, one for each request and in the requests' order, into `new`."""
    spec = spec_of(new)
    for ip_request, ip in zip(allocation.ips, ips, strict=True):
        listed = spec.setdefault("clusterIPs", [])
        if ip_request.index < len(listed):
            listed[ip_request.index] = ip
        else:
            listed.append(ip)
        if ip_request.index == 0:
            spec["clusterIP"] = ip
    for port_request, port in zip(allocation.ports, ports, strict=True):
        for index in port_request.indexes:
            if index == HEALTH_CHECK:
                spec["healthCheckNodePort"] = port
            else:
                spec["ports"][index]["nodePort"] = port


def held(obj: JsonObject) -> Allocation:
    """Return all that a Service holds, as released values: what its deletion gives back."""
    spec = spec_of(obj)
    ips = [] if spec.get("type") == "ExternalName" else spec.get("clusterIPs") or []
    ports = _node_ports(spec)
    if needs_health_check(spec) and spec.get("healthCheckNodePort"):
        ports.append(spec["healthCheckNodePort"])
    return Allocation(
        released_ips=tuple(ip for ip in ips if ip != HEADLESS), released_ports=tuple(ports)
    )


def ip_refused(obj: JsonObject, ip: str, why: str) -> FieldError:
    """Word the pool's refusal of an address."""
    ips = spec_of(obj).get("clusterIPs") or []
    return invalid("spec.clusterIPs", ips, f"failed to allocate IP {ip}: {why}")


def port_refused(request: PortRequest, why: str) -> FieldError:
    """Word the pool's refusal of a node port; upstream ends in a 500 for a health check's."""
    if request.indexes[0] == HEALTH_CHECK:
        return invalid("spec.healthCheckNodePort", request.port, why)
    return invalid(f"spec.ports[{request.indexes[0]}].nodePort", request.port, why)

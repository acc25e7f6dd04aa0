"""Questions about a Service's spec that its defaults, checks and allocation all ask."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import Address, parse_ip_sloppy
from kube.field import FieldError, invalid
from kube.json_types import JsonObject

HEADLESS: Final = "None"
ROUTED_TYPES: Final = frozenset({"ClusterIP", "NodePort", "LoadBalancer"})
EXTERNAL_TYPES: Final = frozenset({"NodePort", "LoadBalancer"})


def spec_of(obj: JsonObject) -> JsonObject:
    """Return the spec, made if absent."""
    spec: JsonObject = obj.setdefault("spec", {})
    return spec


def is_headless(spec: JsonObject) -> bool:
    """Whether no address is wanted."""
    return spec.get("clusterIPs") == [HEADLESS]


def externally_accessible(spec: JsonObject) -> bool:
    """Whether traffic from outside the cluster can reach the service."""
    kind = spec.get("type")
    return kind in EXTERNAL_TYPES or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: JsonObject) -> bool:
    """Whether load balancers need a port that tells them where endpoints are."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _special_faults(address: Address, text: str) -> list[str]:
    faults: list[str] = []
    if address.is_unspecified:
        faults.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        faults.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    multicast = address.is_multicast
    packed = address.packed
    if address.is_link_local and not multicast:
        faults.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    local_v4 = address.version == 4 and packed[:3] == b"\xe0\x00\x00"
    local_v6 = address.version == 6 and packed[0] == 0xFF and packed[1] & 0x0F == 0x02
    if local_v4 or local_v6:
        faults.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return faults


def special_ip_errors(text: str, path: str) -> list[FieldError]:
    """Refuse addresses that cannot lead to an endpoint: loopback, link-local, unspecified."""
    address = parse_ip_sloppy(text)
    if address is None:
        return [invalid(path, text, "must be a valid IP address")]
    return [invalid(path, text, fault) for fault in _special_faults(address, text)]

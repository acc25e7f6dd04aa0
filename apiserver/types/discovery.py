"""EndpointSlice: the addresses behind a service, up to a thousand a slice."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import ip_family, is_valid_ip_legacy
from apiserver.types.core.service_facts import special_ip_errors
from apiserver.types.core.service_validation import PROTOCOLS
from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_label_value,
)
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_immutable, validate_labels
from kube.field import FieldError, duplicate, invalid, not_supported, required, too_many
from kube.json_types import JsonObject

ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")
ENDPOINTS_MAX: Final = 1000
ADDRESSES_MAX: Final = 100
PORTS_MAX: Final = 20_000
HINTS_MAX: Final = 8
TOPOLOGY_LABELS_MAX: Final = 16


def default(obj: JsonObject) -> None:
    """Default the name and the protocol of ports."""
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _domain_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    bare = name.removesuffix(".")
    if faults := is_dns1123_subdomain(bare):
        return [invalid(path, bare, ",".join(faults))]
    if "." not in bare:
        text = "should be a domain with at least two segments separated by dots"
        return [invalid(path, bare, text)]
    return [
        invalid(path, label, ",".join(faults))
        for label in bare.split(".")
        if (faults := is_dns1123_label(label))
    ]


def _address_errors(address: str, kind: str, path: str) -> list[FieldError]:
    if kind == "FQDN":
        return _domain_errors(address, path)
    if kind not in ADDRESS_TYPES:
        return []
    if errors := check_string(address, path, is_valid_ip_legacy):
        return errors
    errors = []
    if ip_family(address) != kind:
        errors.append(invalid(path, address, f"must be an {kind} address"))
    return errors + special_ip_errors(address, path)


def _hint_errors(hints: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, check in (("forZones", is_valid_label_value), ("forNodes", is_dns1123_subdomain)):
        items = hints.get(key) or []
        if len(items) > HINTS_MAX:
            errors.append(too_many(f"{path}.{key}", len(items), HINTS_MAX))
            continue
        seen: set[str] = set()
        for index, item in enumerate(items):
            name, where = item.get("name", ""), f"{path}.{key}[{index}].name"
            if name in seen:
                errors.append(duplicate(where, name))
            seen.add(name)
            errors += check_string(name, where, check)
    return errors


def _endpoint_errors(endpoint: JsonObject, kind: str, path: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > ADDRESSES_MAX:
        errors.append(too_many(f"{path}.addresses", len(addresses), ADDRESSES_MAX))
    for index, address in enumerate(addresses):
        errors += _address_errors(address, kind, f"{path}.addresses[{index}]")
    if (node := endpoint.get("nodeName")) is not None:
        errors += check_string(node, f"{path}.nodeName", is_dns1123_subdomain)
    if topology := endpoint.get("deprecatedTopology"):
        where = f"{path}.deprecatedTopology"
        if len(topology) > TOPOLOGY_LABELS_MAX:
            errors.append(too_many(where, len(topology), TOPOLOGY_LABELS_MAX))
        errors += validate_labels(topology, where)
    if (hostname := endpoint.get("hostname")) is not None:
        errors += check_string(hostname, f"{path}.hostname", is_dns1123_label)
    if (hints := endpoint.get("hints")) is not None:
        errors += _hint_errors(hints, f"{path}.hints")
    return errors


def _port_errors(ports: list[JsonObject]) -> list[FieldError]:
    if len(ports) > PORTS_MAX:
        return [too_many("ports", len(ports), PORTS_MAX)]
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            errors += check_string(name, f"{path}.name", is_dns1123_label)
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
        protocol = port.get("protocol")
        if protocol is None:
            errors.append(required(f"{path}.protocol"))
        elif protocol not in PROTOCOLS:
            errors.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS))
        if (application := port.get("appProtocol")) is not None:
            errors += check_string(application, f"{path}.appProtocol", is_qualified_name)
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check an EndpointSlice."""
    kind = obj.get("addressType", "")
    errors: list[FieldError] = []
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ADDRESS_TYPES:
        errors.append(not_supported("addressType", kind, ADDRESS_TYPES))
    endpoints = obj.get("endpoints") or []
    if len(endpoints) > ENDPOINTS_MAX:
        errors.append(too_many("endpoints", len(endpoints), ENDPOINTS_MAX))
    else:
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint_errors(endpoint, kind, f"endpoints[{index}]")
    return errors + _port_errors(obj.get("ports") or [])


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an EndpointSlice that is to replace `old`."""
    after, before = new.get("addressType", ""), old.get("addressType", "")
    return validate(new) + validate_immutable(after, before, "addressType")


HOOKS: Final = {
    "discovery.k8s.io/endpointslices": TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=validate_update,
        generation=True,
    )
}

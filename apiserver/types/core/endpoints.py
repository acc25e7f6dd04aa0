"""Endpoints: addresses and ports of a service's backends, the predecessor of EndpointSlice."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import is_valid_ip_legacy
from apiserver.types.core.service_facts import special_ip_errors
from apiserver.types.core.service_validation import PROTOCOLS
from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_port_num,
)
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject


def default(obj: JsonObject) -> None:
    """Default the protocol of ports."""
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _address_errors(address: JsonObject, path: str) -> list[FieldError]:
    ip = address.get("ip", "")
    errors = check_string(ip, f"{path}.ip", is_valid_ip_legacy)
    if hostname := address.get("hostname"):
        errors += check_string(hostname, f"{path}.hostname", is_dns1123_label)
    if (node := address.get("nodeName")) is not None:
        errors += check_string(node, f"{path}.nodeName", is_dns1123_subdomain)
    return errors + special_ip_errors(ip, f"{path}.ip")


def _port_errors(port: JsonObject, path: str, *, named: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := port.get("name"):
        errors += check_string(name, f"{path}.name", is_dns1123_label)
    elif named:
        errors.append(required(f"{path}.name"))
    number, protocol = port.get("port", 0), port.get("protocol", "")
    errors.extend(invalid(f"{path}.port", number, m) for m in is_valid_port_num(number))
    if not protocol:
        errors.append(required(f"{path}.protocol"))
    elif protocol not in PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS))
    if (application := port.get("appProtocol")) is not None:
        errors += check_string(application, f"{path}.appProtocol", is_qualified_name)
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check an Endpoints object."""
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            text = "must specify `addresses` or `notReadyAddresses`"
            errors.append(required(path, text))
        for key in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(key) or ()):
                errors += _address_errors(address, f"{path}.{key}[{at}]")
        ports = subset.get("ports") or ()
        for at, port in enumerate(ports):
            errors += _port_errors(port, f"{path}.ports[{at}]", named=len(ports) > 1)
    return errors


def validate_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check an Endpoints object that replaces another."""
    return validate(new)


HOOKS: Final = {
    "endpoints": TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=validate_update,
        allow_create_on_update=True,
    )
}

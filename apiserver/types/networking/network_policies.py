"""NetworkPolicy: which peers may talk to which pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.types.addresses import is_valid_cidr_legacy, parse_cidr_sloppy
from apiserver.types.formats import is_valid_port_name, is_valid_port_num
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_label_selector
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
POLICY_TYPES: Final = ("Ingress", "Egress")
_DIRECTIONS: Final = (("ingress", "from"), ("egress", "to"))


def default(obj: JsonObject) -> None:
    """Default ports' protocol, and the policy's types by what rules it has."""
    spec = obj.setdefault("spec", {})
    for direction, _ in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _port_errors(port: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS))
    where = f"{path}.endPort"
    if number is None:
        if end is not None:
            errors.append(invalid(where, end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        if end is not None:
            errors.append(invalid(where, end, "may not be specified when `port` is non-numeric"))
        errors += check_string(number, f"{path}.port", is_valid_port_name)
    else:
        errors.extend(invalid(f"{path}.port", number, m) for m in is_valid_port_num(number))
        if end is not None:
            if end < number:
                errors.append(invalid(where, end, "must be greater than or equal to `port`"))
            errors.extend(invalid(where, end, fault) for fault in is_valid_port_num(end))
    return errors


def _block_errors(block: JsonObject, path: str, known: frozenset[str]) -> list[FieldError]:
    cidr = block.get("cidr", "")
    if not cidr:
        return [required(f"{path}.cidr")]
    errors: list[FieldError] = []
    if cidr not in known:
        errors += check_string(cidr, f"{path}.cidr", is_valid_cidr_legacy)
    parsed = parse_cidr_sloppy(cidr)
    if parsed is None:
        return errors
    network = parsed[1]
    for index, text in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        if text not in known:
            errors += check_string(text, where, is_valid_cidr_legacy)
        inner = parse_cidr_sloppy(text)
        if inner is None:
            continue
        inside = inner[1].version == network.version and inner[1].network_address in network
        if not inside or network.prefixlen >= inner[1].prefixlen:
            errors.append(invalid(where, text, "must be a strict subset of `cidr`"))
    return errors


def _peer_errors(peer: JsonObject, path: str, known: frozenset[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selectors:
        errors += validate_label_selector(peer[key], f"{path}.{key}")
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block_errors(block, f"{path}.ipBlock", known)
        if selectors:
            errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not selectors:
        errors.append(required(path, "must specify a peer"))
    return errors


def _validate(obj: JsonObject, known: frozenset[str] = frozenset()) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors = validate_label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in _DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                errors += _port_errors(port, f"{path}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers) or ()):
                errors += _peer_errors(peer, f"{path}.{peers}[{at}]", known)
    types = spec.get("policyTypes") or []
    if len(types) > len(POLICY_TYPES):
        text = "may not specify more than two policyTypes"
        return [*errors, invalid("spec.policyTypes", types, text)]
    errors.extend(
        not_supported(f"spec.policyTypes[{index}]", kind, POLICY_TYPES)
        for index, kind in enumerate(types)
        if kind not in POLICY_TYPES
    )
    return errors


def _ranges(obj: JsonObject) -> Iterator[str]:
    for direction, peers in _DIRECTIONS:
        for rule in obj.get("spec", {}).get(direction) or ():
            for peer in rule.get(peers) or ():
                if (block := peer.get("ipBlock")) is not None:
                    yield block.get("cidr", "")
                    yield from block.get("except") or ()


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new NetworkPolicy."""
    return _validate(obj)


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a NetworkPolicy that is to replace `old`; ranges it had are left alone."""
    return _validate(new, frozenset(_ranges(old)))


HOOKS: Final = {
    "networking.k8s.io/networkpolicies": TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=validate_update,
        generation=True,
    )
}

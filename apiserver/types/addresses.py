"""IP addresses and CIDR ranges as the Kubernetes API reads them.

Two grades: *strict* values must be in canonical form (new fields); *legacy* ones need only be
unambiguous (fields that predate the strict rule). Rules and wording follow k8s.io/apimachinery
`util/validation/ip.go`. Results are cached and shared: callers must not change them.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

from kube.field import quote
from kube.text_cache import text_cache

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_CACHED: Final = 8192
_NOT_AN_IP: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_NOT_A_CIDR: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _strict_address(text: str) -> Address | None:
    # Zones have no place in the API, though ipaddress takes them.
    if "%" in text or not text.isascii():
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _without_leading_zeros(text: str) -> str:
    octets = text.split(".")
    if len(octets) != 4 or not all(octet.isdigit() and octet.isascii() for octet in octets):
        return text
    return ".".join(octet.lstrip("0") or "0" for octet in octets)


@text_cache(maxsize=_CACHED)
def parse_ip_sloppy(text: str) -> Address | None:
    """Return the address `text` means, leading zeros of octets forgiven; None: not an address.

    An IPv4 address mapped into IPv6 is that IPv4 address, as Go's net.IP has it.
    """
    address = _strict_address(text) or _strict_address(_without_leading_zeros(text))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_ip(text: str) -> bool:
    """Whether `text` is an IP address by today's `net.ParseIP` (no leading zeros)."""
    return _strict_address(text) is not None


def ip_family(text: str) -> str:
    """Return "IPv4", "IPv6", or "" for what is no address."""
    address = parse_ip_sloppy(text)
    return "" if address is None else f"IPv{address.version}"


@text_cache(maxsize=_CACHED)
def is_valid_ip_legacy(text: str) -> list[str]:
    """Check an address in a field that predates the canonical rule."""
    if parse_ip_sloppy(text) is None:
        return [_NOT_AN_IP]
    address = _strict_address(text)
    if address is None:
        return ["must not have leading 0s"]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return ["must not be an IPv4-mapped IPv6 address"]
    return []


@text_cache(maxsize=_CACHED)
def is_valid_ip(text: str) -> list[str]:
    """Check an address that must be in canonical form."""
    errors = is_valid_ip_legacy(text)
    canonical = str(parse_ip_sloppy(text))
    if not errors and canonical != text:
        return [f"must be in canonical form ({quote(canonical)})"]
    return errors


@text_cache(maxsize=_CACHED)
def parse_cidr_sloppy(text: str) -> tuple[Address, Network] | None:
    """Return the address and the network that `text` means, or None."""
    head, slash, length = text.rpartition("/")
    if not slash or not length.isdigit() or not length.isascii():
        return None
    strict = _strict_address(head) or _strict_address(_without_leading_zeros(head))
    if strict is None:
        return None
    try:
        interface = ipaddress.ip_interface(f"{strict}/{int(length)}")
    except ValueError:
        return None
    return interface.ip, interface.network


@text_cache(maxsize=_CACHED)
def is_valid_cidr_legacy(text: str) -> list[str]:
    """Check a range in a field that predates the canonical rule."""
    parsed = parse_cidr_sloppy(text)
    if parsed is None:
        return [_NOT_A_CIDR]
    head, _, length = text.rpartition("/")
    if _strict_address(head) is None or (len(length) > 1 and length.startswith("0")):
        return ["must not have leading 0s in IP or prefix length"]
    address, network = parsed
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return ["must not have an IPv4-mapped IPv6 address"]
    if address != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return []


@text_cache(maxsize=_CACHED)
def is_valid_cidr(text: str) -> list[str]:
    """Check a range that must be in canonical form."""
    errors = is_valid_cidr_legacy(text)
    parsed = parse_cidr_sloppy(text)
    if not errors and parsed is not None and str(parsed[1]) != text:
        return [f"must be in canonical form ({quote(str(parsed[1]))})"]
    return errors


def ip_warnings(path: str, text: str) -> list[str]:
    """Warn of an address that passes, but is not in the form it should have."""
    sloppy = parse_ip_sloppy(text)
    if sloppy is None:
        return []
    if is_valid_ip_legacy(text):
        return [
            f"{path}: non-standard IP address {quote(text)} is invalid: use {quote(str(sloppy))}"
        ]
    if sloppy.version == 6 and str(sloppy) != text:
        return [
            f"{path}: IPv6 address {quote(text)} should be in RFC 5952 canonical format "
            f"({quote(str(sloppy))})"
        ]
    return []


def cidr_warnings(path: str, text: str) -> list[str]:
    """Warn of a range that passes, but is not in the form it should have."""
    parsed = parse_cidr_sloppy(text)
    if parsed is None:
        return []
    address, network = parsed
    warnings = []
    if address != network.network_address:
        single = f"{address}/{address.max_prefixlen}"
        warnings.append(
            f"{path}: CIDR value {quote(text)} is ambiguous in this context "
            f"(should be {quote(str(network))} or {quote(single)}?)"
        )
    problems = is_valid_cidr_legacy(text)
    if problems and "bits set" not in problems[0]:
        warnings.append(
            f"{path}: non-standard CIDR value {quote(text)} is invalid: use {quote(str(network))}"
        )
    if not warnings and network.version == 6 and str(network) != text:
        warnings.append(
            f"{path}: IPv6 CIDR value {quote(text)} should be in RFC 5952 canonical format "
            f"({quote(str(network))})"
        )
    return warnings

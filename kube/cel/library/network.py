"""IP addresses and networks; neither zones nor addresses of IPv4 mapped to IPv6 are taken."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.library.conversions import to_text
from kube.cel.overloads import Declarations
from kube.cel.types import opaque, type_of
from kube.cel.values import Opaque, traversal

_LINK_LOCAL_MULTICAST: Final = (ip_network("224.0.0.0/24"), ip_network("ff02::/16"))
_BROADCAST: Final = IPv4Address("255.255.255.255")


class Ip(Opaque):
    """An address."""

    __slots__ = ("address",)
    type_name = "net.IP"

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class Cidr(Opaque):
    """A network as it was written: its address may have bits that its mask does not cover."""

    __slots__ = ("address", "network")
    type_name = "net.CIDR"

    def __init__(
        self, address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network
    ) -> None:
        self.address = address
        self.network = network

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cidr)
            and self.address == other.address
            and self.network == other.network
        )

    def __hash__(self) -> int:
        return hash((self.address, self.network))

    def __str__(self) -> str:
        return f"{self.address}/{self.network.prefixlen}"


def declare(to: Declarations) -> None:
    """Declare the functions of addresses and networks."""
    once = lambda text: traversal(len(text))  # noqa: E731
    for name in ("net.IP", "net.CIDR"):
        to.types[name] = type_of(opaque(name))
    to.function("ip", "string_to_ip", "string -> net.IP", parse_ip, once)
    to.function("isIP", "is_ip", "string -> bool", lambda text: _is(parse_ip, text), once)
    to.function(
        "ip.isCanonical",
        "ip_is_canonical",
        "string -> bool",
        _is_canonical,
        lambda text: traversal(len(text), 0.2),
    )
    to.function("string", "ip_to_string", "net.IP -> string", str)
    to.method("family", "ip_family", "net.IP -> int", lambda ip: ip.address.version)
    for name, word, test in (
        ("isUnspecified", "unspecified", lambda ip: ip.is_unspecified),
        ("isLoopback", "loopback", lambda ip: ip.is_loopback),
        (
            "isLinkLocalMulticast",
            "link_local_multicast",
            lambda ip: any(ip in net for net in _LINK_LOCAL_MULTICAST),
        ),
        ("isLinkLocalUnicast", "link_local_unicast", lambda ip: ip.is_link_local),
        ("isGlobalUnicast", "global_unicast", _is_global_unicast),
    ):
        to.method(name, f"ip_is_{word}", "net.IP -> bool", _on_address(test))
    to.function("cidr", "string_to_cidr", "string -> net.CIDR", _cidr, once)
    to.function("isCIDR", "is_cidr", "string -> bool", lambda text: _is(parse_cidr, text), once)
    to.function("string", "cidr_to_string", "net.CIDR -> string", str)
    to.method("ip", "cidr_ip", "net.CIDR -> net.IP", lambda cidr: Ip(cidr.address))
    to.method(
        "prefixLength", "cidr_prefix_length", "net.CIDR -> int", lambda cidr: cidr.network.prefixlen
    )
    to.method(
        "masked",
        "cidr_masked",
        "net.CIDR -> net.CIDR",
        lambda cidr: Cidr(cidr.network.network_address, cidr.network),
    )
    to.method(
        "containsIP",
        "cidr_contains_ip_string",
        "net.CIDR, string -> bool",
        _contains_ip,
        lambda _, text: 4 + traversal(len(text)),
    )
    to.method(
        "containsIP", "cidr_contains_ip_ip", "net.CIDR, net.IP -> bool", _contains_ip, lambda *_: 4
    )
    to.method(
        "containsCIDR",
        "cidr_contains_cidr_string",
        "net.CIDR, string -> bool",
        _contains_cidr,
        lambda _, text: 7 + traversal(len(text)),
    )
    to.method(
        "containsCIDR",
        "cidr_contains_cidr",
        "net.CIDR, net.CIDR -> bool",
        _contains_cidr,
        lambda *_: 7,
    )


def _on_address(test: Any) -> Any:
    return lambda ip: bool(test(ip.address))


def _is(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except CelError:
        return False
    return True


def parse_ip(text: str) -> Ip:
    """Read an address.

    Raises:
        CelError: it is none, or has a zone, or is IPv4 in the clothes of IPv6.
    """
    try:
        address = ip_address(text)
    except ValueError:
        shown = to_text(text)
        raise CelError(
            f'IP Address "{shown}" parse error during conversion from string: '
            f'ParseAddr("{shown}"): unable to parse IP'
        ) from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise CelError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped is not None:
            raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def parse_cidr(text: str) -> Cidr:
    """Read a network.

    Raises:
        CelError: it is none.
    """
    address, slash, bits = text.rpartition("/")
    number = bits.isascii() and bits.isdigit() and (bits == "0" or bits[0] != "0") and len(bits) < 4
    try:
        if not slash or not number:
            raise ValueError
        network = ip_network(text, strict=False)
        if "%" in address:
            raise ValueError
    except ValueError:
        raise CelError(
            "network address parse error during conversion from string: "
            + f'netip.ParsePrefix("{text}"): '
            + ("bad bits after slash: " + f'"{bits}"' if slash else "no '/'")
        ) from None
    return Cidr(parse_ip(address).address, network)


def _cidr(text: str) -> Cidr:
    try:
        return parse_cidr(text)
    except CelError as exc:
        raise CelError(
            f"network address parse error during conversion from string: {exc}"
        ) from None


def _is_canonical(text: str) -> bool:
    return str(parse_ip(text)) == text


def _is_global_unicast(ip: IPv4Address | IPv6Address) -> bool:
    return not (
        ip.is_unspecified
        or ip.is_loopback
        or ip.is_multicast
        or ip.is_link_local
        or ip == _BROADCAST
    )


def _contains_ip(cidr: Cidr, other: Ip | str) -> bool:
    ip = parse_ip(other) if isinstance(other, str) else other
    return ip.address in cidr.network


def _contains_cidr(cidr: Cidr, other: Cidr | str) -> bool:
    inner = _cidr(other) if isinstance(other, str) else other
    return (
        cidr.network.version == inner.network.version
        and inner.network.network_address in cidr.network
        and cidr.network.prefixlen <= inner.network.prefixlen
    )

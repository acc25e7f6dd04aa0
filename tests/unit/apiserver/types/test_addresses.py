"""Addresses and ranges: strict, legacy and sloppy readings."""

from __future__ import annotations

import pytest

from apiserver.types import addresses

NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


@pytest.mark.parametrize(
    ("text", "legacy", "strict"),
    [
        ("10.0.0.1", [], []),
        ("::1", [], []),
        ("FE80::1", [], ['must be in canonical form ("fe80::1")']),
        ("010.0.0.1", ["must not have leading 0s"], ["must not have leading 0s"]),
        ("::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"], None),
        ("fe80::1%eth0", [NOT_AN_IP], [NOT_AN_IP]),
        ("10.0.0", [NOT_AN_IP], [NOT_AN_IP]),
        ("", [NOT_AN_IP], [NOT_AN_IP]),
    ],
)
def test_ip_is_checked(text: str, legacy: list[str], strict: list[str] | None) -> None:
    assert addresses.is_valid_ip_legacy(text) == legacy
    assert addresses.is_valid_ip(text) == (legacy if strict is None else strict)


@pytest.mark.parametrize(
    ("text", "legacy"),
    [
        ("10.0.0.0/8", []),
        ("2001:db8::/64", []),
        ("10.0.0.1/8", ["must not have bits set beyond the prefix length"]),
        ("10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
        ("10.0.0.0/33", [NOT_A_CIDR]),
        ("10.0.0.0", [NOT_A_CIDR]),
        ("10.0.0.0/-1", [NOT_A_CIDR]),
    ],
)
def test_cidr_is_checked(text: str, legacy: list[str]) -> None:
    assert addresses.is_valid_cidr_legacy(text) == legacy


def test_mapped_address_is_its_ipv4_address() -> None:
    assert str(addresses.parse_ip_sloppy("::ffff:1.2.3.4")) == "1.2.3.4"
    assert addresses.ip_family("::ffff:1.2.3.4") == "IPv4"


def test_odd_forms_are_warned_of() -> None:
    assert addresses.ip_warnings("p", "010.1.1.1") == [
        'p: non-standard IP address "010.1.1.1" is invalid: use "10.1.1.1"'
    ]
    assert addresses.ip_warnings("p", "10.1.1.1") == []
    assert addresses.cidr_warnings("p", "10.1.1.1/24") == [
        'p: CIDR value "10.1.1.1/24" is ambiguous in this context '
        '(should be "10.1.1.0/24" or "10.1.1.1/32"?)'
    ]

"""When a range of service addresses may go (servicecidrs_controller_test.go, canDeleteCIDR)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from controllers.network.service_cidrs import can_go, networks_of


@pytest.mark.parametrize(
    ("ranges", "addresses", "wanted"),
    [
        # No address, no other range.
        ({"mine": ["192.168.0.0/24"]}, [], True),
        # An address that would be left without a range.
        ({"mine": ["192.168.0.0/24"]}, ["192.168.0.24"], False),
        ({"mine": ["192.168.0.0/24", "2001:db2::/96"]}, ["2001:db2::24"], False),
        # An address of no range at all.
        ({"mine": ["192.168.0.0/24"]}, ["1.2.3.24"], True),
        # A larger range, or the same again, contains it.
        ({"mine": ["192.168.0.0/24"], "big": ["192.168.0.0/23"]}, ["192.168.0.24"], True),
        ({"mine": ["192.168.0.0/24"], "same": ["192.168.0.0/24"]}, ["192.168.0.24"], True),
        # A smaller range has some of the addresses.
        ({"mine": ["192.168.0.0/24"], "small": ["192.168.0.0/26"]}, ["192.168.0.24"], True),
        ({"mine": ["192.168.0.0/24"], "small": ["192.168.0.0/26"]}, ["192.168.0.124"], False),
        # Only one family is contained.
        (
            {"mine": ["192.168.0.0/24", "2001:db2::/64"], "big": ["192.168.0.0/23"]},
            ["2001:db2::24"],
            False,
        ),
    ],
)
def test_a_range_goes_when_no_address_is_left_without_one(
    ranges: dict[str, list[str]],
    addresses: list[str],
    wanted: bool,  # noqa: FBT001
) -> None:
    networks = {
        name: networks_of({"spec": {"cidrs": texts}, "metadata": {}})
        for name, texts in ranges.items()
    }
    assert can_go("mine", networks, [ip_address(one) for one in addresses]) is wanted

"""Addresses at which nothing can listen: those of simulated pods.

They are out of ranges that somebody else's machines may have, on a network that this server can
reach: a request for a pod that does not run must not end up there.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final


class SimulatedNetworks:
    """Ranges of addresses, CIDRs, of which none is ever dialled."""

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(one) for one in cidrs)

    def check(self, host: str, port: int) -> None:
        """Let pass what may be dialled: names, and addresses of others.

        Raises:
            ConnectionRefusedError: the address is one of these, where nobody listens.
        """
        if not self._networks:
            return
        try:
            address = ip_address(host)
        except ValueError:
            return
        if any(address in network for network in self._networks):
            text = f"Connect call failed ('{host}', {port})"
            raise ConnectionRefusedError(errno.ECONNREFUSED, text)


NOTHING_SIMULATED: Final = SimulatedNetworks()

"""Equal parts of a network, given out one after the other.

    10.244.0.0/16 in parts of /24:   part 0 is 10.244.0.0/24, part 255 is 10.244.255.0/24

One byte a part, so that the next free one is found by a search for a zero byte. The search goes on
from the part given out last: one that was just given back is not at once somebody else's.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
BITS_MAX: Final = 24
"""At most so many bits number the parts: 16 MiB. Upstream stops at 16, too few for 100,000 nodes
with a part each."""


class RangeError(ValueError):
    """A range that cannot be had: it is none, or not in the network."""


class CidrSet:
    """See the module's head.

    Args of the constructor:
        network: what is given out.
        prefix: how long the prefix of a part is.

    Raises:
        RangeError: the parts are larger than the network, or too many.
    """

    def __init__(self, network: Network, prefix: int) -> None:
        bits = prefix - network.prefixlen
        if bits < 0 or prefix > network.max_prefixlen:
            raise RangeError(f"{network} has no parts of /{prefix}")
        if bits > BITS_MAX:
            raise RangeError(f"{network} has more than 2^{BITS_MAX} parts of /{prefix}")
        self.network = network
        self._prefix = prefix
        self._size = 1 << (network.max_prefixlen - prefix)
        self._taken = bytearray(1 << bits)
        self._free = len(self._taken)
        self._next = 0

    @property
    def free(self) -> int:
        """How many parts nobody has."""
        return self._free

    def allocate(self) -> str | None:
        """Give out a part; None: nobody gave one back in time."""
        at = self._taken.find(b"\0", self._next)
        if at < 0:
            at = self._taken.find(b"\0", 0, self._next)
        if at < 0:
            return None
        self._taken[at] = 1
        self._free -= 1
        self._next = (at + 1) % len(self._taken)
        first = self.network.network_address + at * self._size
        return f"{first}/{self._prefix}"

    def occupy(self, text: str) -> None:
        """Take all parts that a range touches, whoever has them.

        Raises:
            RangeError: it is not in the network.
        """
        for at in self._parts(text):
            self._free -= not self._taken[at]
            self._taken[at] = 1

    def release(self, text: str) -> None:
        """Give back all parts that a range touches.

        Raises:
            RangeError: it is not in the network.
        """
        for at in self._parts(text):
            self._free += self._taken[at]
            self._taken[at] = 0

    def _parts(self, text: str) -> range:
        try:
            asked = ip_network(text, strict=False)
        except ValueError as error:
            raise RangeError(str(error)) from error
        if asked.version != self.network.version or not asked.overlaps(self.network):
            raise RangeError(f"cidr {asked} is out the range of cluster cidr {self.network}")
        if asked.prefixlen <= self.network.prefixlen:
            return range(len(self._taken))
        offset = int(asked.network_address) - int(self.network.network_address)
        return range(offset // self._size, (offset + asked.num_addresses - 1) // self._size + 1)

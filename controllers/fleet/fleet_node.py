"""A node of the fleet, as it is kept here."""

from __future__ import annotations

import zlib
from typing import Final

from controllers.fleet.machines import GROUP, address_text
from controllers.fleet.pod_life import Pod

FAULT: Final = f"{GROUP}/fault"
"""A node's annotation: what is wrong with it, with commas between."""
SLOW: Final = f"{GROUP}/slow"
"""A node's annotation: how many times longer than usual pods take to start there."""
LOST, DISK_PRESSURE, MEMORY_PRESSURE, PID_PRESSURE, NOT_READY, ACCELERATOR = (
    "lost",
    "disk-pressure",
    "memory-pressure",
    "pid-pressure",
    "not-ready",
    "accelerator-error",
)
FAULTS: Final = (LOST, DISK_PRESSURE, MEMORY_PRESSURE, PID_PRESSURE, NOT_READY, ACCELERATOR)
_SPARE_NETWORKS: Final = 250 << 24
_FIRST_ADDRESS: Final = 2
_LAST_ADDRESS: Final = 254
_FIRST_BITS: Final = (1 << _FIRST_ADDRESS) - 1


class Node:
    """See the module's head.

    Attributes:
        network: its pods' network, an IPv4 number.
        faults: what is wrong with it; own_faults: what its annotation says of that.
        slow: how many times longer than usual pods take to start.
        pods: those on it.
        is_alive: whether the API has it.
        conditions: what was told of each, and since when it is so.
        is_new: whether this fleet has just registered it.
        is_dirty: whether its status waits to be written.
        is_doubted: whether the API says something else of its conditions than it does.
    """

    __slots__ = (
        "_used", "conditions", "faults", "is_alive", "is_dirty", "is_doubted", "is_new", "labels",
        "name", "network", "own_faults", "pods", "slow", "uid",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.labels: dict[str, str] = {}
        # One that was given no network takes one of those that the class E ends with.
        self.network = _SPARE_NETWORKS + ((zlib.crc32(name.encode()) & 0xFFFF) << 8)
        self.faults: tuple[str, ...] = ()
        self.own_faults: tuple[str, ...] = ()
        self.slow = 1.0
        self.pods: set[Pod] = set()
        self.is_alive = self.is_dirty = self.is_doubted = self.is_new = False
        self.conditions: dict[str, tuple[str, float]] = {}
        self._used = _FIRST_BITS

    @property
    def is_lost(self) -> bool:
        """Whether nobody hears of it."""
        return LOST in self.faults

    def take_address(self) -> str:
        """Return an address for a pod, "" if there is none left."""
        free = ~self._used & (self._used + 1)
        at = free.bit_length() - 1
        if at > _LAST_ADDRESS:
            return ""
        self._used |= free
        return address_text(self.network + at)

    def keep_address(self, address: str) -> None:
        """Take note that a pod has an address already."""
        if (bit := self._bit(address)) is not None:
            self._used |= bit

    def free_address(self, address: str) -> None:
        """Take an address back."""
        if (bit := self._bit(address)) is not None:
            self._used &= ~bit | _FIRST_BITS

    def _bit(self, address: str) -> int | None:
        head, _, last = address.rpartition(".")
        if not last.isdecimal() or f"{head}.0" != address_text(self.network):
            return None
        return 1 << int(last)

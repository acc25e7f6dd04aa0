"""Which partition a resource belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

DEFAULT: Final = "default"
DEFAULT_PARTITIONS: Final[Mapping[str, Sequence[str]]] = {
    "events": ("events",),
    "leases": ("coordination.k8s.io/leases",),
    "pods": ("pods",),
    "nodes": ("nodes",),
    DEFAULT: (),
}


class PartitionMap:
    """A resource is in the partition that lists it, otherwise in `default`."""

    def __init__(self, partitions: Mapping[str, Sequence[str]]) -> None:
        """Take the configured map.

        Raises:
            ValueError: two partitions list the same resource.
        """
        self.names = tuple(dict.fromkeys((*partitions, DEFAULT)))
        self._by_resource: dict[str, str] = {}
        for name, resources in partitions.items():
            for resource in resources:
                other = self._by_resource.setdefault(resource, name)
                if other != name:
                    raise ValueError(f"{resource} is listed by partitions {other} and {name}")

    def of(self, resource: str) -> str:
        """Return the partition of a resource."""
        return self._by_resource.get(resource, DEFAULT)

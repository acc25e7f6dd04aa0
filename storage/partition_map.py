"""Which partition a resource belongs to.

The map is part of where the data is: under another one, objects would seem to be gone, and their
names free. So it is kept beside the checkpoints and, for all replicas that share a journal, in a
stream of that; a start under another one is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from journal.engine import Journal
from storage.errors import RecoveryRefused

DEFAULT: Final = "default"
MAP_STREAM: Final = "meta.partitions"
"""Not a partition: their names have no dot."""
_MAP_KEY: Final = b"partition map v1"
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

    @property
    def by_resource(self) -> Mapping[str, str]:
        """The resources that are listed, with their partitions."""
        return self._by_resource

    def check_unchanged(self, path: Path) -> None:
        """Hold the map against the one that the data was written under, if `path` has it.

        Raises:
            RecoveryRefused: a resource has moved.
        """
        try:
            written: dict[str, str] = json.loads(path.read_text())
        except FileNotFoundError:
            return
        self.check(written, f"as {path} has them")

    async def agree(self, journal: Journal) -> None:
        """Hold the map against the one that the journal was first used with, by any replica.

        Raises:
            RecoveryRefused: a resource is elsewhere there.
            JournalError: the journal can't be asked.
        """
        ours = json.dumps(self._by_resource, sort_keys=True).encode()
        # All replicas append with the same key, so the first one's map is the only record.
        sequence = await journal.append(MAP_STREAM, (ours,), _MAP_KEY)
        async with aclosing(journal.read(MAP_STREAM, sequence)) as log:
            batches = await anext(log)
        written: dict[str, str] = json.loads(batches[0].records[0])
        self.check(written, f"as its other replicas have them: {json.dumps(written)}")

    def check(self, written: Mapping[str, str], way_out: str) -> None:
        """Hold the map against the one that data was written under.

        Args:
            written: that one, see `by_resource`.
            way_out: where it can be read how the partitions were.

        Raises:
            RecoveryRefused: a resource has moved.
        """
        for resource in sorted({*written, *self._by_resource}):
            was, wanted = written.get(resource, DEFAULT), self.of(resource)
            if was != wanted:
                raise RecoveryRefused(
                    f"{resource} was in partition {was!r} when the data was written, and would be "
                    f"in {wanted!r} now: its objects would seem gone. Put the partitions back "
                    f"{way_out}"
                )

    def keep(self, path: Path) -> None:
        """Write the map down for `check_unchanged`, whole or not at all."""
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Partitions may be in processes of their own, which start together.
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(self._by_resource, indent=1, sort_keys=True) + "\n")
        temporary.rename(path)

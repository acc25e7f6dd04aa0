"""What a snapshot says of itself: JSON, the last block of its file.

Of each partition it says which state it is: the revision, how many objects of each resource, and a
digest of all of them, by which a copy is held against it after it was read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, get_type_hints

_NAME = re.compile("[a-z0-9][a-z0-9-]*")
CHECKPOINTS: Final = "checkpoints"
"""A partition's checkpoint is the file `checkpoints/<partition>/<its name>` of a snapshot."""
PKI: Final = "pki"


class ManifestInvalid(ValueError):
    """A manifest is whole, and not what this program writes."""


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """The state of one partition.

    Attributes:
        name: the partition's.
        revision: which state it is.
        compact_revision: the oldest state that could be read then.
        timestamp_ms: of the last entry applied.
        identity: what the log was named, in hex.
        objects: how many there are, by resource.
        state_hash: of the revision and all objects, as they are when not compressed.
        file: the checkpoint, a file of the snapshot.
    """

    name: str
    revision: int
    compact_revision: int
    timestamp_ms: int
    identity: str
    objects: Mapping[str, int]
    state_hash: str
    file: str

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(self.objects.values())


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot.

    Attributes:
        cluster: the identity of the default partition's log, in hex.
        software: the version that wrote it.
        created: when, in UTC, ISO 8601.
        partition_map: partitions by resource, as they are listed; others are in the default one.
        partitions: what is in each; each is a state of its own, and they are not of one instant.
        has_pki: whether it holds the authority's key and what else makes credentials.
    """

    cluster: str
    software: str
    created: str
    partition_map: Mapping[str, str]
    partitions: tuple[PartitionFacts, ...]
    has_pki: bool

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(partition.count for partition in self.partitions)

    def encode(self) -> dict[str, Any]:
        """Return it as what JSON holds."""
        return asdict(self)

    @classmethod
    def decode(cls, content: Mapping[str, Any]) -> Manifest:
        """Return what `encode` was called on; keys that it does not know are left out.

        Raises:
            ManifestInvalid: something is missing, or of another type.
        """
        values = _typed(content, cls)
        found = [_typed(entry, PartitionFacts) for entry in values["partitions"]]
        values["partitions"] = tuple(PartitionFacts(**entry) for entry in found)
        names = [facts.name for facts in values["partitions"]]
        proper = all(_NAME.fullmatch(name) for name in names)
        if not names or not proper or len(set(names)) < len(names):
            raise ManifestInvalid(f"its partitions are {names}")
        return cls(**values)


def _typed(content: Any, kind: type) -> dict[str, Any]:
    """Return the values that a class wants, each of the type that JSON has for it."""
    if not isinstance(content, Mapping):
        raise ManifestInvalid(f"{kind.__name__} is no object")
    values = {}
    for name, hint in get_type_hints(kind).items():
        value = content.get(name)
        wanted = hint if isinstance(hint, type) else _CONTAINERS[hint]
        # True is an int to Python, and none to JSON.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise ManifestInvalid(f"{kind.__name__} has no {name} of type {hint}")
        values[name] = value
    _check_values(values)
    return values


def _check_values(values: Mapping[str, Any]) -> None:
    for name in ("objects", "partition_map"):
        inner = int if name == "objects" else str
        if not all(type(value) is inner for value in values.get(name, {}).values()):
            raise ManifestInvalid(f"{name} holds something else than it should")
    if values.get("revision", 1) < 1:
        raise ManifestInvalid(f"there is no revision {values['revision']}")


_CONTAINERS: Final[dict[Any, type | tuple[type, ...]]] = {
    Mapping[str, int]: dict,
    Mapping[str, str]: dict,
    tuple[PartitionFacts, ...]: (list, tuple),
}

"""What is sealed before it reaches a disk: the seams between storage and whoever has the keys.

Storage knows no cipher and no key. It asks for a `Sealer` by the name of a resource and gives it
bytes; what comes back is opaque, and opens only under the context that it was sealed under, so that
nothing sealed can be put where something else was.
"""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Makes bytes unreadable, and unchangeable, for those who lack the key."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return sealed bytes that open only under the same context.

        Raises:
            storage.errors.SealUnavailable: there is no key to seal with now.
        """
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            storage.errors.SealBroken: the key is missing or another one, or not all bytes are
                those that were sealed, or the context is another.
        """
        ...


class Sealers(Protocol):
    """Which objects are sealed, and by what; the same answers for as long as a process lives."""

    @property
    def checkpoints(self) -> Sealer:
        """What seals copies of whole partitions."""
        ...

    @property
    def reads_plain_checkpoints(self) -> bool:
        """Whether a copy that was written in the clear may be used."""
        ...

    def writer(self, resource: str) -> Sealer | None:
        """Return what seals new objects of a resource; None: they are written in the clear."""
        ...

    def reader(self, resource: str) -> Sealer | None:
        """Return what opens sealed objects of a resource; None: no key is named for it."""
        ...

    def reads_plain(self, resource: str) -> bool:
        """Return whether objects of a resource that are in the clear may be used."""
        ...

"""The seam to encryption at rest: what turns bytes into others that only a key's owner can read.

Storage knows no keys. Who has them hands in a `Sealer`; without one, files are written as they are.
"""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Seals pieces of files and opens them again; used from any thread.

    `context` says which piece of what it is: a piece opens only under the context it was sealed
    under, so none can be put in another's place.
    """

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return `plain`, sealed."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            storage.errors.SealBroken: it was changed, or sealed with another key or context.
        """
        ...

"""The seam for types whose writes take other objects along, in the same transaction.

A Service claims cluster IPs and node ports; the claims are objects of the same partition, so one
conditional transaction creates the Service and its claims or nothing, with no allocator to repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from kube.json_types import JsonObject
from kube.status import StatusError
from storage.txn import KeyedOp


class Claims(NamedTuple):
    """Operations that go with a write.

    Attributes:
        ops: conditional on nobody having made the same claim.
        chosen: names of claims the server chose itself: if one is lost, another will do.
    """

    ops: Sequence[KeyedOp] = ()
    chosen: frozenset[str] = frozenset()


NO_CLAIMS: Final = Claims()


class Companion(Protocol):
    """What writes of one type take along."""

    def on_create(self, obj: JsonObject, now: str) -> Claims:
        """Complete a new object in place and return the operations that go with it.

        Raises:
            StatusError: it cannot be had.
        """
        ...

    def on_update(self, new: JsonObject, old: JsonObject, now: str) -> Claims:
        """Complete a changed object in place and return the operations that go with it.

        Raises:
            StatusError: it cannot be had.
        """
        ...

    def on_delete(self, old: JsonObject) -> Sequence[KeyedOp]:
        """Return the operations that go with a deletion."""
        ...

    def explain(self, lost: KeyedOp, obj: JsonObject) -> StatusError:
        """Return why a write failed that lost the claim `lost` to another."""
        ...

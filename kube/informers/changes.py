"""What a watch tells, and who takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from kube.json_types import JsonObject


class Change(Enum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Told(NamedTuple):
    """One event as the server told it.

    Attributes:
        change: what happened, as far as the server knows: a list, or the beginning of a watch,
            tells all there is as ADDED.
        object: decoded.
        raw: its JSON; empty if nobody has that.
    """

    change: Change
    object: JsonObject
    raw: bytes


class Sink(Protocol):
    """Who takes what a reflector tells; all of it is called in one event loop."""

    def begin(self) -> None:
        """Be told all there is from here on, perhaps not for the first time."""
        ...

    def take(self, events: Sequence[Told]) -> None:
        """Take the next events, in order."""
        ...

    def sweep(self) -> Iterator[None]:
        """Let go, in steps, of what was not told since `begin`: it is gone from the server."""
        ...


def key_of(obj: JsonObject) -> str:
    """Return how an object is called among those of its type: "namespace/name", or "name"."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    name: str = metadata["name"]
    return f"{namespace}/{name}" if namespace else name

"""What a run knows by watches, so that it never has to list: its nodes, and pods without a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kube.informers.changes import Change, Told, key_of
from kube.json_types import JsonObject
from scaletest.manifests import POOL

NODES: Final = "/api/v1/nodes"
NODES_QUERY: Final = {"labelSelector": POOL}
PODS: Final = "/api/v1/pods"
WAITING_QUERY: Final = {"fieldSelector": "spec.nodeName="}
_WAITS_MAX: Final = 2_000_000


class Nodes:
    """The nodes of the run; a sink of a reflector.

    Attributes:
        names: all.
        ready: those that are Ready.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.ready: set[str] = set()
        self._told: set[str] | None = None

    def begin(self) -> None:
        """See Sink."""
        self._told = set()

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for told in events:
            name: str = told.object["metadata"]["name"]
            if told.change is Change.DELETED:
                self.names.discard(name)
                self.ready.discard(name)
                continue
            if self._told is not None:
                self._told.add(name)
            self.names.add(name)
            if condition_of(told.object, "Ready") == "True":
                self.ready.add(name)
            else:
                self.ready.discard(name)

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        if self._told is not None:
            self.names &= self._told
            self.ready &= self._told
        self._told = None
        yield


class WaitingPods:
    """Pods without a node; a sink of a reflector whose selector they leave when they are bound.

    Args of the constructor:
        waits_s: takes how long each pod was seen waiting.
        now_s: the time, monotonic.
    """

    def __init__(self, waits_s: list[float], now_s: Callable[[], float]) -> None:
        self._waits_s = waits_s
        self._now_s = now_s
        self._since_s: dict[str, float] = {}
        self._told: set[str] | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._since_s)

    def begin(self) -> None:
        """See Sink."""
        self._told = set()

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        now_s = self._now_s()
        for told in events:
            key = key_of(told.object)
            if told.change is not Change.DELETED:
                if self._told is not None:
                    self._told.add(key)
                self._since_s.setdefault(key, now_s)
                continue
            since_s = self._since_s.pop(key, None)
            # One that is told of for the first time by a new watch waits since nobody knows when.
            if since_s is not None and len(self._waits_s) < _WAITS_MAX:
                self._waits_s.append(now_s - since_s)

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        if self._told is not None:
            for key in [key for key in self._since_s if key not in self._told]:
                del self._since_s[key]
        self._told = None
        yield


def condition_of(obj: JsonObject, kind: str) -> str:
    """Return the status of a condition; empty if there is none."""
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one.get("type") == kind:
            status: str = one.get("status", "")
            return status
    return ""

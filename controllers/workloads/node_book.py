"""What controllers need to know of nodes to tell which pods may run there.

A brief of each node is kept: its labels, whose texts are shared, and its taints, as many nodes have
the same. Who listens is told only if one of these changed: a node that says that it is alive is no
news.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

_TAINTS_MAX: Final = 4096
_SHARDS: Final = 32


class Taint(NamedTuple):
    """What keeps pods from a node."""

    key: str
    value: str
    effect: str


class NodeBrief(NamedTuple):
    """What is kept of a node."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]


NodeListener = Callable[[NodeBrief | None, NodeBrief | None], None]
"""Told of a node before and after a change; None: there was or is none."""


class NodeBook:
    """All nodes by name; fed by the informer of nodes."""

    def __init__(self) -> None:
        # Many small dictionaries: one large one that grows is copied, which takes milliseconds.
        self._shards: tuple[dict[str, NodeBrief], ...] = tuple({} for _ in range(_SHARDS))
        self._taints: dict[tuple[Taint, ...], tuple[Taint, ...]] = {}
        self._listeners: list[NodeListener] = []

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def listen(self, listener: NodeListener) -> None:
        """Have `listener` told of every change that matters."""
        self._listeners.append(listener)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        for delta in deltas:
            shard = self._shards[hash(delta.key) % _SHARDS]
            old = shard.get(delta.key)
            if delta.change is Change.DELETED:
                shard.pop(delta.key, None)
                new = None
            else:
                new = self._brief(delta.object)
                if old == new:
                    continue
                shard[delta.key] = new
            for listener in self._listeners:
                listener(old, new)

    def __iter__(self) -> Iterator[NodeBrief]:
        """Yield all nodes; what is written meanwhile may be missed."""
        for shard in self._shards:
            yield from tuple(shard.values())

    def _brief(self, node: JsonObject) -> NodeBrief:
        metadata = node["metadata"]
        taints = tuple(
            Taint(one["key"], one.get("value", ""), one["effect"])
            for one in (node.get("spec") or {}).get("taints") or ()
        )
        if len(self._taints) >= _TAINTS_MAX:
            self._taints.clear()
        labels = metadata.get("labels") or {}
        return NodeBrief(
            metadata["name"],
            {sys.intern(key): sys.intern(value) for key, value in labels.items()},
            self._taints.setdefault(taints, taints),
        )

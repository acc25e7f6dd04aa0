"""What controllers need to know of nodes, in little memory.

A pass over a hundred thousand nodes must not decode a hundred thousand objects. So of each node a
brief is kept, made once when the watch tells of it; taints, zones and the texts of labels are
shared, as many nodes have the same. Listeners are told of every change, with the object that was
just decoded anyway; those who only ask where pods may run, of what matters to that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from controllers.nodes.taints import NO_EXECUTE, Taint, taints_of
from controllers.workloads.pods import condition_of, epoch_s
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

EXCLUDE_DISRUPTION: Final = "node.kubernetes.io/exclude-disruption"
_REGIONS: Final = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONES: Final = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_SHARED_MAX: Final = 16_384
_SLICE: Final = 128
_SHARDS: Final = 32


class NodeBrief(NamedTuple):
    """What is kept of a node.

    Attributes:
        zone: region and zone, as upstream puts them together.
        ready: the status of its Ready condition; empty: it has none.
        heartbeat: of that condition, as it is written.
        counts: whether it is counted when a zone's state is judged.
        pod_ranges: where its pods get their addresses from.
        labels: as long as they stay the same, the same mapping.
    """

    name: str
    uid: str
    created_s: int
    zone: str
    ready: str
    heartbeat: str
    taints: tuple[Taint, ...]
    counts: bool
    pod_ranges: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def no_execute(self) -> tuple[Taint, ...]:
        """The taints that pods which do not tolerate them must leave for."""
        return tuple(one for one in self.taints if one.effect == NO_EXECUTE)


def zone_of(labels: dict[str, str]) -> str:
    """Return the zone by a node's labels (GetZoneKey); empty: it says none."""
    region = next((labels[name] for name in _REGIONS if name in labels), "")
    zone = next((labels[name] for name in _ZONES if name in labels), "")
    # The null character is in no region or zone, so no two pairs give the same.
    return f"{region}:\0:{zone}" if region or zone else ""


NodeListener = Callable[[NodeBrief | None, NodeBrief | None, JsonObject], None]
"""Told of a node before and after a change, and the object; None: there was or is none."""
PlaceListener = Callable[[NodeBrief | None, NodeBrief | None], None]
"""The same, without the object."""


class NodeBook:
    """All nodes; see the module's head. Fed by the informer of nodes."""

    def __init__(self) -> None:
        # Many small dictionaries: one large one that grows is copied, which takes milliseconds.
        self._shards: tuple[dict[str, NodeBrief], ...] = tuple({} for _ in range(_SHARDS))
        self._taints: dict[tuple[Taint, ...], tuple[Taint, ...]] = {}
        self._listeners: list[NodeListener] = []

    def listen(self, listener: NodeListener) -> None:
        """Have `listener` told of every change."""
        self._listeners.append(listener)

    def listen_for_places(self, listener: PlaceListener) -> None:
        """Have `listener` told when a node comes or goes, or its labels or taints change."""

        def tell(old: NodeBrief | None, new: NodeBrief | None, _node: JsonObject) -> None:
            if old is None or new is None or old.taints != new.taints or old.labels != new.labels:
                listener(old, new)

        self._listeners.append(tell)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        for change, name, node, _ in deltas:
            shard = self._shard(name)
            old = shard.get(name)
            if change is Change.DELETED:
                new = None
                shard.pop(name, None)
            else:
                new = shard[name] = self._brief(name, node, old)
            for listener in self._listeners:
                listener(old, new, node)

    def _shard(self, name: str) -> dict[str, NodeBrief]:
        return self._shards[hash(name) % _SHARDS]

    def _brief(self, name: str, node: JsonObject, old: NodeBrief | None) -> NodeBrief:
        metadata, spec = node["metadata"], node.get("spec") or {}
        labels = metadata.get("labels") or {}
        ready = condition_of(node, "Ready") or {}
        return NodeBrief(
            name=name,
            uid=metadata.get("uid", ""),
            created_s=epoch_s(metadata.get("creationTimestamp")),
            zone=sys.intern(zone_of(labels)),
            ready=sys.intern(ready.get("status", "")),
            heartbeat=ready.get("lastHeartbeatTime") or "",
            taints=self._shared(taints_of(node)),
            counts=EXCLUDE_DISRUPTION not in labels,
            pod_ranges=tuple(spec.get("podCIDRs") or ()),
            labels=old.labels if old is not None and old.labels == labels else _interned(labels),
        )

    def _shared(self, taints: tuple[Taint, ...]) -> tuple[Taint, ...]:
        known = self._taints.get(taints)
        if known is None:
            if len(self._taints) >= _SHARED_MAX:
                self._taints.clear()
            known = self._taints[taints] = taints
        return known

    def get(self, name: str) -> NodeBrief | None:
        """Return a node."""
        return self._shard(name).get(name)

    def slices(self) -> Iterator[list[NodeBrief]]:
        """Yield all nodes, few at a time; those that come meanwhile may be missed."""
        briefs = iter(self)
        while found := list(islice(briefs, _SLICE)):
            yield found

    def __iter__(self) -> Iterator[NodeBrief]:
        """Yield all nodes; those that come meanwhile may be missed."""
        for shard in self._shards:
            yield from tuple(shard.values())

    def __len__(self) -> int:
        return sum(map(len, self._shards))


def _interned(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {sys.intern(key): sys.intern(value) for key, value in labels.items()}

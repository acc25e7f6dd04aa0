"""What controllers need to know of nodes, in little memory.

A pass over a hundred thousand nodes must not decode a hundred thousand objects. So of each node a
brief is kept, made once when the watch tells of it; taints and zones are shared, as many nodes have
the same. Listeners are told of every change, with the object that was just decoded anyway.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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


class NodeBrief(NamedTuple):
    """What is kept of a node.

    Attributes:
        zone: region and zone, as upstream puts them together.
        ready: the status of its Ready condition; empty: it has none.
        heartbeat: of that condition, as it is written.
        counts: whether it is counted when a zone's state is judged.
        pod_ranges: where its pods get their addresses from.
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


class NodeBook:
    """All nodes; see the module's head. Fed by the informer of nodes."""

    def __init__(self) -> None:
        self._by_name: dict[str, NodeBrief] = {}
        self._taints: dict[tuple[Taint, ...], tuple[Taint, ...]] = {}
        self._listeners: list[NodeListener] = []

    def listen(self, listener: NodeListener) -> None:
        """Have `listener` told of every change."""
        self._listeners.append(listener)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        for change, name, node, _ in deltas:
            old = self._by_name.get(name)
            if change is Change.DELETED:
                new = None
                self._by_name.pop(name, None)
            else:
                new = self._by_name[name] = self._brief(name, node)
            for listener in self._listeners:
                listener(old, new, node)

    def _brief(self, name: str, node: JsonObject) -> NodeBrief:
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
        return self._by_name.get(name)

    def slices(self) -> Iterator[list[NodeBrief]]:
        """Yield all nodes, few at a time; those that come meanwhile may be missed."""
        names = list(self._by_name)
        for at in range(0, len(names), _SLICE):
            found = (self._by_name.get(name) for name in names[at : at + _SLICE])
            yield [brief for brief in found if brief is not None]

    def __len__(self) -> int:
        return len(self._by_name)

"""Decides what is to be written of a Service's slices: from its pods and the slices it has.

For each address family, and for each set of ports that pods have, endpoints are spread over slices
(`slices.py`) and given hints. Slices that nothing has happened to are not even decoded
(`settled.py`), so that a sync costs as much as changed. Pure but for what it remembers of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from controllers.network import backends, hints, topology
from controllers.network.nodes import Zones
from controllers.network.settled import Basis, Memory, PortsKey, Settled, are_alive, ids_of
from controllers.network.slice_tracker import version_of
from controllers.network.slices import (
    MANAGED_BY,
    MANAGER,
    Identity,
    Plan,
    Shape,
    endpoint_of,
    endpoints_of,
    identity,
    is_owned_by,
    is_placeholder,
    name_of,
    new_slice,
    ports_key,
    ports_of,
    spread,
)
from controllers.selections import Selections
from controllers.workloads.pods import PodBrief
from kube.informers.store import Store
from kube.json_types import JsonObject


@dataclass(slots=True)
class Snapshot:
    """The slices that a Service has, at the beginning of a sync.

    Attributes:
        basis: what they are right for; gets what is found right in this sync.
        settled: by name, those that are as they were; what is filled up is taken out.
        open: by name, the others, with their JSON.
        pods: by name, those that are in none of the settled.
    """

    basis: Basis
    settled: dict[str, Settled] = field(default_factory=dict)
    open: dict[str, tuple[bytes, JsonObject]] = field(default_factory=dict)
    pods: dict[str, PodBrief] = field(default_factory=dict)
    found: dict[str, Settled] = field(default_factory=dict)

    def versions(self) -> Iterator[tuple[str, int]]:
        """Yield uid and generation of each slice."""
        for piece in self.settled.values():
            yield piece.uid, piece.generation
        for _, obj in self.open.values():
            yield version_of(obj)


class _Wanted:
    """The endpoints that there should be, of one set of ports."""

    def __init__(self, ports: list[JsonObject]) -> None:
        self.ports = ports
        self.endpoints: dict[Identity, JsonObject] = {}


class SlicePlanner:
    """See the module's head.

    Attributes:
        hinted: which services have hints by zones' CPU.

    Args of the constructor:
        selections: which pods are behind which Service.
        pieces: all slices, indexed by "service".
        zones: of nodes.
    """

    def __init__(self, selections: Selections, pieces: Store, zones: Zones) -> None:
        self.hinted = topology.HintCache()
        self._selections = selections
        self._pieces = pieces
        self._zones = zones
        self._memory = Memory()

    def look(self, key: str, service: JsonObject, raw: bytes) -> Snapshot:
        """Return the slices that a Service has."""
        basis = self._memory.basis(key, raw, self._zones.version)
        snapshot = Snapshot(Basis(raw, self._zones.version))
        alive = ids_of(self._selections.pods(key)) if basis.pieces else set()
        for piece_key in self._pieces.keys("service", key):
            name, found = piece_key.partition("/")[2], self._pieces.raw(piece_key)
            if found is None:
                continue
            known = basis.pieces.get(name)
            if known is not None and known.raw is found and are_alive(known, alive):
                snapshot.settled[name] = known
                continue
            obj = orjson.loads(found)
            metadata = obj["metadata"]
            is_ours = (metadata.get("labels") or {}).get(MANAGED_BY) == MANAGER
            if is_ours and "deletionTimestamp" not in metadata:
                snapshot.open[name] = (found, obj)
        return snapshot

    def keep(self, key: str, snapshot: Snapshot) -> None:
        """Remember what a sync found right, after it wrote all it had to."""
        snapshot.basis.pieces = snapshot.settled | snapshot.found
        self._memory.keep(key, snapshot.basis)

    def forget(self, key: str) -> None:
        """Forget what was found right of a Service's slices."""
        self._memory.forget(key)

    def foreign(self, key: str, snapshot: Snapshot, families: tuple[str, ...]) -> Plan:
        """Return the end of slices of families that a Service does not have any more."""
        plan = Plan()
        for name, (_, piece) in snapshot.open.items():
            if piece["addressType"] not in families:
                self.hinted.drop(key, piece["addressType"])
                plan.delete[name] = piece
        return plan

    def plan(
        self,
        key: str,
        service: JsonObject,
        snapshot: Snapshot,
        family: str,
        missing: dict[str, str],
    ) -> tuple[Plan, topology.Saying | None]:
        """Return what is to be written for a family, and what is to be told.

        Args:
            key: of the Service.
            service: the same, decoded.
            snapshot: its slices; takes note of those that are right.
            family: IPv4 or IPv6.
            missing: gets the pods whose nodes do not exist, and which.
        """
        plan = Plan()
        by_ports: dict[PortsKey, list[JsonObject]] = {}
        rooms: dict[PortsKey, dict[str, Settled]] = {}
        for name, known in snapshot.settled.items():
            if known.family == family:
                rooms.setdefault(known.ports, {})[name] = known
        count = sum(map(len, rooms.values()))
        for name, (_, piece) in snapshot.open.items():
            if piece["addressType"] != family:
                continue
            count += 1
            if is_owned_by(piece, service):
                by_ports.setdefault(ports_key(piece.get("ports")), []).append(piece)
            else:
                plan.delete[name] = piece
        pods: dict[str, PodBrief] = {}
        placed = ids_of(
            pod for group in rooms.values() for one in group.values() for pod in one.pods
        )
        for ports, wanted in self._wanted(key, service, family, placed, pods, missing).items():
            room = rooms.get(ports, {})
            before = set(room)
            shape = Shape(wanted.ports, family)
            part = spread(service, wanted.endpoints, by_ports.pop(ports, []), shape, room)
            for name in before - set(room):
                del snapshot.settled[name]
            plan.create += part.create
            plan.update |= part.update
            plan.delete |= part.delete
            plan.kept |= part.kept
        for pieces in by_ports.values():
            plan.delete |= {name_of(piece): piece for piece in pieces}
        if len(plan.delete) == count and not plan.create:
            self._put_placeholder(plan, service, family)
        said = self._hint(key, service, plan, family)
        self._note_right(service, snapshot, plan, family, pods)
        return plan, said

    def _wanted(
        self,
        key: str,
        service: JsonObject,
        family: str,
        placed: set[int],
        pods: dict[str, PodBrief],
        missing: dict[str, str],
    ) -> dict[PortsKey, _Wanted]:
        """Return the endpoints of pods that are not placed yet, by their ports; note the pods."""
        found: dict[PortsKey, _Wanted] = {}
        # Pods of one template have the same ports.
        keys: dict[tuple[tuple[str, str, int], ...], PortsKey] = {}
        unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
        for pod in self._selections.pods(key):
            if id(pod) in placed or not backends.is_listed(pod, even_terminating=True):
                continue
            named = pod.network.ports
            ports = keys.get(named)
            if ports is None:
                told = ports_of(pod, service)
                ports = keys[named] = ports_key(told)
                found.setdefault(ports, _Wanted(told))
            zone = self._zones.zone_of(pod.node)
            if zone is None and not unready_too:
                missing[pod.name] = pod.node
                continue
            endpoint = endpoint_of(pod, zone or "", service, family)
            if endpoint is not None:
                found[ports].endpoints[identity(endpoint)] = endpoint
                pods[pod.name] = pod
        return found

    def _note_right(
        self,
        service: JsonObject,
        snapshot: Snapshot,
        plan: Plan,
        family: str,
        pods: dict[str, PodBrief],
    ) -> None:
        """Take note of slices that stay as they are, and of what that depends on."""
        # Hints by CPU look at all slices; an address that is published whatever its pod's node is
        # depends on nodes that are not there yet.
        if hints.is_automatic(service) or service["spec"].get("publishNotReadyAddresses"):
            return
        for name, piece in plan.kept.items():
            targets = (one["targetRef"]["name"] for one in endpoints_of(piece))
            briefs = [pods.get(target) for target in targets]
            found = tuple(brief for brief in briefs if brief is not None)
            if found and len(found) == len(briefs):
                uid, generation = version_of(piece)
                raw = snapshot.open[name][0]
                ports = ports_key(piece.get("ports"))
                snapshot.found[name] = Settled(raw, uid, generation, ports, family, found)

    def _put_placeholder(self, plan: Plan, service: JsonObject, family: str) -> None:
        if len(plan.delete) == 1:
            (name, piece), *_ = plan.delete.items()
            if is_owned_by(piece, service) and is_placeholder(piece, service):
                plan.kept[name] = plan.delete.pop(name)
                return
        plan.create.append(new_slice(service, [], family, []))

    def _hint(
        self, key: str, service: JsonObject, plan: Plan, family: str
    ) -> topology.Saying | None:
        """Put hints on the endpoints of a plan, or take them away; return what is to be told."""
        said = None
        hint = hints.hint_by(service["spec"].get("trafficDistribution"))
        if hints.is_automatic(service):
            said = topology.add_hints(self.hinted, self._zones.shares(), (key, family), plan)
        else:
            if self.hinted.is_on(key):
                said = topology.turned_off(family)
            self.hinted.drop(key, family)
            if hint is None:
                hints.remove(plan)
            else:
                hints.apply(plan, hint)
        return said

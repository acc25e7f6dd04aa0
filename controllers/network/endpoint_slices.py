"""The controller of EndpointSlices (pkg/controller/endpointslice).

A Service with a selector has, for each of its address families and each set of ports that its pods
have, as many slices as their endpoints need; one without endpoints has an empty one. All decisions
are made on briefs of pods and on the slices of that one Service, and only slices that differ are
written. A sync waits until the watch has told of what the last one wrote (`slice_tracker.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.network import backends, hints, topology
from controllers.network.nodes import Zones
from controllers.network.slice_tracker import SliceTracker
from controllers.network.slice_writer import SliceWriter, service_key
from controllers.network.slices import (
    ENDPOINTS_MAX,
    MANAGED_BY,
    MANAGER,
    Identity,
    Plan,
    PortsKey,
    endpoint_of,
    identity,
    is_owned_by,
    is_placeholder,
    name_of,
    new_slice,
    ports_key,
    ports_of,
    spread,
)
from controllers.pace import PacedQueue
from controllers.recorder import Recorder
from controllers.selections import PodGroups
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import PodBrief, epoch_s
from controllers.workqueue import run_worker
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

SERVICE: Final = Kind("v1", "Service", "services")
_WORKERS: Final = 5
_STALE_S: Final = 0.05
_NAMED_MAX: Final = 10
_Desired = dict[PortsKey, tuple[list[JsonObject], dict[Identity, JsonObject]]]


class NodesMissing(Exception):
    """Pods are on nodes that do not exist, so their endpoints wait; the rest was written."""


class EndpointSlicesController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        services, pieces: informers of services, and of slices indexed by "service".
        groups: all pods.
        zones: all nodes.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        services: Informer,
        pieces: Informer,
        groups: PodGroups,
        zones: Zones,
    ) -> None:
        self._recorder = recorder
        self._services = services.store
        self._pieces = pieces.store
        self._zones = zones
        self._paced = PacedQueue(client.clock)
        self._times = backends.TriggerTimes()
        self._tracker = SliceTracker(client.clock)
        self._writer = SliceWriter(client, self._tracker)
        self._hinted = topology.HintCache()
        self._selections = groups.selections(self._observe_pod)
        services.on_changes(self._observe)
        pieces.on_changes(self._observe_pieces)
        zones.listen(self._observe_zones)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            worker = run_worker(self._paced.queue, self._sync_timed)
            scope.spawn(worker, name=f"endpoint slices {number}")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            selector = None if change is Change.DELETED else backends.selector_of(obj)
            if selector is not None:
                self._selections.put(key, selector)
            else:
                self._selections.drop(key)
            self._paced.add(key)

    def _observe_pod(
        self,
        old: PodBrief | None,
        new: PodBrief | None,
        before: frozenset[str],
        after: frozenset[str],
    ) -> None:
        self._times.note(after, old, new)
        for key in backends.to_update(old, new, before, after):
            self._paced.add_for_pod(key)

    def _observe_pieces(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            for key in self._writer.surprised(delta, MANAGER):
                self._paced.add_for_pod(key)

    def _observe_zones(self) -> None:
        for key in self._hinted.overloaded(self._zones.shares()):
            self._paced.add(key)

    async def _sync_timed(self, key: str) -> float | None:
        return await self._paced.timed(key, self.sync)

    async def sync(self, key: str) -> float | None:
        """Bring the slices of a Service to what they should be; return when to look again.

        Raises:
            NodesMissing: some pods' nodes do not exist (yet).
            StatusError, Unreachable: the server refused, or is away.
        """
        service = self._services.get(key)
        if service is None:
            self._times.forget(key)
            self._tracker.forget(key)
            self._paced.forget(key)
            self._hinted.drop(key)
            return None
        if key not in self._selections:
            return None
        existing = [
            piece
            for piece in self._pieces.find("service", key)
            if (piece["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
            and "deletionTimestamp" not in piece["metadata"]
        ]
        if self._tracker.is_stale(key, existing):
            return _STALE_S
        since_s = self._times.take(key, epoch_s(service["metadata"]["creationTimestamp"]))
        try:
            await self._reconcile(key, service, existing, since_s)
        except (NodesMissing, StatusError, Unreachable) as error:
            text = f"Error updating Endpoint Slices for Service {key}: {error}"
            about = reference_of(SERVICE, service)
            self._recorder.warn(about, "FailedToUpdateEndpointSlices", text[:1024])
            raise
        return None

    async def _reconcile(
        self, key: str, service: JsonObject, existing: list[JsonObject], since_s: int
    ) -> None:
        families = backends.families_of(service)
        by_family: dict[str, list[JsonObject]] = {family: [] for family in families}
        foreign = Plan()
        for piece in existing:
            if piece["addressType"] in by_family:
                by_family[piece["addressType"]].append(piece)
            else:
                self._hinted.drop(key, piece["addressType"])
                foreign.delete[name_of(piece)] = piece
        missing: dict[str, str] = {}
        for family in families:
            plan = self._plan(key, service, by_family[family], family, missing)
            await self._writer.write(key, service, plan, since_s)
        await self._writer.write(key, service, foreign, 0)
        if missing:
            shown = [
                f"skipping Pod {name} for Service {key}: Node {node} Not Found"
                for name, node in list(missing.items())[:_NAMED_MAX]
            ]
            raise NodesMissing(shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]")

    def _plan(
        self,
        key: str,
        service: JsonObject,
        existing: list[JsonObject],
        family: str,
        missing: dict[str, str],
    ) -> Plan:
        """Return what is to be written for a family; add pods whose nodes do not exist."""
        plan = Plan()
        by_ports: dict[PortsKey, list[JsonObject]] = {}
        for piece in existing:
            if is_owned_by(piece, service):
                by_ports.setdefault(ports_key(piece.get("ports")), []).append(piece)
            else:
                plan.delete[name_of(piece)] = piece
        for ports, (told, desired) in self._desired(key, service, family, missing).items():
            part = spread(service, desired, by_ports.pop(ports, []), told, family, ENDPOINTS_MAX)
            plan.create += part.create
            plan.update |= part.update
            plan.delete |= part.delete
            plan.kept |= part.kept
        for pieces in by_ports.values():
            plan.delete |= {name_of(piece): piece for piece in pieces}
        if len(plan.delete) == len(existing) and not plan.create:
            self._put_placeholder(plan, service, family)
        self._hint(key, service, plan, family)
        return plan

    def _desired(
        self, key: str, service: JsonObject, family: str, missing: dict[str, str]
    ) -> _Desired:
        """Return the endpoints that there should be, by their ports."""
        found: _Desired = {}
        # Pods of one template have the same ports.
        keys: dict[tuple[tuple[str, str, int], ...], PortsKey] = {}
        unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
        for pod in self._selections.pods(key):
            if not backends.is_listed(pod, even_terminating=True):
                continue
            named = pod.network.ports
            ports = keys.get(named)
            if ports is None:
                told = ports_of(pod, service)
                ports = keys[named] = ports_key(told)
                found.setdefault(ports, (told, {}))
            zone = self._zones.zone_of(pod.node)
            if zone is None and not unready_too:
                missing[pod.name] = pod.node
                continue
            endpoint = endpoint_of(pod, zone or "", service, family)
            if endpoint is not None:
                found[ports][1][identity(endpoint)] = endpoint
        return found

    def _put_placeholder(self, plan: Plan, service: JsonObject, family: str) -> None:
        if len(plan.delete) == 1:
            (name, piece), *_ = plan.delete.items()
            if is_owned_by(piece, service) and is_placeholder(piece, service):
                plan.kept[name] = plan.delete.pop(name)
                return
        plan.create.append(new_slice(service, [], family, []))

    def _hint(self, key: str, service: JsonObject, plan: Plan, family: str) -> None:
        """Put hints on the endpoints of a plan, or take them away."""
        said = None
        hint = hints.hint_by(service["spec"].get("trafficDistribution"))
        if hints.is_automatic(service):
            said = topology.add_hints(self._hinted, self._zones.shares(), (key, family), plan)
        else:
            if self._hinted.is_on(key):
                said = topology.turned_off(family)
            self._hinted.drop(key, family)
            if hint is None:
                hints.remove(plan)
            else:
                hints.apply(plan, hint)
        if said is not None:
            about = reference_of(SERVICE, service)
            tell = self._recorder.warn if said.is_warning else self._recorder.note
            tell(about, said.reason, said.text)


def index_by_service(piece: JsonObject) -> str | tuple[str, ...]:
    """Return which Service a slice is of, for the informer's index "service"."""
    return service_key(piece) or ()

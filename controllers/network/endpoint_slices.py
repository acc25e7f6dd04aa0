"""The controller of EndpointSlices (pkg/controller/endpointslice).

A Service with a selector has, for each of its address families and each set of ports that its pods
have, as many slices as their endpoints need; one without endpoints has an empty one. What is to be
written, `slice_planner.py` decides on briefs of pods and on the slices of that one Service. A sync
waits until the watch has told of what the last one wrote (`slice_tracker.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.network import backends
from controllers.network.nodes import Zones
from controllers.network.selected import SelectedServices
from controllers.network.slice_planner import SlicePlanner, Snapshot
from controllers.network.slice_tracker import SliceTracker
from controllers.network.slice_writer import SliceWriter, service_key
from controllers.network.slices import (
    MANAGER,
)
from controllers.recorder import Recorder
from controllers.selections import PodGroups
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import epoch_s
from kube.client import ApiClient, Unreachable
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

SERVICE: Final = Kind("v1", "Service", "services")
_STALE_S: Final = 0.05
_NAMED_MAX: Final = 10


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
        self._selected = selected = SelectedServices(client.clock, services, groups)
        self._tracker = SliceTracker(client.clock)
        self._writer = SliceWriter(client, self._tracker)
        self._planner = SlicePlanner(selected.selections, self._pieces, zones)
        pieces.on_changes(self._observe_pieces)
        zones.listen(self._observe_zones)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        self._selected.start(scope, self.sync, "endpoint slices")

    def _observe_pieces(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            for key in self._writer.surprised(delta, MANAGER):
                self._selected.paced.add_for_pod(key)

    def _observe_zones(self) -> None:
        for key in self._planner.hinted.overloaded(self._zones.shares()):
            self._selected.paced.add(key)

    async def sync(self, key: str) -> float | None:
        """Bring the slices of a Service to what they should be; return when to look again.

        Raises:
            NodesMissing: some pods' nodes do not exist (yet).
            StatusError, Unreachable: the server refused, or is away.
        """
        service = self._services.get(key)
        if service is None:
            self._selected.forget(key)
            self._tracker.forget(key)
            self._planner.forget(key)
            self._planner.hinted.drop(key)
            return None
        if key not in self._selected.selections:
            return None
        raw = self._services.raw(key)
        assert raw is not None
        snapshot = self._planner.look(key, service, raw)
        if self._tracker.is_stale(key, snapshot.versions()):
            return _STALE_S
        since_s = self._selected.times.take(key, epoch_s(service["metadata"]["creationTimestamp"]))
        try:
            await self._reconcile(key, service, snapshot, since_s)
        except (NodesMissing, StatusError, Unreachable) as error:
            self._planner.forget(key)
            text = f"Error updating Endpoint Slices for Service {key}: {error}"
            about = reference_of(SERVICE, service)
            self._recorder.warn(about, "FailedToUpdateEndpointSlices", text[:1024])
            raise
        return None

    async def _reconcile(
        self, key: str, service: JsonObject, snapshot: Snapshot, since_s: int
    ) -> None:
        families = backends.families_of(service)
        await self._writer.write(key, service, self._planner.foreign(key, snapshot, families), 0)
        missing: dict[str, str] = {}
        for family in families:
            plan, said = self._planner.plan(key, service, snapshot, family, missing)
            await self._writer.write(key, service, plan, since_s)
            if said is not None:
                about = reference_of(SERVICE, service)
                tell = self._recorder.warn if said.is_warning else self._recorder.note
                tell(about, said.reason, said.text)
        if missing:
            shown = [
                f"skipping Pod {name} for Service {key}: Node {node} Not Found"
                for name, node in list(missing.items())[:_NAMED_MAX]
            ]
            raise NodesMissing(shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]")
        self._planner.keep(key, snapshot)


def index_by_service(piece: JsonObject) -> str | tuple[str, ...]:
    """Return which Service a slice is of, for the informer's index "service"."""
    return service_key(piece) or ()

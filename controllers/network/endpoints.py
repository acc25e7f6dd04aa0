"""The controller of Endpoints (pkg/controller/endpoint), for those who do not read slices yet.

One object for a Service with a selector, of its name, labels and at most 1000 addresses. An object
is written when its subsets, labels or the note that it was cut short differ, and then carries the
time since which it should have been so. Endpoints without a Service, of which some may be left from
while nobody looked, are deleted; those of leader elections of old are not. Endpoints of a Service
without a selector are somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from controllers.network import backends
from controllers.network.selected import SelectedServices
from controllers.network.subsets import render, subsets_of, truncate
from controllers.recorder import Recorder
from controllers.selections import PodGroups
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import has_cause, reference_of
from controllers.workloads.pods import epoch_s
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

ENDPOINTS: Final = Kind("v1", "Endpoints", "endpoints")
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
CONTROLLER: Final = "endpoint-controller"
_STALE_S: Final = 0.05
_log = logging.getLogger(__name__)


class EndpointsController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        services, endpoints: their informers.
        groups: all pods.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        services: Informer,
        endpoints: Informer,
        groups: PodGroups,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._services = services.store
        self._endpoints = endpoints.store
        self._selected = SelectedServices(client.clock, services, groups)
        self._is_started = False
        self._written: dict[str, str] = {}
        """By key, the revision that a write replaced: a cache that has it is stale."""
        endpoints.on_changes(self._observe_endpoints)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        self._is_started = True
        self._selected.start(scope, self.sync, "endpoints")

    def _observe_endpoints(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            # What is told at the start may have lost its Service while nobody looked. Later it
            # is somebody's who makes the Service afterwards.
            is_left = not self._is_started and _is_ours(obj)
            if change is Change.DELETED:
                self._written.pop(key, None)
            if change is Change.DELETED or is_left:
                self._selected.paced.add(key)

    async def sync(self, key: str) -> float | None:
        """Bring the Endpoints of a Service to what they should be; return when to look again."""
        service = self._services.get(key)
        current = self._endpoints.get(key)
        if service is None:
            self._forget(key)
            if current is not None and not _is_election(current):
                await self._delete(key)
            return None
        if key not in self._selected.selections:
            return None
        if current is not None:
            if self._written.get(key) == current["metadata"]["resourceVersion"]:
                return _STALE_S
            self._written.pop(key, None)
        since_s = self._selected.times.take(key, epoch_s(service["metadata"]["creationTimestamp"]))
        chosen, is_cut = truncate(subsets_of(service, self._selected.selections.pods(key)))
        subsets = render(chosen, service)
        if current is not None and _is_as_it_should_be(current, service, subsets, is_cut=is_cut):
            return None
        wanted = _endpoints(current, service, subsets, is_cut=is_cut)
        notes = wanted["metadata"].setdefault("annotations", {})
        if since_s:
            notes[backends.TRIGGER_TIME] = times.format_seconds(since_s)
        else:
            notes.pop(backends.TRIGGER_TIME, None)
        await self._write(key, current, wanted)
        return None

    def _forget(self, key: str) -> None:
        self._selected.forget(key)
        self._written.pop(key, None)

    async def _delete(self, key: str) -> None:
        try:
            await self._client.request("DELETE", ENDPOINTS.path(key))
        except StatusError as error:
            if error.code != 404:
                raise

    async def _write(self, key: str, current: JsonObject | None, wanted: JsonObject) -> None:
        path = ENDPOINTS.path(key)
        try:
            if current is None:
                await self._client.request("POST", path.rpartition("/")[0], wanted)
                return
            written = await self._client.request("PUT", path, wanted)
        except (StatusError, Unreachable) as error:
            if current is None and has_cause(error, "NamespaceTerminating"):
                return
            about = reference_of(ENDPOINTS, {**wanted, "metadata": {"uid": "", **_meta(wanted)}})
            if current is None:
                text = f"Failed to create endpoint for service {key}: {error}"
                self._recorder.warn(about, "FailedToCreateEndpoint", text)
            else:
                text = f"Failed to update endpoint {key}: {error}"
                self._recorder.warn(about, "FailedToUpdateEndpoint", text)
            raise
        revision = current["metadata"]["resourceVersion"]
        if written["metadata"]["resourceVersion"] != revision:
            self._written[key] = revision


def _meta(obj: JsonObject) -> JsonObject:
    metadata: JsonObject = obj["metadata"]
    return metadata


def _is_election(endpoints: JsonObject) -> bool:
    return LEADER in (endpoints["metadata"].get("annotations") or {})


def _is_ours(endpoints: JsonObject) -> bool:
    labels = endpoints["metadata"].get("labels") or {}
    return bool(labels.get(MANAGED_BY) == CONTROLLER) and not _is_election(endpoints)


def _labels(service: JsonObject) -> Mapping[str, str]:
    labels: Mapping[str, str] = service["metadata"].get("labels") or {}
    return labels


def _is_as_it_should_be(
    current: JsonObject, service: JsonObject, subsets: list[JsonObject], *, is_cut: bool
) -> bool:
    metadata = current["metadata"]
    labels = dict(metadata.get("labels") or {})
    labels.pop(backends.HEADLESS, None)
    wanted = {key: value for key, value in _labels(service).items() if key != backends.HEADLESS}
    labels.pop(MANAGED_BY, None)
    wanted.pop(MANAGED_BY, None)
    noted = OVER_CAPACITY in (metadata.get("annotations") or {})
    return labels == wanted and noted is is_cut and _canonical(current) == subsets


def _canonical(endpoints: JsonObject) -> list[JsonObject]:
    """Return the subsets as they are stored, without what references say of revisions."""
    subsets: list[JsonObject] = endpoints.get("subsets") or []
    for subset in subsets:
        for name in ("addresses", "notReadyAddresses"):
            for address in subset.get(name) or ():
                if (target := address.get("targetRef")) is not None:
                    target.pop("resourceVersion", None)
    return subsets


def _endpoints(
    current: JsonObject | None, service: JsonObject, subsets: list[JsonObject], *, is_cut: bool
) -> JsonObject:
    """Return the object that is to be written."""
    known = service["metadata"]
    metadata = dict(current["metadata"]) if current is not None else {"name": known["name"]}
    metadata["namespace"] = known["namespace"]
    labels = dict(_labels(service))
    labels[MANAGED_BY] = CONTROLLER
    if backends.is_headless(service):
        labels[backends.HEADLESS] = ""
    else:
        labels.pop(backends.HEADLESS, None)
    metadata["labels"] = labels
    notes = dict(metadata.get("annotations") or {})
    notes.pop(OVER_CAPACITY, None)
    if is_cut:
        notes[OVER_CAPACITY] = "truncated"
    metadata["annotations"] = notes
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}

"""Slices of Endpoints that people keep themselves (pkg/controller/endpointslicemirroring).

Endpoints whose Service has no selector are mirrored: one slice for each subset and family, of at
most 1000 addresses, with the labels and annotations of the Endpoints, which own it. Endpoints that
say so, or are a leader election's, are not. When nothing is to be mirrored any more, slices go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from controllers.network import backends
from controllers.network.endpoints import ENDPOINTS, LEADER
from controllers.network.settled import PortsKey
from controllers.network.slice_tracker import SliceTracker, version_of
from controllers.network.slice_writer import SliceWriter
from controllers.network.slices import (
    MANAGED_BY,
    SERVICE_NAME,
    Identity,
    Plan,
    endpoints_of,
    identity,
    is_same,
    name_of,
    ports_key,
    prefix_of,
)
from controllers.recorder import Recorder
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import canonical_ip
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
ADDRESSES_MAX: Final = 1000
_SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_WORKERS: Final = 5
_STALE_S: Final = 0.05
_Key = tuple[str, PortsKey]


class _Wanted:
    """The endpoints of one family and set of ports."""

    def __init__(self, ports: list[JsonObject]) -> None:
        self.ports = ports
        self.endpoints: dict[Identity, JsonObject] = {}


def is_mirrored(endpoints: JsonObject) -> bool:
    """Tell whether Endpoints may be mirrored, as far as they say themselves."""
    metadata = endpoints["metadata"]
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return bool(labels.get(_SKIP) != "true") and LEADER not in notes


def plan_of(endpoints: JsonObject, existing: Sequence[JsonObject]) -> tuple[Plan, int, int]:
    """Return what is to be written, how many addresses are none, and how many are left out."""
    wanted: dict[_Key, _Wanted] = {}
    invalid = skipped = 0
    for subset in endpoints.get("subsets") or ():
        bad, left = _read(subset, wanted)
        invalid += bad
        skipped += left
    by_key: dict[_Key, list[JsonObject]] = {}
    for piece in existing:
        key = (piece["addressType"], ports_key(piece.get("ports")))
        by_key.setdefault(key, []).append(piece)
    plan = Plan()
    for key, group in wanted.items():
        _plan_group(plan, endpoints, key[0], group, by_key.pop(key, []))
    for pieces in by_key.values():
        plan.delete |= {name_of(piece): piece for piece in pieces}
    return plan, invalid, skipped


def _read(subset: JsonObject, wanted: dict[_Key, _Wanted]) -> tuple[int, int]:
    ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
    key = ports_key(ports)
    added = invalid = total = 0
    for name, is_ready in (("addresses", True), ("notReadyAddresses", False)):
        addresses = subset.get(name) or ()
        total += len(addresses)
        for address in addresses:
            if added >= ADDRESSES_MAX:
                break
            endpoint, family = _endpoint(address, is_ready=is_ready)
            if not family:
                invalid += 1
                continue
            group = wanted.setdefault((family, key), _Wanted(ports))
            group.endpoints[identity(endpoint)] = endpoint
            added += 1
    return invalid, total - added


def _endpoint(address: JsonObject, *, is_ready: bool) -> tuple[JsonObject, str]:
    ip = canonical_ip(address["ip"])
    family = "IPv6" if ":" in ip else "IPv4" if ip.count(".") == 3 else ""
    endpoint: JsonObject = {"addresses": [ip], "conditions": {"ready": is_ready}}
    for name in ("targetRef", "nodeName"):
        if address.get(name):
            endpoint[name] = address[name]
    if address.get("hostname"):
        endpoint["hostname"] = address["hostname"]
    return endpoint, family


def _plan_group(
    plan: Plan, endpoints: JsonObject, family: str, group: _Wanted, existing: list[JsonObject]
) -> None:
    fresh = _slice(endpoints, group.ports, family, list(group.endpoints.values())[:ADDRESSES_MAX])
    if not existing:
        plan.create.append(fresh)
        return
    first, *others = existing
    plan.delete |= {name_of(piece): piece for piece in others}
    if _is_alike(first, group.endpoints, fresh):
        plan.kept[name_of(first)] = first
        return
    metadata = {**first["metadata"], **fresh["metadata"]}
    metadata.pop("generateName", None)
    plan.update[name_of(first)] = {**fresh, "metadata": metadata}


def _is_alike(piece: JsonObject, wanted: dict[Identity, JsonObject], fresh: JsonObject) -> bool:
    metadata, new = piece["metadata"], fresh["metadata"]
    notes = dict(metadata.get("annotations") or {})
    notes.pop(backends.TRIGGER_TIME, None)
    if metadata.get("labels") != new["labels"] or notes != new["annotations"]:
        return False
    endpoints = endpoints_of(piece)
    return len(endpoints) == len(wanted) and all(
        (other := wanted.get(identity(one))) is not None and is_same(other, one)
        for one in endpoints
    )


def _slice(
    endpoints: JsonObject, ports: list[JsonObject], family: str, found: list[JsonObject]
) -> JsonObject:
    metadata = endpoints["metadata"]
    notes = dict(metadata.get("annotations") or {})
    for name in (backends.TRIGGER_TIME, _LAST_APPLIED):
        notes.pop(name, None)
    owner = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {
        **(metadata.get("labels") or {}),
        SERVICE_NAME: metadata["name"],
        MANAGED_BY: MANAGER,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": prefix_of(metadata["name"]),
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [owner],
        },
        "addressType": family,
        "ports": ports,
        "endpoints": found,
    }


class MirroringController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        services, endpoints, pieces: informers; that of slices indexed by "service".
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        services: Informer,
        endpoints: Informer,
        pieces: Informer,
    ) -> None:
        self._recorder = recorder
        self._services = services.store
        self._endpoints = endpoints.store
        self._pieces = pieces.store
        self._queue: WorkQueue[str] = WorkQueue()
        self._tracker = SliceTracker(client.clock)
        self._writer = SliceWriter(client, self._tracker)
        services.on_changes(self._observe_services)
        endpoints.on_changes(self._observe)
        pieces.on_changes(self._observe_pieces)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            worker = run_worker(self._queue, self.sync)
            scope.spawn(worker, name=f"mirrored slices {number}")

    def _observe_services(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            has = bool(delta.object["spec"].get("selector"))
            if not delta.before:
                if not has:
                    self._queue.add(delta.key)
            elif has != bool(orjson.loads(delta.before)["spec"].get("selector")):
                self._queue.add(delta.key)

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            if is_mirrored(delta.object) or (
                delta.before and is_mirrored(orjson.loads(delta.before))
            ):
                self._queue.add(delta.key)

    def _observe_pieces(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            for key in self._writer.surprised(delta, MANAGER):
                self._queue.add(key)

    async def sync(self, key: str) -> float | None:
        """Bring the slices of Endpoints to what they should be; return when to look again.

        Raises:
            StatusError, Unreachable: the server refused, or is away.
        """
        existing = [
            piece
            for piece in self._pieces.find("service", key)
            if (piece["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
        ]
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        wants = endpoints is not None and is_mirrored(endpoints)
        if endpoints is None or service is None or not wants or service["spec"].get("selector"):
            self._tracker.forget(key)
            if existing:
                plan = Plan(delete={name_of(piece): piece for piece in existing})
                await self._writer.write(key, existing[0], plan, 0)
                self._tracker.forget(key)
            return None
        if self._tracker.is_stale(key, map(version_of, existing)):
            return _STALE_S
        plan, invalid, skipped = plan_of(endpoints, existing)
        self._tell(endpoints, invalid, skipped)
        await self._writer.write(key, endpoints, plan, 0)
        return None

    def _tell(self, endpoints: JsonObject, invalid: int, skipped: int) -> None:
        about: dict[str, Any] = reference_of(ENDPOINTS, endpoints)
        if invalid:
            text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
            self._recorder.warn(about, "InvalidIPAddress", text)
        if skipped > invalid:
            text = (
                f"A max of {ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per "
                f"Endpoints subset. {skipped} addresses were skipped"
            )
            self._recorder.warn(about, "TooManyAddressesToMirror", text)

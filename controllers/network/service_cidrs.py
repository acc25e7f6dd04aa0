"""Ranges of service addresses: kept while addresses of theirs are in use (servicecidrs).

Each range has a finalizer and says that it is ready. One that is being deleted goes ten seconds
later, if another contains it or no address would be left without a range; until then its condition
says what it waits for. Addresses themselves need no repair here: the API server writes a Service
and the objects that claim its addresses in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from controllers.recorder import Recorder
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

PATH: Final = "/apis/networking.k8s.io/v1/servicecidrs"
ADDRESSES: Final = "/apis/networking.k8s.io/v1/ipaddresses"
FINALIZER: Final = "networking.k8s.io/service-cidr-finalizer"
CONTROLLER: Final = "service-cidr-controller"
GRACE_S: Final = 10.0
_MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR: Final = "ipallocator.k8s.io"
_APPLY: Final = "application/apply-patch+yaml"
_READY_TEXT: Final = "Kubernetes Service CIDR is ready"
_IN_USE_TEXT: Final = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
    "ServiceCIDR"
)
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class ServiceCidrController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        ranges, addresses: informers of ServiceCIDRs and IPAddresses.
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, ranges: Informer, addresses: Informer
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._ranges = ranges.store
        self._queue: WorkQueue[str] = WorkQueue()
        self._networks: dict[str, list[Network]] = {}
        self._going: set[str] = set()
        self._addresses: dict[str, Address] = {}
        ranges.on_changes(self._observe)
        addresses.on_changes(self._observe_addresses)

    def start(self, scope: TaskScope) -> None:
        """Start the worker, once all watches are synced."""
        scope.spawn(run_worker(self._queue, self.sync), name="service CIDRs")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            self._queue.add(key)
            # What overlaps may keep another's addresses, or not any more.
            for other in self._going:
                self._queue.add(other)
            if change is Change.DELETED:
                self._networks.pop(key, None)
                self._going.discard(key)
                continue
            self._networks[key] = networks_of(obj)
            if "deletionTimestamp" in obj["metadata"]:
                self._going.add(key)

    def _observe_addresses(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            if (obj["metadata"].get("labels") or {}).get(_MANAGED_BY) != _ALLOCATOR:
                self._addresses.pop(key, None)
                continue
            if change is Change.DELETED:
                self._addresses.pop(key, None)
            else:
                self._addresses[key] = ip_address(obj["metadata"]["name"])
            if change is not Change.MODIFIED:
                # Only a range that is going depends on what addresses there are.
                for name in self._going:
                    self._queue.add(name)

    async def sync(self, key: str) -> float | None:
        """Bring a range to what it should be; return when to look again.

        Raises:
            StatusError, Unreachable: the server refused, or is away.
        """
        found = self._ranges.get(key)
        if found is None:
            return None
        metadata = found["metadata"]
        if "deletionTimestamp" not in metadata:
            if FINALIZER not in (metadata.get("finalizers") or ()):
                await self._patch(key, {"finalizers": [FINALIZER]})
            try:
                await self._set_ready(found, "True", "", _READY_TEXT)
            except (StatusError, Unreachable):
                about = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR"}
                about |= {"name": key, "uid": metadata["uid"]}
                text = "The ServiceCIDR Status can not be set to Ready=True"
                self._recorder.warn(about, "KubernetesServiceCIDRError", text)
                raise
            return None
        if not can_go(key, self._networks, self._addresses.values()):
            await self._set_ready(found, "False", "Terminating", _IN_USE_TEXT)
            return None
        since_s = times.epoch_seconds(metadata["deletionTimestamp"])
        left_s = GRACE_S - (self._client.clock.now_s() - since_s)
        if left_s > 0:
            return min(left_s, GRACE_S)
        if FINALIZER in (metadata.get("finalizers") or ()):
            await self._patch(key, {"$deleteFromPrimitiveList/finalizers": [FINALIZER]})
        return None

    async def _patch(self, key: str, metadata: JsonObject) -> None:
        change = Patch({"metadata": metadata}, STRATEGIC_PATCH)
        try:
            await self._client.request("PATCH", f"{PATH}/{key}", change)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _set_ready(self, found: JsonObject, status: str, reason: str, text: str) -> None:
        conditions = (found.get("status") or {}).get("conditions") or ()
        for one in conditions:
            if one["type"] == "Ready" and (
                (one["status"], one.get("reason", ""), one.get("message", ""))
                == (status, reason, text)
            ):
                return
        now = times.format_seconds(int(self._client.clock.now_s()))
        condition = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": text,
            "lastTransitionTime": now,
        }
        name = found["metadata"]["name"]
        applied = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": name},
            "status": {"conditions": [condition]},
        }
        query = {"fieldManager": CONTROLLER, "force": "true"}
        patch = Patch(applied, _APPLY)
        await self._client.request("PATCH", f"{PATH}/{name}/status", patch, query=query)


def networks_of(obj: JsonObject) -> list[Network]:
    """Return the ranges of a ServiceCIDR."""
    return [ip_network(text, strict=False) for text in obj["spec"].get("cidrs") or ()]


def can_go(name: str, networks: dict[str, list[Network]], addresses: Iterable[Address]) -> bool:
    """Tell whether a range may go: others contain it, or no address would be without a range.

    Args:
        name: of the range.
        networks: of all ranges, by name.
        addresses: those in use.
    """
    mine = networks.get(name, [])
    others = [one for key, group in networks.items() if key != name for one in group]
    if all(any(_contains(other, one) for other in others) for one in mine):
        return True
    return not any(
        any(address in one for one in mine) and not any(address in other for other in others)
        for address in addresses
    )


def _contains(outer: Network, inner: Network) -> bool:
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network):
        return inner.subnet_of(outer)
    return False

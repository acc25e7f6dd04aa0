"""Writing what devices a pod's claims have, before the pod is bound (DynamicResources' PreBind)."""

from __future__ import annotations

import asyncio
from typing import Final

from controllers.scheduler.binder import Binding
from controllers.scheduler.devices.plugin import Devices
from controllers.scheduler.preparation import NotPrepared
from controllers.scheduler.settings import CLAIMS
from controllers.volumes.device_facts import CLAIM, FINALIZER
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.queues import BoundedQueue, QueueFull
from runtime.tasks import TaskScope

_TRIES_MAX: Final = 5
_TIMEOUT_S: Final = 600.0
_WAITING_MAX: Final = 1024


class DeviceStep:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        devices: what was decided.
        store: claims as the API has them.
    """

    plugin = CLAIMS

    def __init__(self, client: ApiClient, devices: Devices, store: Store) -> None:
        self._client = client
        self._devices = devices
        self._store = store
        self._idle: BoundedQueue[tuple[str, str]] = BoundedQueue(_WAITING_MAX)
        self._waiting: dict[str, set[asyncio.Event]] = {}
        devices.deallocate = self._offer
        devices.book.on_claim.append(self._wake)

    def start(self, scope: TaskScope) -> None:
        """Start to deallocate what nobody uses."""
        scope.spawn(self._run(), name="device deallocations")

    def has_work(self, uid: str) -> bool:
        """Tell whether a pod has claims that are not reserved for it."""
        reserved = self._devices.reserved(uid)
        return reserved is not None and bool(reserved.claims)

    async def prepare(self, binding: Binding) -> None:
        """Write allocations and reservations; wait for what devices want before.

        Raises:
            NotPrepared: somebody was faster, or a device failed to get ready.
            StatusError, Unreachable: a write was refused, or not answered.
        """
        uid = binding.pod.uid
        reserved = self._devices.reserved(uid)
        assert reserved is not None
        consumer = {
            "resource": "pods",
            "name": binding.pod.key.partition("/")[2],
            "uid": uid,
        }
        for key in reserved.claims:
            await self._write(key, reserved.allocations.get(key), consumer)
        for key in reserved.allocations:
            await self._wait_for_conditions(key, reserved.allocations[key], uid)

    async def _write(self, key: str, allocation: JsonObject | None, consumer: JsonObject) -> None:
        claim = self._store.get(key)
        for number in range(_TRIES_MAX):
            if number or claim is None:
                claim = await self._client.request("GET", CLAIM.path(key))
            if "deletionTimestamp" in claim["metadata"]:
                raise NotPrepared(f"claim {key} got deleted in the meantime")
            try:
                await self._write_once(key, claim, allocation, consumer)
            except StatusError as error:
                if error.code != 409 or number + 1 == _TRIES_MAX:
                    raise
            else:
                return

    async def _write_once(
        self, key: str, claim: JsonObject, allocation: JsonObject | None, consumer: JsonObject
    ) -> None:
        status = dict(claim.get("status") or {})
        if allocation is not None:
            if status.get("allocation") is not None:
                raise NotPrepared(f"claim {key} got allocated elsewhere in the meantime")
            finalizers = claim["metadata"].get("finalizers") or []
            if FINALIZER not in finalizers:
                metadata = {**claim["metadata"], "finalizers": [*finalizers, FINALIZER]}
                claim = await self._client.request(
                    "PUT", CLAIM.path(key), {**claim, "metadata": metadata}
                )
            now = times.format_seconds(int(self._client.clock.now_s()))
            status["allocation"] = {**allocation, "allocationTimestamp": now}
        elif status.get("allocation") is None:
            raise NotPrepared(f"claim {key} is not allocated any more")
        reserved = status.get("reservedFor") or []
        if all(one.get("uid") != consumer["uid"] for one in reserved):
            status["reservedFor"] = [*reserved, consumer]
        await self._client.request("PUT", f"{CLAIM.path(key)}/status", {**claim, "status": status})

    async def _wait_for_conditions(self, key: str, allocation: JsonObject, uid: str) -> None:
        results = [one for one in allocation["devices"]["results"] if one.get("bindingConditions")]
        if not results:
            return
        event = asyncio.Event()
        self._waiting.setdefault(key, set()).add(event)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while not all([self._is_ready(key, one) for one in results]):
                    await event.wait()
                    event.clear()
        except (TimeoutError, NotPrepared) as error:
            await self._deallocate(key, uid)
            raise NotPrepared(str(error) or "device binding timeout") from None
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _is_ready(self, key: str, result: JsonObject) -> bool:
        claim = self._devices.book.claims.get(key)
        if claim is None:
            raise NotPrepared(f"claim {key} got deleted in the meantime")
        device = (result["driver"], result["pool"], result["device"])
        said = claim.conditions.get(device, {})
        for name in result.get("bindingFailureConditions") or ():
            if said.get(name) == "True":
                text = "claim binding failed due to binding failure conditions"
                raise NotPrepared(f"{text}: {name} of device {'/'.join(device)}")
        return all(said.get(name) == "True" for name in result["bindingConditions"])

    def _wake(self, key: str) -> None:
        for event in self._waiting.get(key, ()):
            event.set()

    def _offer(self, key: str, uid: str) -> None:
        try:
            self._idle.offer((key, uid))
        except QueueFull:
            return  # its pod comes again

    async def _run(self) -> None:
        while True:
            for key, uid in await self._idle.get_batch(1):
                try:
                    await self._deallocate(key, uid)
                except (StatusError, Unreachable):
                    continue  # its pod comes again

    async def _deallocate(self, key: str, uid: str) -> None:
        """Free a claim, unless another pod has come to use it."""
        claim = await self._client.request("GET", CLAIM.path(key))
        reserved = (claim.get("status") or {}).get("reservedFor") or ()
        if any(one.get("uid") != uid for one in reserved):
            return
        left = ("allocation", "reservedFor", "devices")
        status = {
            name: value for name, value in (claim.get("status") or {}).items() if name not in left
        }
        await self._client.request("PUT", f"{CLAIM.path(key)}/status", {**claim, "status": status})

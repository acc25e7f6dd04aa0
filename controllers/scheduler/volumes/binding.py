"""Binding a pod's volumes before the pod: what BindPodVolumes does.

A volume that was found gets its claim; a claim whose volume is to be made gets the annotation
selected-node, which whoever provisions waits for. The rest is the work of the controllers of
volumes; here it is waited for, by what the watches tell. An end in the middle loses nothing: what
was written is found again, as a volume that is meant for the claim, or a claim that is meant for a
node.
"""

from __future__ import annotations

import asyncio
from typing import Final

from controllers.scheduler.binder import Binding
from controllers.scheduler.columns import NodeColumns
from controllers.scheduler.preparation import NotPrepared
from controllers.scheduler.settings import BINDING, Profile
from controllers.scheduler.volumes.book import Book
from controllers.scheduler.volumes.briefs import Claim, matches_terms
from controllers.scheduler.volumes.plugin import Reserved, Volumes
from controllers.volumes import facts
from kube.client import ApiClient
from kube.informers.store import Store
from kube.json_types import JsonObject

_TIMED_OUT: Final = "binding volumes: context deadline exceeded"


class VolumeStep:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        volumes: what was decided.
        stores: claims and volumes as the API has them.
        profiles: by the name of the scheduler.
    """

    plugin = BINDING

    def __init__(
        self,
        client: ApiClient,
        volumes: Volumes,
        stores: tuple[Store, Store],
        profiles: dict[str, Profile],
    ) -> None:
        self._client = client
        self._volumes = volumes
        self._columns: NodeColumns = volumes.attached.columns
        self._book: Book = volumes.book
        self._claims, self._persistent = stores
        self._profiles = profiles
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._book.on_claim.append(self._wake)

    def has_work(self, uid: str) -> bool:
        """Tell whether a pod has volumes to be bound."""
        return self._volumes.reserved(uid) is not None

    async def prepare(self, binding: Binding) -> None:
        """Write, and wait until all claims are bound.

        Raises:
            NotPrepared: provisioning failed, or something contradicts what was decided.
            StatusError, Unreachable: a write was refused, or not answered.
        """
        reserved = self._volumes.reserved(binding.pod.uid)
        assert reserved is not None
        if not (reserved.choice.is_bindable and reserved.choice.has_space):
            raise NotPrepared(f"volumes of the pod cannot be had on node {reserved.node} any more")
        written: dict[str, int] = {}
        for claim, volume in reserved.choice.found:
            await self._give(claim, volume.name)
        for claim in reserved.choice.provisioned:
            written[claim.key] = await self._select(claim, reserved.node)
        timeout_s = self._profiles[binding.pod.shape.scheduler].bind_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait(binding.pod.uid, reserved, written)
        except TimeoutError:
            raise NotPrepared(_TIMED_OUT) from None

    async def _give(self, claim: Claim, name: str) -> None:
        """Have a volume for a claim; the controller of volumes does the rest."""
        volume, known = self._persistent.get(name), self._claims.get(claim.key)
        if volume is None or known is None:
            raise NotPrepared(f'persistentvolume "{name}" or its claim is gone')
        if facts.is_for(volume, known) and volume["spec"]["claimRef"].get("uid"):
            return
        metadata = known["metadata"]
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        body = volume
        if not volume["spec"].get("claimRef"):
            body = _annotated(volume, facts.BOUND_BY_CONTROLLER, "yes")
        body = {**body, "spec": {**body["spec"], "claimRef": reference}}
        await self._client.request("PUT", f"{facts.VOLUMES}/{name}", body)

    async def _select(self, claim: Claim, node: str) -> int:
        """Have a claim's volume made for a node; return the revision from which that is known."""
        known = self._claims.get(claim.key)
        if known is None:
            raise NotPrepared(f'persistentvolumeclaim "{claim.name}" not found')
        if facts.annotation(known, facts.SELECTED_NODE) == node:
            return int(known["metadata"].get("resourceVersion") or 0)
        body = _annotated(known, facts.SELECTED_NODE, node)
        written = await self._client.request("PUT", facts.CLAIM.path(claim.key), body)
        return int(written["metadata"].get("resourceVersion") or 0)

    async def _wait(self, uid: str, reserved: Reserved, written: dict[str, int]) -> None:
        event = asyncio.Event()
        keys = [claim.key for claim, _ in reserved.choice.found]
        keys += [claim.key for claim in reserved.choice.provisioned]
        for key in keys:
            self._waiting.setdefault(key, set()).add(event)
        try:
            while not all([self._is_bound(key, reserved.node, written) for key in keys]):
                await event.wait()
                event.clear()
                if self._volumes.reserved(uid) is None:
                    raise NotPrepared("pod does not exist any more")
        finally:
            for key in keys:
                self._waiting[key].discard(event)
                if not self._waiting[key]:
                    del self._waiting[key]

    def _is_bound(self, key: str, node: str, written: dict[str, int]) -> bool:
        claim = self._book.claims.get(key)
        name = key.partition("/")[2]
        if claim is None:
            raise NotPrepared(f'binding volumes: persistentvolumeclaim "{name}" not found')
        if claim.revision < written.get(key, 0):
            return False  # the watch is behind what was written
        if key in written and claim.node != node:
            raise NotPrepared(f'binding volumes: provisioning failed for PVC "{name}"')
        volume = self._book.volumes.get(claim.volume) if claim.volume else None
        if volume is not None:
            slot = self._columns.slot_of.get(node)
            labels = self._columns.labels_of(slot) if slot is not None else {}
            if not matches_terms(volume.terms, labels):
                text = f'pv "{volume.name}" node affinity doesn\'t match node "{node}"'
                raise NotPrepared(f"binding volumes: {text}")
        return claim.is_bound and volume is not None

    def _wake(self, claim: str) -> None:
        for event in self._waiting.get(claim, ()):
            event.set()


def _annotated(obj: JsonObject, name: str, value: str) -> JsonObject:
    metadata = obj["metadata"]
    notes = {**(metadata.get("annotations") or {}), name: value}
    return {**obj, "metadata": {**metadata, "annotations": notes}}

"""What becomes of one volume: available, bound, released, and what its reclaim policy asks for.

Nothing here deletes storage: a volume that somebody outside made is deleted by them, once they see
it released. One that nobody could delete, or recycle, is failed, with upstream's words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.volumes import facts
from controllers.volumes.writes import VOLUME, Writes
from kube.client import ApiClient
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

_SETTLED: Final = frozenset({"Released", "Failed"})


class VolumeSync:
    """See the module's head.

    Args of the constructor:
        client: who reads.
        claims, volumes: as the watch told of them.
        writes: who writes and tells.
        queue_claim: has a claim looked at.
    """

    def __init__(
        self,
        client: ApiClient,
        claims: Store,
        volumes: Store,
        writes: Writes,
        queue_claim: Callable[[str], None],
    ) -> None:
        self._client = client
        self._claims = claims
        self._volumes = volumes
        self._writes = writes
        self._queue_claim = queue_claim

    async def read(self, name: str) -> JsonObject | None:
        """Return a volume as the server has it now; None: there is none."""
        return await self._read(f"{facts.VOLUMES}/{name}")

    async def _read(self, path: str) -> JsonObject | None:
        try:
            return await self._client.request("GET", path)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def sync(self, name: str) -> None:
        """Do what a volume needs (syncVolume)."""
        volume = self._volumes.get(name)
        if volume is None:
            return
        writes = self._writes
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            # Unused, or meant for a claim, whose own sync binds it.
            await writes.phase(volume, "Available")
            return
        key = facts.claim_key_of(volume)
        claim = await self._claim(key, reference["uid"], volume)
        if claim is None:
            await self._release(volume)
        elif not claim["spec"].get("volumeName"):
            if facts.mode_of(claim) != facts.mode_of(volume):
                self._tell_of_modes(volume, claim)
            else:
                self._queue_claim(key)
        elif claim["spec"]["volumeName"] == name:
            await writes.phase(volume, "Bound")
        elif (
            facts.annotation(volume, facts.PROVISIONED_BY) is not None
            and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        ):
            # Made for a claim that got another one meanwhile.
            await self._release(volume)
        else:
            await writes.unbind(volume)

    async def _claim(self, key: str, uid: str, volume: JsonObject) -> JsonObject | None:
        """Return the claim that a volume is bound to; None: it is gone, the server says so too."""
        claim = self._claims.get(key)
        if claim is not None and claim["metadata"]["uid"] == uid:
            return claim
        if claim is None and (volume.get("status") or {}).get("phase") in _SETTLED:
            return None
        if not all(map(facts.is_name, key.split("/", 1))):
            return None  # nothing can be called so
        # Who binds may have seen a claim that the watch has not told of yet.
        claim = await self._read(facts.CLAIM.path(key))
        return claim if claim is not None and claim["metadata"]["uid"] == uid else None

    def _tell_of_modes(self, volume: JsonObject, claim: JsonObject) -> None:
        why = "due to incompatible volumeMode."
        name = claim["metadata"]["name"]
        text = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name}" {why}'
        self._writes.warn(VOLUME, volume, "VolumeMismatch", text)
        name = volume["metadata"]["name"]
        text = f'Cannot bind PersistentVolume "{name}" to requested PersistentVolumeClaim {why}'
        self._writes.warn(facts.CLAIM, claim, "VolumeMismatch", text)

    async def _release(self, volume: JsonObject) -> None:
        """Have a volume released, and its reclaim policy followed."""
        writes, name = self._writes, volume["metadata"]["name"]
        if (volume.get("status") or {}).get("phase") not in _SETTLED:
            volume = await writes.phase(volume, "Released")
        match volume["spec"].get("persistentVolumeReclaimPolicy"):
            case "Retain":
                return
            case "Recycle":
                text = "No recycler plugin found for the volume!"
                await writes.fail(volume, "VolumeFailedRecycle", text)
            case "Delete":
                maker = facts.annotation(volume, facts.PROVISIONED_BY) or ""
                is_migrated = facts.annotation(volume, facts.MIGRATED_TO) is not None
                if is_migrated or (maker and not maker.startswith(facts.IN_TREE_PREFIX)):
                    return  # who made it deletes it
                text = f'error getting deleter volume plugin for volume "{name}": '
                text += "no volume plugin matched"
                await writes.fail(volume, "VolumeFailedDelete", text)
            case _:
                text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
                await writes.fail(volume, "VolumeUnknownReclaimPolicy", text)

"""What the binder writes: volumes and claims, whole, on the condition that they are as they were.

Each function returns the object as the server has it then, and writes nothing that is so already.
Volumes that were written go on the shelves at once, before the watch tells of them.
"""

from __future__ import annotations

from typing import Final

from controllers.recorder import Recorder
from controllers.volumes import facts
from controllers.volumes.shelf import Shelves
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import reference_of
from kube.client import ApiClient
from kube.json_types import JsonObject

VOLUME: Final = Kind("v1", "PersistentVolume", "persistentvolumes")
_PRE_RESIZE: Final = "volume.alpha.kubernetes.io/pre-resize-capacity"


class Unbindable(Exception):
    """A claim and a volume contradict each other; somebody has to change one of them."""


class Writes:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        shelves: told of every volume that was written.
    """

    def __init__(self, client: ApiClient, recorder: Recorder, shelves: Shelves) -> None:
        self._client = client
        self._recorder = recorder
        self._shelves = shelves

    def warn(self, kind: Kind, obj: JsonObject, reason: str, message: str) -> None:
        """Tell what is wrong with a claim or a volume."""
        self._recorder.warn(reference_of(kind, obj), reason, message)

    def note(self, kind: Kind, obj: JsonObject, reason: str, message: str) -> None:
        """Tell what happens to a claim or a volume."""
        self._recorder.note(reference_of(kind, obj), reason, message)

    async def volume(self, volume: JsonObject, part: str = "") -> JsonObject:
        """Write a volume, or its status."""
        path = f"{facts.VOLUMES}/{volume['metadata']['name']}{part}"
        written = await self._client.request("PUT", path, volume)
        self._shelves.put(written)
        return written

    async def claim(self, claim: JsonObject, part: str = "") -> JsonObject:
        """Write a claim, or its status."""
        metadata = claim["metadata"]
        path = facts.CLAIM.path(f"{metadata['namespace']}/{metadata['name']}") + part
        return await self._client.request("PUT", path, claim)

    async def phase(self, volume: JsonObject, phase: str, message: str = "") -> JsonObject:
        """Have a volume in a phase."""
        status = volume.get("status") or {}
        if status.get("phase") == phase:
            return volume
        changed = {key: value for key, value in status.items() if key != "message"}
        changed["phase"] = phase
        if message:
            changed["message"] = message
        return await self.volume({**volume, "status": changed}, "/status")

    async def fail(self, volume: JsonObject, reason: str, message: str) -> JsonObject:
        """Have a volume failed, and tell of it if that is news."""
        if (volume.get("status") or {}).get("phase") == "Failed":
            return volume
        written = await self.phase(volume, "Failed", message)
        self.warn(VOLUME, written, reason, message)
        return written

    async def claim_phase(
        self, claim: JsonObject, phase: str, volume: JsonObject | None
    ) -> JsonObject:
        """Have a claim in a phase, with what its volume is like."""
        before = claim.get("status") or {}
        status = {**before, "phase": phase}
        if volume is None:
            status.pop("accessModes", None)
            status.pop("capacity", None)
        else:
            status["accessModes"] = volume["spec"].get("accessModes") or []
            if before.get("phase") != phase:
                # Later a difference may be meant: a file system that was not grown yet.
                status["capacity"] = _capacity(volume, before)
                if attributes := volume["spec"].get("volumeAttributesClassName"):
                    status["currentVolumeAttributesClassName"] = attributes
        if status == before:
            return claim
        return await self.claim({**claim, "status": status}, "/status")

    async def lose(self, claim: JsonObject, reason: str, message: str) -> None:
        """Have a claim lost, and tell of it if that is news."""
        if (claim.get("status") or {}).get("phase") == "Lost":
            return
        written = await self.claim_phase(claim, "Lost", None)
        self.warn(facts.CLAIM, written, reason, message)

    async def bind(self, volume: JsonObject, claim: JsonObject) -> None:
        """Bind the two, the volume first: whoever comes after an end in between goes on from there.

        Raises:
            Unbindable: the volume has no size.
            StatusError, Unreachable: it is not done, as far as is known.
        """
        if not (volume["spec"].get("capacity") or {}).get("storage"):
            name = volume["metadata"]["name"]
            raise Unbindable(f'PersistentVolume "{name}" is without a storage capacity')
        volume = await self._bind_volume(volume, claim)
        volume = await self.phase(volume, "Bound")
        claim = await self._bind_claim(claim, volume)
        await self.claim_phase(claim, "Bound", volume)

    async def _bind_volume(self, volume: JsonObject, claim: JsonObject) -> JsonObject:
        metadata, reference = claim["metadata"], volume["spec"].get("claimRef") or {}
        wanted = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        is_bound = all(reference.get(name) == wanted[name] for name in ("namespace", "name", "uid"))
        marks = {} if facts.is_for(volume, claim) else {facts.BOUND_BY_CONTROLLER: "yes"}
        if is_bound and not marks:
            return volume
        spec = volume["spec"] if is_bound else {**volume["spec"], "claimRef": wanted}
        return await self.volume({**_annotated(volume, marks), "spec": spec})

    async def _bind_claim(self, claim: JsonObject, volume: JsonObject) -> JsonObject:
        name = volume["metadata"]["name"]
        marks = {facts.BIND_COMPLETED: "yes"}
        if claim["spec"].get("volumeName") != name:
            marks[facts.BOUND_BY_CONTROLLER] = "yes"
        changed = _annotated(claim, marks)
        if changed is claim and claim["spec"].get("volumeName") == name:
            return claim
        return await self.claim({**changed, "spec": {**claim["spec"], "volumeName": name}})

    async def unbind(self, volume: JsonObject) -> None:
        """Undo what was done for a claim that got another volume."""
        metadata, spec = dict(volume["metadata"]), dict(volume["spec"])
        notes = dict(metadata.get("annotations") or {})
        if notes.pop(facts.BOUND_BY_CONTROLLER, None) is not None:
            spec.pop("claimRef", None)
            metadata["annotations"] = notes
        else:
            # Meant for that claim by a user: it stays so.
            reference = spec["claimRef"]
            spec["claimRef"] = {name: reference[name] for name in reference if name != "uid"}
        written = await self.volume({**volume, "metadata": metadata, "spec": spec})
        await self.phase(written, "Available")


def _annotated(obj: JsonObject, marks: dict[str, str]) -> JsonObject:
    """Return an object with annotations, unless it has some of these names already."""
    metadata = obj["metadata"]
    present = metadata.get("annotations") or {}
    missing = {name: value for name, value in marks.items() if name not in present}
    if not missing:
        return obj
    return {**obj, "metadata": {**metadata, "annotations": {**present, **missing}}}


def _capacity(volume: JsonObject, before: JsonObject) -> JsonObject:
    small = facts.annotation(volume, _PRE_RESIZE)
    if small is not None:
        return {**(before.get("capacity") or {}), "storage": small}
    capacity: JsonObject = volume["spec"]["capacity"]
    return capacity

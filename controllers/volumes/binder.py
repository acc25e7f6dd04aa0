"""Which volume a claim gets, and what becomes of a volume (pkg/controller/volume/persistentvolume).

    claim unbound --- a volume fits ----------------------> bind
        |  +--------- its class waits for a pod ----------> pending; tell what is waited for
        |  +--------- its class has a provisioner --------> annotate; who provisions makes a volume
        |  +--------- neither ----------------------------> pending; tell so
    claim bound ----- its volume is gone, or another's ---> lost

Upstream looks at every claim that is pending each 15 s. Here a claim is looked at again when what
it waits for may be there: a volume of its class that became free, its class, the volume it names,
the one made for it. All state is in the two objects: an end in the middle of binding leaves a
volume that is meant for the claim, which is found first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controllers.volumes import facts
from controllers.volumes.shelf import Selects, Shelves
from controllers.volumes.volume_sync import VolumeSync
from controllers.volumes.writes import Unbindable, Writes
from controllers.workloads.pods import selects
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.informers.store import Indexer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 8
_GATHER_S: Final = 0.1
"""So long the volumes of a class gather before its claims are looked at: many come at once."""
_PHASES_DONE: Final = frozenset({"Succeeded", "Failed"})
WAITING_INDEX: Final = "waiting"
NAMED_INDEX: Final = "volume"
CLAIM_USERS_INDEX: Final = "claims"
ANY_CLASS: Final = "*"


def _waiting(claim: JsonObject) -> str | tuple[str, ...]:
    """A claim that is not bound, by its class; one that names none, by ANY_CLASS."""
    if facts.annotation(claim, facts.BIND_COMPLETED) is not None:
        return ()
    return facts.class_of(claim) if facts.has_class(claim) else ANY_CLASS


def _named(claim: JsonObject) -> str | tuple[str, ...]:
    return claim["spec"].get("volumeName") or ()


def claim_users(pod: JsonObject) -> tuple[str, ...]:
    """Return the claims that a pod uses: the informer of pods finds them so (CLAIM_USERS_INDEX)."""
    namespace = pod["metadata"]["namespace"]
    return tuple(f"{namespace}/{name}" for name in facts.claim_names(pod))


CLAIM_INDEXERS: Final[dict[str, Indexer]] = {WAITING_INDEX: _waiting, NAMED_INDEX: _named}


@dataclass(frozen=True, slots=True)
class Informed:
    """What is watched: claims with CLAIM_INDEXERS, pods with CLAIM_USERS_INDEX."""

    claims: Informer
    volumes: Informer
    classes: Informer
    pods: Informer


class Binder:
    """See the module's head.

    Args of the constructor:
        client: who reads.
        informed: what is watched.
        shelves: free volumes; fed here.
        writes: who writes and tells.
    """

    def __init__(
        self, client: ApiClient, informed: Informed, shelves: Shelves, writes: Writes
    ) -> None:
        self._claims = informed.claims.store
        self._volumes = informed.volumes.store
        self._classes = informed.classes.store
        self._pods = informed.pods.store
        self._shelves = shelves
        self._writes = writes
        self._queue: WorkQueue[str] = WorkQueue()
        self._volume_queue: WorkQueue[str] = WorkQueue()
        self._class_queue: WorkQueue[str] = WorkQueue()
        self._volume_sync = VolumeSync(
            client, informed.claims.store, informed.volumes.store, writes, self._queue.add
        )
        shelves.on_free(self._observe_free)
        informed.claims.on_changes(self._observe_claims)
        informed.volumes.on_changes(self._observe_volumes)
        informed.classes.on_changes(self._observe_classes)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all informers are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"claims {number}")
            worker = run_worker(self._volume_queue, self._volume_sync.sync)
            scope.spawn(worker, name=f"volumes {number}")
        scope.spawn(run_worker(self._class_queue, self._look_at_class), name="storage classes")

    def _observe_claims(self, deltas: Sequence[Delta]) -> None:
        for change, key, claim, _ in deltas:
            if change is not Change.DELETED:
                self._queue.add(key)
            if (name := claim["spec"].get("volumeName")) and name in self._volumes:
                self._volume_queue.add(name)
            if change is Change.DELETED:
                for name in self._shelves.meant(key):
                    self._volume_queue.add(name)

    def _observe_volumes(self, deltas: Sequence[Delta]) -> None:
        for change, name, volume, _ in deltas:
            claim = facts.claim_key_of(volume)
            if claim and claim in self._claims:
                self._queue.add(claim)
            for key in self._claims.keys(NAMED_INDEX, name):
                self._queue.add(key)
            if change is Change.DELETED:
                self._shelves.drop(name)
                continue
            self._volume_queue.add(name)
            self._shelves.put(volume)

    def _observe_free(self, name: str) -> None:
        """Have the claims looked at that may want a volume of a class."""
        for waiting in (name, ANY_CLASS) if not name else (name,):
            self._class_queue.add_after(waiting, _GATHER_S)

    def _observe_classes(self, deltas: Sequence[Delta]) -> None:
        for change, name, storage_class, _ in deltas:
            if change is Change.DELETED:
                continue
            self._class_queue.add(name)
            if facts.is_default(storage_class):
                self._class_queue.add(ANY_CLASS)

    async def _look_at_class(self, name: str) -> None:
        for key in self._claims.keys(WAITING_INDEX, name):
            self._queue.add(key)

    async def sync(self, key: str) -> None:
        """Do what a claim needs."""
        claim = self._claims.get(key)
        if claim is None:
            return
        try:
            if facts.annotation(claim, facts.BIND_COMPLETED) is not None:
                await self._sync_bound(claim)
            elif name := claim["spec"].get("volumeName"):
                await self._sync_named(claim, name)
            else:
                await self._sync_unbound(key, claim)
        except Unbindable as error:
            self._writes.warn(facts.CLAIM, claim, "FailedBinding", str(error))

    async def _sync_unbound(self, key: str, claim: JsonObject) -> None:
        storage_class = self._classes.get(facts.class_of(claim)) if facts.class_of(claim) else None
        is_delayed = facts.is_delayed(storage_class)
        volume = self._shelves.find(claim, _selector(claim), is_delayed=is_delayed)
        if volume is not None:
            name = volume["metadata"]["name"]
            if not self._shelves.reserve(name, key):
                return  # who has it gives it back or binds it, and either way we are told
            try:
                await self._writes.bind(volume, claim)
            except (StatusError, Unreachable, Unbindable):
                # Others may have been told meanwhile that there is no volume for them.
                self._observe_free(facts.class_of(volume))
                raise
            finally:
                self._shelves.release(name)
            return
        if await self._assign_default(claim):
            return
        if is_delayed and facts.annotation(claim, facts.SELECTED_NODE) is None:
            self._tell_of_waiting(key, claim)
        elif facts.class_of(claim):
            await self._provision(claim, storage_class)
            return
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._writes.note(facts.CLAIM, claim, "FailedBinding", text)
        await self._writes.claim_phase(claim, "Pending", None)

    async def _assign_default(self, claim: JsonObject) -> bool:
        """Give a claim that names no class the default one; return whether there is one."""
        if facts.has_class(claim):
            return False
        # The newest, and of several of one second the first by name.
        best: tuple[str, str] | None = None
        for name in self._classes.all_keys():
            storage_class = self._classes.get(name)
            if storage_class is None or not facts.is_default(storage_class):
                continue
            created = storage_class["metadata"].get("creationTimestamp", "")
            if best is None or created > best[0] or (created == best[0] and name < best[1]):
                best = (created, name)
        if best is None:
            return False
        await self._writes.claim({**claim, "spec": {**claim["spec"], "storageClassName": best[1]}})
        return True

    def _tell_of_waiting(self, key: str, claim: JsonObject) -> None:
        names = sorted(
            pod["metadata"]["name"]
            for pod in self._pods.find(CLAIM_USERS_INDEX, key)
            if not pod["spec"].get("nodeName")
            and (pod.get("status") or {}).get("phase") not in _PHASES_DONE
        )
        reason = "WaitForPodScheduled" if names else "WaitForFirstConsumer"
        if not names:
            text = "waiting for first consumer to be created before binding"
        elif len(names) == 1:
            text = f"waiting for pod {names[0]} to be scheduled"
        else:
            text = f"waiting for pods {','.join(names)} to be scheduled"
        self._writes.note(facts.CLAIM, claim, reason, text)

    async def _provision(self, claim: JsonObject, storage_class: JsonObject | None) -> None:
        """Have somebody make a volume for a claim."""
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{facts.class_of(claim)}" not found'
            self._writes.warn(facts.CLAIM, claim, "ProvisioningFailed", text)
            return
        named: str = storage_class.get("provisioner", "")
        provisioner = facts.MIGRATED.get(named, named)
        if provisioner.startswith(facts.IN_TREE_PREFIX):
            text = f"no volume plugin matched name: {provisioner}"
            self._writes.warn(facts.CLAIM, claim, "ProvisioningFailed", text)
            return
        if facts.annotation(claim, facts.PROVISIONER) != provisioner:
            metadata = claim["metadata"]
            notes = dict(metadata.get("annotations") or {})
            notes[facts.PROVISIONER] = notes[facts.BETA_PROVISIONER] = provisioner
            claim = await self._writes.claim(
                {**claim, "metadata": {**metadata, "annotations": notes}}
            )
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}'"
            " or manually by the system administrator. If volume creation is delayed, please "
            "verify that the provisioner is running and correctly registered."
        )
        self._writes.note(facts.CLAIM, claim, "ExternalProvisioning", text)

    async def _sync_named(self, claim: JsonObject, name: str) -> None:
        """Bind a claim to the volume that a user, or the scheduler, has chosen for it."""
        writes, volume = self._writes, self._volumes.get(name)
        if volume is None:
            await writes.claim_phase(claim, "Pending", None)
            return
        if not volume["spec"].get("claimRef"):
            if why := facts.refusal(volume, claim):
                text = f'Cannot bind to requested volume "{name}": {why}'
                writes.warn(facts.CLAIM, claim, "VolumeMismatch", text)
                await writes.claim_phase(claim, "Pending", None)
                return
            await writes.bind(volume, claim)
            return
        if facts.is_for(volume, claim):
            await writes.bind(volume, claim)
            return
        text = f'volume "{name}" already bound to a different claim.'
        writes.warn(facts.CLAIM, claim, "FailedBinding", text)
        if facts.annotation(claim, facts.BOUND_BY_CONTROLLER) is None:
            await writes.claim_phase(claim, "Pending", None)

    async def _sync_bound(self, claim: JsonObject) -> None:
        writes, name = self._writes, claim["spec"].get("volumeName")
        if not name:
            text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            await writes.lose(claim, "ClaimLost", text)
            return
        volume = self._volumes.get(name) or await self._volume_sync.read(name)
        if volume is None:
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            await writes.lose(claim, "ClaimLost", text)
            return
        reference = volume["spec"].get("claimRef")
        if not reference or reference.get("uid") == claim["metadata"]["uid"]:
            await writes.bind(volume, claim)
            return
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
        await writes.lose(claim, "ClaimMisbound", text)


def _selector(claim: JsonObject) -> Selects | None:
    selector = claim["spec"].get("selector")
    return None if selector is None else selects(selector)

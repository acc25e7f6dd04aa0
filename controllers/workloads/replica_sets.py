"""ReplicaSets and ReplicationControllers: as many pods as are wanted (pkg/controller/replicaset).

Both are one controller: they differ in how they name their kind and their selector. A sync counts
the pods that the watch has told of, creates or deletes at most BURST of them, and writes the status
where it has changed. Nothing is looked up but by owner.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from controllers.pace import Rhythm, pause_for
from controllers.recorder import Recorder
from controllers.workloads import ranking
from controllers.workloads.claims import CannotAdopt, Claims, Kind
from controllers.workloads.expectations import Expectations
from controllers.workloads.owner_watch import OwnerWatch
from controllers.workloads.pod_control import (
    Failure,
    PodControl,
    at_once,
    has_cause,
    pod_from_template,
    slow_start,
)
from controllers.workloads.pods import PodBook, PodBrief, selects
from controllers.workloads.status_writes import write_status
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.informer import Informer
from kube.informers.store import Indexer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

BURST: Final = 500
_WORKERS: Final = 5
_PAUSE_S: Final = 0.1
_FAILURE: Final = "ReplicaFailure"
REPLICA_SET: Final = Kind("apps/v1", "ReplicaSet", "replicasets")
REPLICATION_CONTROLLER: Final = Kind("v1", "ReplicationController", "replicationcontrollers")
OWNER_INDEX: Final = "owner"
_log = logging.getLogger(__name__)


class ReplicaController:
    """The controller of one of the two kinds.

    Args of the constructor:
        kind: REPLICA_SET or REPLICATION_CONTROLLER.
        client: who writes.
        owners: the informer of the kind, indexed by the uid of its controller (OWNER_INDEX).
        pods: all pods.
    """

    def __init__(
        self, kind: Kind, client: ApiClient, recorder: Recorder, owners: Informer, pods: PodBook
    ) -> None:
        self._kind = kind
        self._client = client
        self._owners = owners.store
        self._pods = pods
        self._clock = client.clock
        self._control = PodControl(client, recorder, kind)
        self._claims = Claims(client, kind, pods)
        self._expected = Expectations(client.clock)
        self._queue: WorkQueue[str] = WorkQueue()
        queue = self._queue
        rhythm = self._rhythm = Rhythm(queue, client.clock, _PAUSE_S)
        watch = OwnerWatch(kind, owners.store, self._expected, queue, rhythm, self._selector)
        watch.begin(owners, pods)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            worker = run_worker(self._queue, self.sync)
            scope.spawn(worker, name=f"{self._kind.plural} {number}")

    def _selector(self, owner: JsonObject) -> JsonObject | None:
        selector: JsonObject | None = owner["spec"].get("selector")
        if self._kind is REPLICATION_CONTROLLER:
            return {"matchLabels": selector} if selector else None
        return selector

    async def sync(self, key: str) -> float | None:
        """Bring an owner's pods and status to what they are to be; return when to look again."""
        owner = self._owners.get(key)
        if owner is None:
            self._expected.forget(key)
            return None
        self._rhythm.begin(key, pause_for(len(self._pods.owned(owner["metadata"]["uid"]))))
        needs_sync = self._expected.satisfied(key)
        try:
            mine = await self._claims.claim(
                owner, selects(self._selector(owner)), lambda pod: pod.phase not in _DONE
            )
        except CannotAdopt as error:
            _log.info("%s", error)
            return None
        active = [pod for pod in mine if not pod.is_deleting]
        failure: Failure | None = None
        if needs_sync and "deletionTimestamp" not in owner["metadata"]:
            failure = await self._manage(key, owner, active)
        terminating = len(mine) - len(active)
        generation = owner["metadata"].get("generation", 0)

        def make(known: JsonObject) -> JsonObject:
            status = self._status(owner, known, (active, terminating), failure)
            return {**status, "observedGeneration": generation} if generation else status

        await write_status(self._client, self._kind, owner, make)
        if failure is not None:
            raise failure
        if not owner["spec"].get("minReadySeconds"):
            return None  # as nearly always; what follows counts all pods once more
        return self._when_available(owner, make(owner.get("status") or {}))

    def _when_available(self, owner: JsonObject, status: JsonObject) -> float | None:
        wanted, min_ready_s = (
            owner["spec"].get("replicas", 1),
            owner["spec"].get("minReadySeconds", 0),
        )
        ready, available = status.get("readyReplicas", 0), status.get("availableReplicas", 0)
        return float(min_ready_s) if min_ready_s and ready == wanted != available else None

    async def _manage(self, key: str, owner: JsonObject, active: list[PodBrief]) -> Failure | None:
        """Create or delete pods; return the first failure."""
        missing = int(owner["spec"].get("replicas", 1)) - len(active)
        if missing > 0:
            return await self._create(key, owner, min(missing, BURST))
        if missing < 0:
            return await self._delete(key, owner, active, min(-missing, BURST))
        return None

    async def _create(self, key: str, owner: JsonObject, count: int) -> Failure | None:
        self._expected.expect(key, creations=count)
        pod = pod_from_template(self._kind, owner, owner["spec"]["template"])

        async def create(_number: int) -> None:
            try:
                await self._control.create(owner, pod)
            except StatusError as error:
                # No create will succeed any more, and the namespace's end takes the owner, too.
                if not has_cause(error, "NamespaceTerminating"):
                    raise

        done, failure = await slow_start(range(count), create)
        if done < count:
            # No watch will tell of those that were not created.
            self._expected.created(key, count - done)
        return failure

    async def _delete(
        self, key: str, owner: JsonObject, active: list[PodBrief], count: int
    ) -> Failure | None:
        chosen = ranking.to_delete(active, self._related(owner), count, self._clock.now_s())
        self._expected.expect(key, deletions=[pod.key for pod in chosen])

        async def delete(pod: PodBrief) -> None:
            try:
                await self._control.delete(owner, pod.key)
            except (StatusError, Unreachable) as error:
                self._expected.deleted(key, pod.key)
                if not (isinstance(error, StatusError) and error.code == 404):
                    raise

        return next(iter(await at_once(chosen, delete)), None)

    def _related(self, owner: JsonObject) -> list[PodBrief]:
        """Return the pods of all that have the same controller, as old and new ReplicaSets."""
        references = owner["metadata"].get("ownerReferences") or ()
        uids = [one["uid"] for one in references if one.get("controller")]
        if not uids:
            return list(self._pods.owned(owner["metadata"]["uid"]))
        siblings = self._owners.find(OWNER_INDEX, uids[0])
        return [pod for one in siblings for pod in self._pods.owned(one["metadata"]["uid"])]

    def _status(
        self,
        owner: JsonObject,
        known: JsonObject,
        pods: tuple[list[PodBrief], int],
        failure: Failure | None,
    ) -> JsonObject:
        """Return the status of so many active pods, and so many that are going."""
        (active, terminating), spec, now_s = pods, owner["spec"], self._clock.now_s()
        labels = frozenset(((spec["template"].get("metadata") or {}).get("labels") or {}).items())
        min_ready_s = spec.get("minReadySeconds", 0)
        status = dict(known)
        # Of ten thousand, a few times a second: pods of one template share their labels.
        labelled = Counter(pod.labels for pod in active).items()
        ready = [pod for pod in active if pod.ready_s is not None]
        available = len(ready)
        if min_ready_s:
            available = sum(pod.is_available(min_ready_s, now_s) for pod in ready)
        counts = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(count for those, count in labelled if labels <= those),
            "readyReplicas": len(ready),
            "availableReplicas": available,
        }
        if self._kind is REPLICA_SET:
            counts["terminatingReplicas"] = terminating
        for name, count in counts.items():
            if count or name in ("replicas", "terminatingReplicas"):
                status[name] = count
            else:
                status.pop(name, None)
        self._put_failure(owner, status, len(active), failure)
        return status

    def _put_failure(
        self, owner: JsonObject, status: JsonObject, active: int, failure: Failure | None
    ) -> None:
        """Set or take away the condition of failed creates and deletes, in place."""
        conditions = [one for one in status.get("conditions") or () if one["type"] != _FAILURE]
        known = len(conditions) != len(status.get("conditions") or ())
        if failure is not None and not known:
            is_create = active < int(owner["spec"].get("replicas", 1))
            conditions.append(
                {
                    "type": _FAILURE,
                    "status": "True",
                    "reason": "FailedCreate" if is_create else "FailedDelete",
                    "message": str(failure),
                    "lastTransitionTime": times.format_seconds(int(self._clock.now_s())),
                }
            )
        elif failure is not None:
            return
        if conditions:
            status["conditions"] = conditions
        else:
            status.pop("conditions", None)


_DONE: Final = frozenset({"Succeeded", "Failed"})


def _namespace(obj: JsonObject) -> str:
    namespace: str = obj["metadata"]["namespace"]
    return namespace


def _owner_uid(obj: JsonObject) -> str | tuple[str, ...]:
    references = obj["metadata"].get("ownerReferences") or ()
    return tuple(one["uid"] for one in references if one.get("controller"))


def _orphans(obj: JsonObject) -> str | tuple[str, ...]:
    return () if _owner_uid(obj) else _namespace(obj)


INDEXERS: Final[dict[str, Indexer]] = {
    "namespace": _namespace,
    "orphans": _orphans,
    OWNER_INDEX: _owner_uid,
}
"""How the informer of a kind must find its objects."""

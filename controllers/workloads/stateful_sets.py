"""StatefulSets: pods with names that stay, made and replaced in order (pkg/controller/statefulset).

A sync finds or writes the revision of the set's template, does what the pods that the watch has
told of allow, and writes the status where it has changed. What is decided is in stateful_plan.py,
what is written in stateful_pods.py. A pod is deleted on the condition that it is the one decided
upon, and made under a name that only one can have: a stale cache does nothing twice.
"""

from __future__ import annotations

import logging
from typing import Final

from controllers.pace import Rhythm
from controllers.workloads import stateful_plan as plan
from controllers.workloads.claims import CannotAdopt, Claims
from controllers.workloads.expectations import Expectations
from controllers.workloads.history import History, in_order, name_of, number_of, remembers
from controllers.workloads.owner_watch import OwnerWatch, selector_of
from controllers.workloads.pod_control import Failure
from controllers.workloads.pods import PodBook, PodBrief, selects
from controllers.workloads.stateful_identity import STATEFUL_SET, ordinal_of, revision_of
from controllers.workloads.stateful_pods import StatefulPods
from controllers.workloads.stateful_rollout import Revisions, Rollout
from controllers.workloads.status_writes import write_status
from controllers.workqueue import WorkQueue, run_worker
from kube.client import Unreachable
from kube.informers.informer import Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

REVISION_LABEL: Final = "controller.kubernetes.io/hash"
_WORKERS: Final = 5
_PAUSE_S: Final = 0.02
"""Short, as each pod of an ordered set waits for the one before."""
_COLLISIONS_MAX: Final = 20
_log = logging.getLogger(__name__)


class StatefulSetController:
    """See the module's head.

    Args of the constructor:
        writer: writes pods and claims.
        sets: the informer of StatefulSets, indexed by "namespace".
        revisions: the informer of ControllerRevisions, indexed as History needs it.
        pods: all pods.
        queue: what is to be looked at.
    """

    def __init__(
        self,
        writer: StatefulPods,
        sets: Informer,
        revisions: Informer,
        pods: PodBook,
        queue: WorkQueue[str],
    ) -> None:
        client = self._client = writer.client
        self._writer = writer
        self._sets = sets.store
        self._claims = Claims(client, STATEFUL_SET, pods)
        self._history = History(client, STATEFUL_SET, REVISION_LABEL, revisions.store)
        self._expected = Expectations(client.clock)
        self._queue = queue
        self._rhythm = Rhythm(queue, client.clock, _PAUSE_S)
        watch = OwnerWatch(STATEFUL_SET, sets.store, self._expected, queue, self._rhythm)
        watch.begin(sets, pods)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"statefulsets {number}")

    async def sync(self, key: str) -> float | None:
        """Bring a set's pods and status to what they are to be; return when to look again."""
        owner = self._sets.get(key)
        if owner is None:
            self._expected.forget(key)
            return None
        self._rhythm.begin(key)
        is_settled = self._expected.satisfied(key)
        name = owner["metadata"]["name"]
        matches = selects(selector_of(owner))
        try:
            known = await self._history.claim(owner, matches, releases=False)
            pods = await self._claims.claim(
                owner, matches, lambda pod: ordinal_of(name, pod.name) >= 0
            )
        except CannotAdopt as error:
            _log.info("%s", error)
            return None
        is_going = "deletionTimestamp" in owner["metadata"]
        revisions = await self._revisions(owner, known, is_going=is_going)
        rollout = Rollout(owner, pods, revisions, self._writer, self._expected)
        failure: Failure | None = None
        if is_settled and not is_going:
            try:
                await rollout.step(self._client.clock.now_s())
            except (StatusError, Unreachable) as error:
                failure = error
        # What was done is told even if not all could be.
        await self._tell(owner, pods, revisions, rollout.replaced)
        if is_settled and not is_going:
            await self._forget(owner, known, pods, revisions)
        if failure is not None:
            raise failure
        layout = plan.layout_of(owner)
        available = sum(
            pod.is_available(layout.min_ready_s, self._client.clock.now_s()) for pod in pods
        )
        is_waiting = layout.min_ready_s and available != layout.replicas
        return float(layout.min_ready_s) if is_waiting else None

    async def _revisions(
        self, owner: JsonObject, known: list[JsonObject], *, is_going: bool
    ) -> Revisions:
        """Return the revision that the set's pods have and the one that they are to get."""
        status = owner.get("status") or {}
        collisions = int(status.get("collisionCount", 0))
        template = owner["spec"]["template"]
        alike = [one for one in known if remembers(one, template)]
        number = number_of(known[-1]) + 1 if known else 1
        if alike and alike[-1] is known[-1]:
            update = known[-1]
        elif is_going:
            # What is made now would only have to be collected.
            update = known[-1] if known else self._history.new(owner, number, collisions)
        elif alike:
            update = await self._history.renumber(alike[-1], number)
        else:
            update, collisions = await self._create(owner, number, collisions)
        name = status.get("currentRevision", "")
        current = next((one for one in known if name_of(one) == name), update)
        return Revisions(current, update, collisions)

    async def _create(
        self, owner: JsonObject, number: int, collisions: int
    ) -> tuple[JsonObject, int]:
        for count in range(collisions, collisions + _COLLISIONS_MAX):
            made = await self._history.create(self._history.new(owner, number, count))
            if made is not None:
                return made, count
        raise RuntimeError(f"no name is free for a revision of {owner['metadata']['name']}")

    async def _tell(
        self, owner: JsonObject, pods: list[PodBrief], revisions: Revisions, replaced: int
    ) -> None:
        layout = plan.layout_of(owner)
        names = name_of(revisions.current), name_of(revisions.update)
        now_s = self._client.clock.now_s()
        counts = plan.status_of_pods(pods, layout, names, now_s)
        counts["currentReplicas"] = max(0, counts["currentReplicas"] - replaced)
        status = {
            "observedGeneration": owner["metadata"].get("generation", 0),
            **counts,
            "currentRevision": names[0],
            "updateRevision": names[1],
            "collisionCount": revisions.collisions,
        }
        plan.complete(status, layout)
        for name in ("readyReplicas", "currentReplicas", "updatedReplicas"):
            if not status[name]:
                del status[name]
        await write_status(self._client, STATEFUL_SET, owner, lambda _known: status)

    async def _forget(
        self,
        owner: JsonObject,
        known: list[JsonObject],
        pods: list[PodBrief],
        revisions: Revisions,
    ) -> None:
        """Delete the oldest revisions that are more than are to be remembered, and not in use."""
        used = {name_of(revisions.current), name_of(revisions.update)}
        used.update(revision_of(pod) for pod in pods)
        unused = [one for one in in_order(known) if name_of(one) not in used]
        limit = int(owner["spec"].get("revisionHistoryLimit", 10))
        if 0 <= limit < len(unused):
            await self._history.delete(unused[: len(unused) - limit])

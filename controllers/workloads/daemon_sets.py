"""DaemonSets: a pod on each node that fits (pkg/controller/daemon).

A sync looks at every node once, in slices between which others have the event loop, makes and
deletes a batch of pods, and writes the status where it has changed. A change of one node is held
against what each set asks for, and wakes those for which it matters. As a pass costs the more the
more nodes there are, pods' changes wake a set of many nodes only after a while, many at a time.
What is found is in daemon_survey.py, which nodes fit in node_fit.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.pace import Rhythm
from controllers.recorder import Recorder
from controllers.workloads.claims import CannotAdopt, Claims
from controllers.workloads.daemon_history import DaemonHistory
from controllers.workloads.daemon_pods import DAEMON_SET, Freshness
from controllers.workloads.daemon_survey import Rules, Survey, is_surging, survey_nodes
from controllers.workloads.daemon_work import DaemonWork
from controllers.workloads.expectations import Expectations
from controllers.workloads.node_fit import NodeFit
from controllers.workloads.owner_watch import OwnerWatch, selector_of
from controllers.workloads.pod_control import Failure, reference_of
from controllers.workloads.pods import PodBook, PodBrief, controller_of, selects
from controllers.workloads.status_writes import write_status
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 2
_PAUSE_S: Final = 0.1
_PAUSE_S_MAX: Final = 5.0
_COST_S: Final = 20e-6
"""A node or a pod, in a pass and in the pause after it, which is to be many times as long."""
_log = logging.getLogger(__name__)


class DaemonSetController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        sets, revisions: their informers, indexed as OwnerWatch and History need it.
        pods: all pods.
        nodes: all nodes.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        sets: Informer,
        revisions: Informer,
        pods: PodBook,
        nodes: NodeBook,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._sets = sets.store
        self._nodes = nodes
        self._claims = Claims(client, DAEMON_SET, pods)
        self._history = DaemonHistory(client, revisions.store)
        self._expected = Expectations(client.clock)
        self._work = DaemonWork(client, recorder, self._expected)
        self._queue: WorkQueue[str] = WorkQueue()
        self._fits: dict[str, NodeFit] = {}
        self._is_started = False
        sets.on_changes(self._observe_sets)
        self._rhythm = Rhythm(self._queue, client.clock, _PAUSE_S)
        watch = OwnerWatch(DAEMON_SET, sets.store, self._expected, self._queue, self._rhythm)
        watch.begin(sets, pods)
        nodes.listen_for_places(self._observe_node)
        revisions.on_changes(self._observe_revisions)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        self._is_started = True
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"daemonsets {number}")

    def _observe_sets(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            if delta.change is Change.DELETED:
                self._fits.pop(delta.key, None)
            else:
                self._fits[delta.key] = NodeFit(delta.object["spec"]["template"]["spec"])

    def _observe_node(self, old: NodeBrief | None, new: NodeBrief | None) -> None:
        if not self._is_started:
            return  # every set is looked at when the workers start
        for key, fit in self._fits.items():
            was = fit.of(old) if old is not None else (False, False)
            now = fit.of(new) if new is not None else (False, False)
            if was != now:
                self._rhythm.wake(key)

    def _observe_revisions(self, deltas: Sequence[Delta]) -> None:
        """A revision that somebody changes, deletes or sets free has its set look after it."""
        for delta in deltas:
            owner, metadata = controller_of(delta.object), delta.object["metadata"]
            if owner is not None:
                key = f"{metadata['namespace']}/{owner.name}"
                if owner.kind == DAEMON_SET.kind and delta.change is not Change.ADDED:
                    self._rhythm.wake(key)
                continue
            labels = metadata.get("labels") or {}
            for key in self._sets.keys("namespace", metadata["namespace"]):
                one = self._sets.get(key)
                if one is not None and selects(selector_of(one))(labels):
                    self._rhythm.wake(key)

    async def sync(self, key: str) -> float | None:
        """Bring a set's pods and status to what they are to be; return when to look again."""
        owner, fit = self._sets.get(key), self._fits.get(key)
        if owner is None or fit is None:
            self._expected.forget(key)
            return None
        if not any((selector_of(owner) or {}).values()):
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.warn(reference_of(DAEMON_SET, owner), "SelectingAll", text)
            return None
        if "deletionTimestamp" in owner["metadata"]:
            # Its revisions may be gone before its pods: nobody could count those of the new one.
            return None
        is_settled = self._expected.satisfied(key)
        matches = selects(selector_of(owner))
        try:
            pods = await self._claims.claim(owner, matches)
            lineage = await self._history.of(owner, matches, pods)
        except CannotAdopt as error:
            _log.info("%s", error)
            return None
        if lineage is None:
            return self._queue.retry(key)
        # A pass costs what there are nodes: it is made the more rarely.
        self._rhythm.begin(key, min(_PAUSE_S_MAX, (len(self._nodes) + len(pods)) * _COST_S))
        survey = await self._survey(owner, fit, pods, lineage.digest)
        again_s: float | None = None
        failure: Failure | None = None
        if is_settled:
            try:
                again_s = await self._work.do(owner, survey, lineage.digest, len(self._nodes))
                await self._history.forget(owner, lineage, pods)
            except (StatusError, Unreachable) as error:
                failure = error
        # What there is is told even if not all could be done.
        await self._tell(owner, survey, is_settled=is_settled)
        if failure is not None:
            raise failure
        min_ready_s = int(owner["spec"].get("minReadySeconds", 0))
        if min_ready_s and survey.ready != survey.available:
            return min(float(min_ready_s), again_s or float(min_ready_s))
        return again_s

    async def _survey(
        self, owner: JsonObject, fit: NodeFit, pods: Sequence[PodBrief], digest: str
    ) -> Survey:
        rules = Rules(
            is_surging=is_surging(owner),
            min_ready_s=int(owner["spec"].get("minReadySeconds", 0)),
            fresh=Freshness(owner, digest),
            now_s=self._client.clock.now_s(),
        )
        return await survey_nodes(rules, fit, pods, self._nodes)

    async def _tell(self, owner: JsonObject, survey: Survey, *, is_settled: bool) -> None:
        counts = survey.counts()
        optional = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable")
        generation = owner["metadata"].get("generation", 0)

        def make(known: JsonObject) -> JsonObject:
            kept = {name: value for name, value in known.items() if name not in optional}
            status = {**kept, **counts}
            if is_settled:
                # Else nothing was done for this generation yet.
                status["observedGeneration"] = max(generation, known.get("observedGeneration", 0))
            return status

        await write_status(self._client, DAEMON_SET, owner, make)

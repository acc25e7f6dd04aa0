"""The loop: take the next pods, decide, assume, bind; tell those for which there is no node.

    watches ──► intake ──► queue ──► engine ──► assumed ──► binder ──► API
                             ▲          │ none                │ refused
                             └──────────┴─────────────────────┘

Decisions are made in slices of time, between which the event loop serves watches and bindings.
Whether something that happened gives an unschedulable pod a node is not guessed from what kind of
event it was: when something has changed that matters to who refused it (`hints.py`), its contest,
moved along, is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

from controllers.scheduler.binder import Binder, Binding
from controllers.scheduler.diagnosis import Diagnosis
from controllers.scheduler.engine import Engine
from controllers.scheduler.figures import SchedulerFigures
from controllers.scheduler.gangs import Gangs
from controllers.scheduler.hints import Moment, is_worth_while
from controllers.scheduler.metrics import FAILED, REFUSED, SCHEDULED, SchedulerMetrics
from controllers.scheduler.preparation import Preparations
from controllers.scheduler.queue import Place, PodQueue, Waiting
from controllers.scheduler.reporter import SCHEDULER_ERROR, UNSCHEDULABLE, Report, Reporter
from controllers.scheduler.settings import GANG
from kube.client import ApiClient
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

_SLICE_S: Final = 0.02
_TICK_S: Final = 0.1
_MOVED_MAX: Final = 1024
NOT_ENOUGH: Final = "waiting for minCount pods from a gang to be waiting on permit"
PREEMPTING: Final = "pod group is waiting for preemption to complete"
_log = logging.getLogger(__name__)


class Events(Protocol):
    """Who tells events."""

    def warn(self, involved: JsonObject, reason: str, message: str) -> None:
        """Say that something is wrong."""
        ...

    def note(self, involved: JsonObject, reason: str, message: str) -> None:
        """Say what was done."""
        ...


class Verdict(Protocol):
    """What comes of trying to make room."""

    @property
    def message(self) -> str:
        """What to add to the pod's message."""
        ...

    @property
    def nominated(self) -> str | None:
        """The node where room is made; empty: none any more; None: as before."""
        ...


Reread = Callable[[Waiting], Waiting | None]
MakeRoomForAll = Callable[[Sequence[Waiting], int], bool]
MakeRoom = Callable[[Waiting, Diagnosis], Verdict | None]


class Scheduler:
    """See the module's head.

    Args of the constructor:
        client: who binds and tells.
        engine: decides.
        queue: who waits.
        events: where events go.
    """

    def __init__(self, client: ApiClient, engine: Engine, queue: PodQueue, events: Events) -> None:
        self.engine = engine
        self.queue = queue
        self.gangs = Gangs(engine, queue)
        self.figures = SchedulerFigures(queue)
        self.metrics = SchedulerMetrics(queue, engine)
        self.make_room: MakeRoom | None = None
        self.make_room_for_all: MakeRoomForAll | None = None
        self.reread: Reread = lambda pod: pod
        self._client = client
        self._events = events
        self._binder = Binder(client, self._on_bound, self._on_failed)
        self._reporter = Reporter(client)
        self.preparations = Preparations(self._binder.put, self._on_failed, self._expect)
        self._woken = asyncio.Event()
        self._asked: dict[tuple[int, int], Moment] = {}
        self._looked = 0

    def start(self, scope: TaskScope) -> None:
        """Start to decide."""
        self._binder.start(scope)
        self.preparations.start(scope)
        self._reporter.start(scope)
        scope.spawn(self._run(), name="decisions")
        scope.spawn(self._run_ticks(), name="queue")

    def watch_groups(self, path: str) -> None:
        """Heed pod groups, which a version of the API at this path has."""
        self.gangs.is_on = True
        self._reporter.groups_api = path

    def wake(self) -> None:
        """Have the loop look whether there is something to decide."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while True:
                decided = self.decide()
                for binding in decided:
                    await self.preparations.put(binding)
                if not decided and not self.queue.count(Place.ACTIVE):
                    break
                await asyncio.sleep(0)

    async def _run_ticks(self) -> None:
        while True:
            await self._client.clock.sleep(_TICK_S)
            self.queue.flush()
            self._ask_again()
            self.ask_promised()
            if self.queue.count(Place.ACTIVE) or self.queue.count(Place.BACKOFF):
                self._woken.set()

    def decide(self) -> list[Binding]:
        """Decide what a slice of time allows; return what is to be bound."""
        until_s = perf_counter() + _SLICE_S
        decided: list[Binding] = []
        names = self.engine.state.columns.names
        while perf_counter() < until_s:
            pod = self.queue.pop()
            if pod is None:
                break
            if self.gangs.group(pod) is not None:
                decided += self._decide_gang(pod)
                continue
            begun_s = perf_counter()
            slot = self.engine.choose(pod)
            if slot is None:
                self._refuse(pod)
                self.metrics.attempted(pod, REFUSED, perf_counter() - begun_s)
                continue
            self.engine.place(pod, slot)
            decided.append(self._decided(pod, names[slot]))
            self.metrics.attempted(pod, SCHEDULED, perf_counter() - begun_s)
        return decided

    def _decided(self, pod: Waiting, node: str) -> Binding:
        self.figures.decided += 1
        self.queue.remove(pod.uid)
        self.gangs.placed(pod.gang, pod.uid)
        self._reporter.forget(pod.uid)
        return Binding(pod, node)

    def _decide_gang(self, first: Waiting) -> list[Binding]:
        """Decide all of a gang that wait; return what is to be bound: enough of it, or none."""
        group = self.gangs.group(first)
        assert group is not None
        names, needed = self.engine.state.columns.names, self.gangs.missing(group)
        pods = self.gangs.take_waiting(first)
        begun_s = perf_counter()
        placed, left = self.gangs.try_all(pods)
        took_s = (perf_counter() - begun_s) / len(pods)
        for pod in pods:
            result = SCHEDULED if len(placed) >= needed else REFUSED
            self.metrics.attempted(pod, result, took_s)
        if len(placed) >= needed:
            decided = [self._decided(pod, names[slot]) for pod, slot in placed]
            for pod in left:
                self._refuse(pod)
            self._reporter.tell_group(group, "True", "Scheduled", "")
            return decided
        diagnoses = {pod.uid: self.engine.explain(pod) for pod in left}
        self.gangs.take_back(placed)
        is_waiting = self.make_room_for_all is not None and self.make_room_for_all(pods, needed)
        for pod in pods:
            diagnosis = diagnoses.get(pod.uid)
            message = PREEMPTING if is_waiting else NOT_ENOUGH
            if diagnosis is not None and not is_waiting:
                message = diagnosis.message()
            plugins = frozenset({GANG}) if diagnosis is None else diagnosis.plugins
            self._tell_refused(pod, plugins, message, self._promised(pod))
        message = PREEMPTING if is_waiting else ""
        self._reporter.tell_group(group, "False", UNSCHEDULABLE, message)
        return []

    def _promised(self, pod: Waiting) -> str:
        slot = self.engine.state.nominated_slot(pod.uid)
        return "" if slot is None else self.engine.state.columns.names[slot]

    def _refuse(self, pod: Waiting) -> None:
        diagnosis = self.engine.explain(pod)
        verdict = self.make_room(pod, diagnosis) if self.make_room is not None else None
        tried = [self.engine.unblock(pod.shape), verdict.message if verdict is not None else ""]
        message = diagnosis.message(", ".join(filter(None, tried)))
        nominated = verdict.nominated if verdict is not None else None
        self._tell_refused(pod, diagnosis.plugins, message, nominated)

    def _tell_refused(
        self, pod: Waiting, plugins: frozenset[str], message: str, nominated: str | None
    ) -> None:
        self.figures.refused += 1
        self.queue.fail(pod, plugins)
        self._asked[pod.kind] = self.engine.moment(pod.shape)
        self._events.warn(pod.reference, "FailedScheduling", message)
        self._reporter.tell(Report(pod, UNSCHEDULABLE, message, nominated))

    def _ask_again(self) -> None:
        """Move the unschedulable pods for which there is a node now."""
        state, stuck = self.engine.state, self.queue.stuck
        if len(self._asked) > 2 * len(stuck) + _MOVED_MAX:
            self._asked = {kind: at for kind, at in self._asked.items() if kind in stuck}
        until_s = perf_counter() + _SLICE_S
        for kind, pods in list(stuck.items()):
            first = next(iter(pods.values()))
            before, now = self._asked.get(kind), self.engine.moment(first.shape)
            if before is not None and not is_worth_while(first.refused_by, before, now):
                continue
            if perf_counter() > until_s:
                break  # the others are asked at the next tick
            self._asked[kind] = now
            some = [pod for _, pod in zip(range(_MOVED_MAX), pods.values(), strict=False)]
            # What became of its volumes or devices is told a pod in any case.
            is_news = before is not None and before.news != now.news
            if is_news or self.engine.has_node(first):
                self.queue.move(some)
                del self._asked[kind]  # there may be more of them
                continue
            # Changes of their node do not tell of these; of others they do (`ask_promised`).
            if not self.engine.is_local(first.shape, first.group):
                promised = [pod for pod in some if state.nominated_slot(pod.uid) is not None]
                self.queue.move([pod for pod in promised if self.engine.has_node(pod)])

    def ask_promised(self) -> None:
        """Move the unschedulable pods for which there is room now where it is kept for them."""
        state, queue = self.engine.state, self.queue
        changes = state.since(self._looked)
        self._looked = state.changed
        slots = set(state.nominated) if changes is None else {moved.slot for moved in changes}
        for slot in slots & state.nominated.keys():
            for uid in state.nominated[slot]:
                pod = queue.pods.get(uid)
                if pod is None or pod.place is not Place.UNSCHEDULABLE:
                    continue
                contest = self.engine.contest(pod.shape, pod.group)
                if contest.is_feasible(slot, despite=uid):
                    queue.move([pod])

    async def _expect(self, binding: Binding) -> None:
        """Tell where a pod is to go that waits for its volumes or devices (KEP-5278)."""
        await self._reporter.expect(binding.pod, binding.node)

    def _on_bound(self, binding: Binding) -> None:
        self.figures.note_bound(binding.pod)
        self.metrics.bound(binding.pod)
        message = f"Successfully assigned {binding.pod.key} to {binding.node}"
        self._events.note(binding.pod.reference, "Scheduled", message)

    def _on_failed(self, binding: Binding, reason: str) -> None:
        if not self.engine.unplace(binding.pod.uid):
            return  # it is gone, or known to be bound, meanwhile
        self.figures.failed += 1
        self.metrics.attempted(binding.pod, FAILED, 0.0)
        _log.info("pod %s is not bound: %s", binding.pod.key, reason)
        # It may have changed while it was taken for placed.
        pod = self.reread(binding.pod)
        if pod is None:
            return
        pod.attempts, pod.nominated = binding.pod.attempts, binding.pod.nominated
        self.gangs.put(pod)
        self.queue.retry(pod)
        self._events.warn(pod.reference, "FailedScheduling", reason)
        nominated = "" if binding.pod.nominated else None
        self._reporter.tell(Report(pod, SCHEDULER_ERROR, reason, nominated))
        self.wake()

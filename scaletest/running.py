"""Runs the experiments one after the other while everything is measured.

A run ends with its last phase, or with the first that cannot be done, takes too long or is stopped
(by cancelling the run, as Ctrl-C does). A phase takes too long that is not done in its time and no
longer gets on: on a slow machine all is slow, which the figures show. In each case what was
measured up to then is the result:
`run_scale_test` returns a record and raises nothing that a cluster can cause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from kube.access import Access
from kube.client import ApiClient
from kube.informers.reflector import Reflector
from runtime.clock import SystemClock
from runtime.tasks import TaskCrashed, TaskScope
from runtime.turns import Turns
from scaletest import manifests, watching
from scaletest.load import USER_AGENT, Errors
from scaletest.machine import describe
from scaletest.phases.fill import fill
from scaletest.phases.launch import launch, scale_down
from scaletest.phases.workloads import fine_tune, mix, pre_train
from scaletest.plan import Plan
from scaletest.probe import PODS as PROBE_PODS
from scaletest.probe import SPACE, Probe
from scaletest.processes import Pids, ProcessUse
from scaletest.sampler import Sampler
from scaletest.samples import Ending, PhaseRecord, Record, Sample
from scaletest.stage import PhaseFailed, Stage

_log = logging.getLogger(__name__)
_SYNC_S_MAX: Final = 60.0
_STALLED_S: Final = 120.0
"""A phase that has not got on for so long does not."""
_LONGER_MAX: Final = 10
"""Times its limit, in which a phase must be done however it gets on."""
_PRIORITIES: Final = "/apis/scheduling.k8s.io/v1/priorityclasses"


class Phase(NamedTuple):
    """One experiment.

    Attributes:
        name: of it.
        title: what it does, for people.
        body: does it.
        timeout_s: how long it may take, and longer while it gets on.
        is_peak: whether all nodes have their pods at its end, so that whole lists are large.
    """

    name: str
    title: str
    body: Callable[[Stage, PhaseRecord], Awaitable[None]]
    timeout_s: Callable[[Plan], float]
    is_peak: bool = False


PHASES: Final = (
    Phase("fill", "Objects are added", fill, lambda plan: plan.fill_timeout_s() + 120),
    Phase("launch", "Nodes are launched", launch, lambda plan: plan.timeout_s(0.06)),
    Phase("pre-training", "One Job over all nodes", pre_train, lambda plan: plan.timeout_s(0.06)),
    Phase("fine-tuning", "Ten Jobs side by side", fine_tune, lambda plan: plan.timeout_s(0.08)),
    Phase("mixed", "Fine-tuning and inference", mix, lambda plan: plan.timeout_s(), is_peak=True),
    Phase("scale-down", "Nodes are taken down", scale_down, lambda plan: plan.timeout_s(0.1)),
)


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster under test.

    Attributes:
        access: how to reach it, as somebody who may do everything.
        pids: its processes on this machine, by name.
        restarts: how often any of them has been started again.
    """

    access: Access
    pids: Pids
    restarts: Callable[[], int]


class Observer(Protocol):
    """Hears how a run goes on."""

    def on_phase(self, phase: PhaseRecord) -> None:
        """Hear that a phase begins, and, when its `ending` is set, that it has ended."""

    def on_sample(self, sample: Sample, phase: PhaseRecord | None) -> None:
        """Hear of a sample, and how far the phase is."""


class _Patience:
    """Moves the time limit of a phase on while what it has done changes.

    Args of the constructor:
        limit: of the phase, which has begun.
        phase: what it has done.
        timeout_s: how long it may take.
        stalled_s: how long it may go on without having done anything.
    """

    def __init__(
        self,
        limit: asyncio.Timeout,
        phase: PhaseRecord,
        timeout_s: float,
        stalled_s: float = _STALLED_S,
    ) -> None:
        self._limit = limit
        self._phase = phase
        self._stalled_s = stalled_s
        self._last_s = asyncio.get_running_loop().time() + _LONGER_MAX * timeout_s
        self._seen = (0, 0)

    def look(self) -> None:
        """Look how far the phase is."""
        seen, until_s = (self._phase.done, self._phase.total), self._limit.when()
        if seen == self._seen or until_s is None or self._limit.expired():
            return
        self._seen = seen
        longer_s = asyncio.get_running_loop().time() + self._stalled_s
        self._limit.reschedule(min(self._last_s, max(until_s, longer_s)))


class _Run:
    """A run and its parts."""

    def __init__(self, client: ApiClient, target: Target, plan: Plan, observer: Observer) -> None:
        clock = client.clock
        self.record = Record(machine=describe())
        self.errors = Errors()
        self.nodes = watching.Nodes()
        self._waiting = watching.WaitingPods(self.record.waits_s, clock.monotonic_s)
        self._client = client
        self._plan = plan
        self._observer = observer
        self._probe = Probe(client, self.record.latencies_s, self.errors)
        use = ProcessUse(target.pids)
        self._sampler = Sampler(client, self.record, self.errors, self.nodes, self._waiting, use)
        self._sampler.on_sample = self._on_sample
        self._phase: PhaseRecord | None = None
        self._patience: _Patience | None = None
        self._stage = Stage(plan, client, self.nodes, self.errors, self.record)

    def _on_sample(self, sample: Sample) -> None:
        self._observer.on_sample(sample, self._phase)
        if self._patience is not None:
            self._patience.look()

    async def measure(self, scope: TaskScope) -> None:
        """Start everything that measures.

        Raises:
            PhaseFailed: the server does not take part.
        """
        stage, sampler = self._stage, self._sampler
        await stage.namespace(SPACE)
        await stage.create(_PRIORITIES, manifests.priority_class())
        turns = Turns(1)
        watches = [
            Reflector(
                self._client, watching.NODES, self.nodes, query=watching.NODES_QUERY, turns=turns
            ),
            Reflector(
                self._client,
                watching.PODS,
                self._waiting,
                query=watching.WAITING_QUERY,
                metadata_only=True,
                turns=turns,
            ),
            Reflector(self._client, PROBE_PODS, self._probe.steps, turns=turns),
        ]
        for number, watch in enumerate(watches):
            scope.spawn(watch.run(), name=f"watch {number}")
        try:
            async with asyncio.timeout(_SYNC_S_MAX):
                for watch in watches:
                    await watch.synced.wait()
        except TimeoutError as error:
            raise PhaseFailed(f"no watch within {_SYNC_S_MAX:g} s") from error
        await sampler.sample()
        scope.spawn(sampler.run(self._plan.sample_s), name="samples")
        scope.spawn(self._probe.run_requests(), name="probe")
        scope.spawn(self._probe.run_pods(), name="probing pods")

    async def play(self, phase: Phase) -> Ending:
        """Do one phase, and say how it ended."""
        sampler = self._sampler
        await sampler.begin(phase.name)
        record = self._phase = PhaseRecord(phase.name, phase.title, sampler.now_s())
        self.record.phases.append(record)
        self._observer.on_phase(record)
        timeout_s = phase.timeout_s(self._plan)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                self._patience = _Patience(limit, record, timeout_s)
                await phase.body(self._stage, record)
                if phase.is_peak:
                    await self._probe.list_all(watching.NODES, "list all nodes")
                    await self._probe.list_all(watching.PODS, "list all pods")
            record.ending = Ending.DONE
        except PhaseFailed as error:
            record.ending, record.why = Ending.FAILED, str(error)
        except TimeoutError:
            record.ending = Ending.TIMED_OUT
            record.why = f"not done within {sampler.now_s() - record.start_s:.0f} s"
        except asyncio.CancelledError:
            record.ending, record.why = Ending.STOPPED, "stopped before its end"
            raise
        finally:
            self._patience = None
            record.end_s = sampler.now_s()
            self._observer.on_phase(record)
        await sampler.begin("")
        return record.ending


async def run_scale_test(target: Target, plan: Plan, observer: Observer) -> Record:
    """Run all phases; see the module's head."""
    async with ApiClient(target.access, user_agent=USER_AGENT, clock=SystemClock()) as client:
        run = _Run(client, target, plan, observer)
        restarts = target.restarts()
        try:
            await _run_phases(run)
        except PhaseFailed as error:
            run.errors.add(str(error))
        except TaskCrashed as error:
            _log.exception("the scale test is at fault")
            run.errors.add(f"the scale test is at fault: {error}")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # what was asked for is an end, and this is it
        record = run.record
        record.errors = dict(run.errors.counts)
        record.deliberate = run.errors.deliberate
        record.restarts = target.restarts() - restarts
        return record


async def _run_phases(run: _Run) -> None:
    async with TaskScope("scale test") as scope:
        await run.measure(scope)
        for phase in PHASES:
            if await run.play(phase) is not Ending.DONE:
                break
        await scope.stop()

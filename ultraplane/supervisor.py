"""Starts processes in their order, keeps them running, stops them in the reverse order.

The life of one process (`_Keeper`):

    waiting ──► starting ──► ready ──► (dies) ──► backoff ──► starting …
       └───────────┴───────────┴──── stop ────────────┴────► stopped

Invariants:
    - A process starts only once all that it comes after have been ready.
    - Nobody is restarted because another one died: the parts reconnect by themselves.
    - A process stops only once all that come after it have stopped.
    - When `run` returns or raises, no process is running.
"""

from __future__ import annotations

import asyncio
import enum
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from runtime.clock import Clock
from runtime.tasks import TaskScope
from ultraplane import logs
from ultraplane.child import Child, exit_text, start_child
from ultraplane.errors import UserError
from ultraplane.probes import Probe

LINES_SHOWN: Final = 10
START_ATTEMPTS: Final = 3
_LOG_CHECK_S: Final = 10.0
_POLL_S_MIN: Final = 0.01
_POLL_S_MAX: Final = 0.1
_SLOW_NOTICE_S: Final = 10.0


class Phase(enum.Enum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep.

    Attributes:
        name: unique; also names its log.
        argv: the program and its arguments.
        probe: tells whether it is ready.
        after: names of those that must be ready before it starts.
        address: where it listens, for people.
    """

    name: str
    argv: tuple[str, ...]
    probe: Probe
    after: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process now; `restarts` counts its deaths."""

    name: str
    phase: Phase
    address: str
    pid: int | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the supervisor is.

    Attributes:
        ready_timeout_s: a process not ready by then is killed, and counts as dead.
        stop_timeout_s: between SIGTERM and SIGKILL.
        delay_s_min: before the second restart in a row (the first is at once); doubles with every
            further death.
        delay_s_max: the longest such delay.
        calm_s: who was ready for this long has a clean record: its next restart is at once.
        log_bytes_max: a larger log starts anew.
    """

    ready_timeout_s: float = 300.0
    stop_timeout_s: float = 10.0
    delay_s_min: float = 1.0
    delay_s_max: float = 10.0
    calm_s: float = 10.0
    log_bytes_max: int = 64 * 1024 * 1024

    def delay_s(self, deaths: int) -> float:
        """Return the delay after the `deaths`-th death in a row (the first is 1)."""
        # A single crash should cost no more than the restart; a loop must not eat the machine.
        if deaths <= 1:
            return 0.0
        return min(self.delay_s_max, self.delay_s_min * 2.0 ** min(deaths - 2, 16))


class Observer(Protocol):
    """Hears what happens, in order; must not block."""

    def on_change(self, states: Sequence[ProcessState]) -> None:
        """A process changed its phase."""
        ...

    def on_ready(self, name: str, seconds: float) -> None:
        """A process is ready, `seconds` after it was started."""
        ...

    def on_slow(self, name: str, seconds: float, reason: str) -> None:
        """A process is still not ready."""
        ...

    def on_death(self, name: str, how: str, delay_s: float, lines: Sequence[str]) -> None:
        """A process died and starts again after `delay_s`; `lines` end its log."""
        ...

    def on_stopped(self, name: str, *, by_itself: bool) -> None:
        """A process ended as it was asked to, or had to be killed."""
        ...


class StartFailed(UserError):
    """A process ended `START_ATTEMPTS` times before it was ever ready; all were stopped."""


class Supervisor:
    """Keeps a set of processes."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        log_dir: Path,
        environment: Mapping[str, str],
        limits: Limits,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._environment = environment
        self._log_dir = log_dir
        self._wake = asyncio.Event()
        self._failure: StartFailed | None = None
        self._killing = False
        self._keepers: dict[str, _Keeper] = {}
        for spec in in_order(specs):
            before = [self._keepers[name] for name in spec.after]
            self._keepers[spec.name] = _Keeper(spec, before, self)

    @property
    def states(self) -> list[ProcessState]:
        """All processes, in the order they start."""
        return [keeper.state for keeper in self._keepers.values()]

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._wake.is_set()

    def stop(self) -> None:
        """Let `run` stop everything; asked a second time, kill what still runs."""
        if self._wake.is_set():
            self._killing = True
            for keeper in self._keepers.values():
                keeper.kill()
        self._wake.set()

    async def wait_ready(self) -> None:
        """Return when every process has been ready once."""
        for keeper in self._keepers.values():
            await keeper.ready.wait()

    async def run(self) -> None:
        """Start and keep the processes until `stop` is called.

        Raises:
            StartFailed: one of them never became ready.
        """
        for name in self._keepers:
            logs.rotate(self.log_path(name))
        async with TaskScope("supervisor") as scope:
            tasks = [
                scope.spawn(keeper.run_process(), name=f"keep {name}")
                for name, keeper in self._keepers.items()
            ]
            housekeeping = scope.spawn(self._run_log_limits(), name="log limits")
            try:
                await self._wake.wait()
            finally:
                self._wake.set()
                housekeeping.cancel()
                for task in reversed(tasks):
                    task.cancel()
                    await asyncio.wait([task])
        if self._failure is not None:
            raise self._failure

    def log_path(self, name: str) -> Path:
        """Return where a process logs."""
        return self._log_dir / f"{name}.log"

    async def _run_log_limits(self) -> None:
        while True:
            await self._clock.sleep(_LOG_CHECK_S)
            for name in self._keepers:
                # A log that cannot be kept small is no reason to stop what writes it.
                with suppress(OSError):
                    logs.empty_if_larger(self.log_path(name), self._limits.log_bytes_max)

    # What keepers need of their supervisor.

    @property
    def context(self) -> _Context:
        """What a keeper works with."""
        return _Context(self._environment, self._limits, self._clock, self._observer)

    @property
    def killing(self) -> bool:
        """Whether patience is over."""
        return self._killing

    def changed(self) -> None:
        """A keeper's state changed."""
        self._observer.on_change(self.states)

    def fail(self, failure: StartFailed) -> None:
        """A keeper gives up: stop everything."""
        self._failure = self._failure or failure
        self._wake.set()


@dataclass(frozen=True, slots=True)
class _Context:
    environment: Mapping[str, str]
    limits: Limits
    clock: Clock
    observer: Observer


class _Keeper:
    """Keeps one process: see the drawing at the module's head. Its task is cancelled to stop it."""

    def __init__(self, spec: ProcessSpec, before: Sequence[_Keeper], owner: Supervisor) -> None:
        self.ready = asyncio.Event()
        self.state = ProcessState(spec.name, Phase.WAITING, spec.address)
        self._spec = spec
        self._before = before
        self._owner = owner
        self._context = owner.context
        self._child: Child | None = None
        self._trouble = ""

    def kill(self) -> None:
        """End the process at once."""
        if self._child is not None:
            self._child.kill()

    async def run_process(self) -> None:
        """Start the process, and again whenever it dies, until cancelled."""
        try:
            for keeper in self._before:
                await keeper.ready.wait()
            deaths = failures = 0
            while True:
                calm = await self._live_once()
                if self._owner.killing:
                    return  # it did not die: it was killed
                deaths = 1 if calm else deaths + 1
                failures += not self._was_killed()
                if failures >= START_ATTEMPTS and not self.ready.is_set():
                    raise self._give_up()
                await self._back_off(self._context.limits.delay_s(deaths))
        except StartFailed as failure:
            self._owner.fail(failure)
        finally:
            await self._end()

    async def _live_once(self) -> bool:
        """Run the process until it has died; return whether it had been ready for long."""
        clock, limits = self._context.clock, self._context.limits
        log = self._owner.log_path(self._spec.name)
        started_s = clock.monotonic_s()
        self._child, self._trouble = None, ""
        try:
            child = await start_child(self._spec.argv, self._context.environment, log)
        except OSError as error:
            # No room for a log or a process now; there may be later.
            self._trouble = str(error)
            return False
        self._child = child
        self._set(phase=Phase.STARTING, pid=child.pid)
        if not await self._become_ready(child, started_s):
            child.kill()
            await child.wait()
            return False
        ready_s = clock.monotonic_s()
        self._set(phase=Phase.READY)
        self.ready.set()
        self._context.observer.on_ready(self._spec.name, ready_s - started_s)
        await child.wait()
        return clock.monotonic_s() - ready_s >= limits.calm_s

    async def _become_ready(self, child: Child, started_s: float) -> bool:
        clock, observer = self._context.clock, self._context.observer
        pause_s = _POLL_S_MIN
        notice_s = started_s + _SLOW_NOTICE_S
        while child.exit_code is None:
            reason = await self._spec.probe()
            # Whoever answers may be somebody else, if ours has died meanwhile.
            if not reason and child.exit_code is None:
                return True
            now_s = clock.monotonic_s()
            limit_s = self._context.limits.ready_timeout_s
            if now_s - started_s > limit_s:
                self._trouble = f"not ready in {limit_s:g} s: {reason}"
                return False
            if now_s >= notice_s:
                notice_s = now_s + _SLOW_NOTICE_S
                observer.on_slow(self._spec.name, now_s - started_s, reason)
            await clock.sleep(pause_s)
            pause_s = min(_POLL_S_MAX, pause_s * 1.2)
        return False

    def _was_killed(self) -> bool:
        """Return whether somebody else ended it, which says nothing of whether it can start."""
        child = self._child
        return not self._trouble and child is not None and child.exit_code == -signal.SIGKILL

    async def _back_off(self, delay_s: float) -> None:
        lines = [] if self._child is None else self._child.last_lines(LINES_SHOWN)
        self._context.observer.on_death(self._spec.name, self._how(), delay_s, lines)
        self._set(phase=Phase.BACKOFF, pid=None, restarts=self.state.restarts + 1)
        await self._context.clock.sleep(delay_s)

    def _give_up(self) -> StartFailed:
        lines = [] if self._child is None else self._child.last_lines(LINES_SHOWN)
        text = "\n".join(f"  {line}" for line in lines)
        log = self._owner.log_path(self._spec.name)
        return StartFailed(
            f"{self._spec.name} does not start ({self._how()}, {START_ATTEMPTS} attempts). "
            f"Its log, {log}, ends:\n{text}"
        )

    def _how(self) -> str:
        if self._trouble:
            return self._trouble
        code = None if self._child is None else self._child.exit_code
        return "never started" if code is None else exit_text(code)

    async def _end(self) -> None:
        child = self._child
        was_running = child is not None and child.exit_code is None
        if child is not None and was_running:
            timeout_s = 0.0 if self._owner.killing else self._context.limits.stop_timeout_s
            by_itself = await child.stop(timeout_s)
            self._context.observer.on_stopped(self._spec.name, by_itself=by_itself)
        self._set(phase=Phase.STOPPED, pid=None)

    def _set(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        self._owner.changed()


def in_order(specs: Sequence[ProcessSpec]) -> list[ProcessSpec]:
    """Return `specs` so that each comes after those it names; otherwise as given.

    Raises:
        ValueError: a name is unknown or used twice, or some wait for each other.
    """
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise ValueError(f"process names are not unique: {names}")
    result: list[ProcessSpec] = []
    done: set[str] = set()
    waiting = list(specs)
    while waiting:
        spec = next((spec for spec in waiting if done.issuperset(spec.after)), None)
        if spec is None:
            raise ValueError(f"{[spec.name for spec in waiting]} wait for each other or for nobody")
        waiting.remove(spec)
        result.append(spec)
        done.add(spec.name)
    return result

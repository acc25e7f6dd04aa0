"""How a container lives: a small machine whose every step has a time.

    PENDING -> PULLING -> STARTING -> RUNNING -> EXITED
                  |  ^        ^          |
                  v  |        +- BACKOFF <     (restarted: at once, after 10 s, 20 s, ... 300 s)
               NO_IMAGE

Pure: times are arguments, and what is due late, as after a fleet was away, happens then.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple

from controllers.fleet.lives import Life
from controllers.fleet.scripts import STEPS, Outcome, Script
from controllers.fleet.shapes import ContainerShape

BACKOFF_S: Final = 10.0
BACKOFF_S_MAX: Final = 300.0
CALM_S: Final = 600.0
"""Who ran so long is restarted at once, as twice the longest back-off has passed."""
KILLED: Final = 137
_LATE_S: Final = 1.0
_STEPS_MAX: Final = 32


class State(IntEnum):
    """Where a container is in its life."""

    PENDING = 0
    PULLING = 1
    NO_IMAGE = 2
    STARTING = 3
    RUNNING = 4
    BACKOFF = 5
    EXITED = 6


class Ended(NamedTuple):
    """How a run of a container ended; `number` is that of the run, `message` its last word."""

    code: int
    reason: str
    started_s: float
    finished_s: float
    number: int
    message: str = ""


class Container:
    """One container of a pod.

    Attributes:
        due_s: when something happens next; infinite: nothing does.
        ended: of an EXITED one its end, else that of the run before.
        pulls: how often its image could not be had.
        has_run: whether it ever did.
        script: the command by which it lives; None: as its stage says.
    """

    __slots__ = (
        "_crashes", "_ends_s", "_outcome", "_ready_at_s", "_steps", "due_s", "ended", "has_run",
        "is_ready", "is_started", "pulls", "restarts", "script", "shape", "started_s", "state",
    )  # fmt: skip

    def __init__(self, shape: ContainerShape) -> None:
        self.shape = shape
        self.state = State.PENDING
        self.due_s = math.inf
        self.started_s = 0.0
        self.restarts = 0
        self.pulls = 0
        self.ended: Ended | None = None
        self.is_ready = self.is_started = self.has_run = False
        self.script: Script | None = None
        self._crashes = self._steps = 0
        self._outcome: Outcome | None = None
        self._ready_at_s = self._ends_s = math.inf

    @property
    def is_over(self) -> bool:
        """Whether it is not to run any more."""
        return self.state is State.EXITED

    @property
    def has_succeeded(self) -> bool:
        """Whether it is over, and well."""
        return self.state is State.EXITED and self.ended is not None and self.ended.code == 0

    def begin(self, at_s: float, life: Life, slow: float) -> None:
        """Begin with pulling its image."""
        self.state = State.PULLING
        self.due_s = at_s + life.pull_s * slow

    def advance(self, now_s: float, life: Life, slow: float) -> None:
        """Do all that is due."""
        for _ in range(_STEPS_MAX):
            due_s = self.due_s
            if due_s > now_s:
                return
            self._step(due_s if now_s - due_s <= _LATE_S else now_s, life, slow)

    def _step(self, at_s: float, life: Life, slow: float) -> None:
        match self.state:
            case State.PULLING if life.pull_failure:
                self.pulls += 1
                self.state = State.NO_IMAGE
                self.due_s = at_s + backoff_s(self.pulls)
            case State.NO_IMAGE:
                self.begin(at_s, life, slow)
            case State.PULLING:
                self._start(at_s, life, slow)
            case State.STARTING if life.start_failure:
                self.started_s = at_s
                self.exit(at_s, 128, life, slow, life.start_failure)
            case State.STARTING:
                self.run(at_s, life, slow)
            case State.RUNNING:
                self._live(at_s, life, slow)
            case State.BACKOFF:
                self.restarts += 1
                self._start(at_s, life, slow)
            case _:
                self.due_s = math.inf

    def run(self, at_s: float, life: Life, slow: float) -> None:
        """Run since then."""
        shape = self.shape
        self.state, self.started_s, self.has_run = State.RUNNING, at_s, True
        self.is_ready = False
        self.is_started = not shape.started_s
        if shape.is_init and not shape.is_sidecar:
            self.is_started = False
            self._ready_at_s = math.inf
        else:
            wait_s = shape.started_s + shape.ready_s if life.ready_s is None else life.ready_s
            self._ready_at_s = at_s + wait_s * slow
        stage_s = self._stage_s(life)
        if self.script is None:
            self._ends_s = at_s + stage_s
        else:
            self._foresee(self.script, stage_s, STEPS)
        self.due_s = min(self._ready_at_s, self._ends_s)

    def _foresee(self, script: Script, stage_s: float, steps: int) -> None:
        """See how far its command goes; where that is not followed any more its stage counts."""
        self._steps = steps
        self._outcome = outcome = script.outcome(self.started_s, steps)
        hands_over = outcome.is_final and outcome.code is None
        self._ends_s = self.started_s + outcome.after_s + (stage_s if hands_over else 0.0)

    def _start(self, at_s: float, life: Life, slow: float) -> None:
        self.state = State.STARTING
        self.due_s = at_s + life.start_s * slow

    def _live(self, at_s: float, life: Life, slow: float) -> None:
        outcome = self._outcome if self.script is not None else None
        if at_s < self._ends_s:
            self.is_ready = self.is_started = True
            self._ready_at_s = math.inf
            self.due_s = self._ends_s
        elif outcome is None or (outcome.is_final and outcome.code is None):
            is_init = self.shape.is_init
            code = life.init_code if is_init else life.exit_code
            self.exit(at_s, code, life, slow, "" if is_init else life.exit_reason)
        elif outcome.code is not None:
            self.exit(at_s, outcome.code, life, slow)
        else:
            self._look_on(life, self._steps * 2)

    def replan(self, life: Life) -> None:
        """Live by a command that was given to it while it ran."""
        if self.script is not None and self.state is State.RUNNING:
            self._look_on(life, STEPS)

    def _look_on(self, life: Life, steps: int) -> None:
        """See how its command goes on, so many steps from its start."""
        assert self.script is not None
        self._foresee(self.script, self._stage_s(life), steps)
        self.due_s = min(self._ready_at_s, self._ends_s)

    def _stage_s(self, life: Life) -> float:
        """Return how long it runs where no command counts."""
        if self.shape.is_sidecar or self.shape.is_ephemeral:
            return math.inf
        return life.init_s if self.shape.is_init else life.run_s

    def exit(self, at_s: float, code: int, life: Life, slow: float, reason: str = "") -> None:
        """End, and come back if its policy has it so."""
        self.end(at_s, code, reason)
        policy = self.shape.policy
        if policy == "Always" or (policy == "OnFailure" and code):
            self.come_back(life, slow)

    def come_back(self, life: Life, slow: float) -> None:
        """Run again, after a while: it has ended and is not to stay so."""
        assert self.ended is not None
        at_s, ran_s = self.ended.finished_s, self.ended.finished_s - self.ended.started_s
        if ran_s >= CALM_S:
            self._crashes = 0
        wait_s = backoff_s(self._crashes)
        self._crashes += 1
        if wait_s:
            self.state, self.due_s = State.BACKOFF, at_s + wait_s
        else:
            self.restarts += 1
            self._start(at_s, life, slow)

    def end(self, at_s: float, code: int, reason: str = "") -> None:
        """Exit, and stay so."""
        reason = reason or ("Completed" if code == 0 else "Error")
        outcome = self._outcome
        message = outcome.message if outcome is not None and code == outcome.code else ""
        self.ended = Ended(code, reason, self.started_s, at_s, self.restarts, message)
        self.state, self.due_s = State.EXITED, math.inf
        self.is_ready = self.is_started = False

    def stop(self, at_s: float, code: int) -> None:
        """End for good, as its pod does; one that does not run just stays so."""
        if self.state is State.RUNNING:
            self.end(at_s, code)
        else:
            self.state, self.due_s = State.EXITED, math.inf

    def remember(self, crashes: int) -> None:
        """Take a run's number for that of the crashes before it: what is known after a restart."""
        self._crashes = crashes

    def go_on(self, life: Life, slow: float, *, was_ready: bool, was_started: bool) -> None:
        """Run on, as the API says it does; readiness that was reached stays."""
        self.run(self.started_s, life, slow)
        if was_ready:
            self.is_ready = self.is_started = True
            self._ready_at_s = math.inf
            self.due_s = self._ends_s
        self.is_started = self.is_started or was_started


def backoff_s(crashes: int) -> float:
    """Return how long is waited after so many crashes before: 0, 10, 20, 40 ... 300 s."""
    if crashes <= 0:
        return 0.0
    seconds: float = BACKOFF_S * 2.0 ** min(crashes - 1, 10)
    return min(BACKOFF_S_MAX, seconds)

"""How a pod lives: its containers one after the other, its phase, its conditions, its end.

Pure, as `containers.py`: `advance` does what is due and says when to come again. What a pod is at a
moment follows from its spec, its life and its status in the API; nothing else is kept, so a fleet
that was killed goes on where the API says its pods are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

from controllers.fleet.containers import KILLED, Container, State
from controllers.fleet.lives import Life
from controllers.fleet.shapes import PodShape

NEVER: Final = math.inf
MOUNT_S: Final = 123.0
"""A kubelet's patience with a pod's volumes before it complains (podAttachAndMountTimeout)."""


_NO_MOUNTS: Final[dict[str, str]] = {}


class Condition(IntEnum):
    """The conditions that a kubelet keeps of a pod, in its order."""

    READY_TO_START = 0
    INITIALIZED = 1
    READY = 2
    CONTAINERS_READY = 3


class Verdict(NamedTuple):
    """Why a pod was ended by its node."""

    reason: str
    message: str
    is_disruption: bool = False


class Pod:
    """A pod on a node of the fleet.

    Attributes:
        key: "namespace/name".
        node: whose it is; the runner's business.
        started_s: when its node took it.
        phase: Pending, Running, Succeeded or Failed.
        containers: init containers, then the others; extras: ephemeral ones.
        conditions: for each `Condition` whether it holds, and since when.
        gates: which of its readiness gates hold.
        kill_s, grace_s: since when it is being ended, and how long it may take.
        verdict: why its node ended it, if that did.
        is_leaving: whether it is being deleted.
        is_dirty, is_writing: whether its status waits to be written, or is being.
        is_gone: whether the API has it no more.
        sent: the fingerprint of what was written last.
        is_scheduled: whether somebody has said that it is scheduled.
        mounts: claims that all of it waits for, each with the name of its volume.
        supply: ConfigMaps and Secrets that it waits for, as well; None: none.
        mounted_s: when it had what it waited for.
    """

    __slots__ = (
        "address", "conditions", "containers", "due_s", "extras", "failures", "gates", "generation",
        "grace_s", "is_dirty", "is_gone", "is_leaving", "is_scheduled", "is_writing", "key",
        "kill_s", "labels", "life", "mounted_s", "mounts", "node", "phase", "sent", "shape",
        "started_s", "supply", "uid", "verdict",
    )  # fmt: skip

    def __init__(self, key: str, uid: str, shape: PodShape, life: Life, started_s: float) -> None:
        self.key = key
        self.uid = uid
        self.shape = shape
        self.life = life
        self.started_s = started_s
        self.phase = "Pending"
        self.containers = tuple(Container(one) for one in shape.containers)
        self.extras = tuple(Container(one) for one in shape.ephemerals)
        self.conditions: list[tuple[bool, float]] = [(False, started_s)] * len(Condition)
        self.gates: frozenset[str] = frozenset()
        self.generation = 0
        self.kill_s = NEVER
        self.grace_s = 0.0
        self.verdict: Verdict | None = None
        self.address = ""
        self.labels: dict[str, str] = {}
        self.mounts: dict[str, str] = _NO_MOUNTS
        self.mounted_s = 0.0
        self.supply: Any = None
        self.due_s = NEVER
        self.failures = 0
        self.is_dirty = self.is_gone = self.is_leaving = self.is_writing = False
        self.is_scheduled = True
        self.node: Any = None
        self.sent = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def inits(self) -> tuple[Container, ...]:
        """Its init containers, sidecars among them."""
        return self.containers[: self.shape.inits]

    @property
    def mains(self) -> tuple[Container, ...]:
        """Its other containers."""
        return self.containers[self.shape.inits :]

    @property
    def is_held(self) -> bool:
        """Whether it waits for volumes, ConfigMaps or Secrets."""
        return bool(self.mounts) or self.supply is not None

    @property
    def everyone(self) -> tuple[Container, ...]:
        """All its containers."""
        return (*self.containers, *self.extras) if self.extras else self.containers

    def reshape(self, shape: PodShape, now_s: float, slow: float) -> None:
        """Take over a spec that was changed: resources as they are, images by a restart."""
        if len(shape.containers) != len(self.containers):
            return
        self.shape = shape
        added = shape.ephemerals[len(self.extras) :]
        self.extras = (*self.extras, *(Container(one) for one in added))
        for one, now in zip(self.containers, shape.containers, strict=True):
            is_other, one.shape = one.shape.image != now.image, now
            if is_other and one.state is State.RUNNING and self.kill_s == NEVER:
                one.end(now_s, 0)
                one.come_back(self.life, slow)

    def fingerprint(self) -> int:
        """Return a number that changes with what a status tells."""
        shown = tuple(
            (
                # Until it runs, all that is told is that it waits.
                State.STARTING if one.state <= State.STARTING and not one.pulls else one.state,
                one.restarts,
                one.pulls,
                one.is_ready,
                one.is_started,
            )
            for one in self.everyone
        )
        fault = "" if self.supply is None else self.supply.reason + self.supply.message
        return hash((self.phase, self.address, self.generation, *self.conditions, shown, fault))

    def replan(self) -> None:
        """Have containers that run go by their commands from now on."""
        for one in self.everyone:
            one.replan(self.life)

    def end(self, at_s: float, grace_s: float) -> None:
        """Have its containers end; a shorter grace than before counts."""
        self.grace_s = min(grace_s, self.grace_s) if self.kill_s < NEVER else grace_s
        self.kill_s = min(self.kill_s, at_s)

    def fail(self, verdict: Verdict, at_s: float) -> None:
        """End it at once, as its node has to."""
        self.verdict = verdict
        self.end(at_s, 0.0)

    def advance(self, now_s: float, slow: float) -> float:
        """Do what is due; return when something is again.

        Args:
            now_s: seconds since the epoch.
            slow: how many times longer than usual things take on its node.
        """
        if self.is_over:
            return NEVER
        deadline_s = NEVER
        if self.shape.deadline_s is not None:
            deadline_s = self.started_s + self.shape.deadline_s
        if now_s >= deadline_s and self.kill_s == NEVER:
            text = "Pod was active on the node longer than the specified deadline"
            self.fail(Verdict("DeadlineExceeded", text), now_s)
        if self.kill_s < NEVER:
            due_s = self._stop(now_s)
        elif self.is_held:
            waited_s = max(0.0, now_s - self.started_s)
            due_s = self.started_s + MOUNT_S * (waited_s // MOUNT_S + 1)
        else:
            due_s = self._run(now_s, slow)
        self._judge(now_s)
        return NEVER if self.is_over else min(due_s, deadline_s)

    def _run(self, now_s: float, slow: float) -> float:
        """Run what may run now: init containers one by one, then the others."""
        at_s, due_s = max(self.started_s, self.mounted_s), NEVER
        for one in self.inits:
            due_s = min(due_s, self._advance(one, at_s, now_s, slow))
            if one.shape.is_sidecar:
                if not (one.is_started or one.restarts):
                    return due_s
                at_s = max(at_s, one.started_s)
            elif not one.has_succeeded:
                return due_s
            elif one.ended is not None:
                at_s = max(at_s, one.ended.finished_s)
        for one in self.mains:
            due_s = min(due_s, self._advance(one, at_s, now_s, slow))
        if self.extras:
            due_s = min(due_s, *(self._advance(one, now_s, now_s, slow) for one in self.extras))
        if all(one.is_over for one in self.mains):
            for one in (*self.inits, *self.extras):
                one.stop(now_s, 0)
        return due_s

    def _advance(self, one: Container, at_s: float, now_s: float, slow: float) -> float:
        if one.state is State.PENDING:
            one.begin(at_s, self.life, slow)
        one.advance(now_s, self.life, slow)
        return one.due_s

    def _stop(self, now_s: float) -> float:
        """End containers when they have had their time."""
        wanted_s = 0.0 if self.verdict is not None else self.life.terminate_s
        is_killed = wanted_s > self.grace_s or self.verdict is not None
        end_s = self.kill_s + min(wanted_s, self.grace_s)
        if not any(one.state is State.RUNNING for one in self.containers):
            end_s = self.kill_s
        if now_s < end_s:
            return end_s
        for one in self.everyone:
            one.stop(max(end_s, now_s - 1), KILLED if is_killed else 0)
        return NEVER

    def _judge(self, now_s: float) -> None:
        self.phase = self._phase()
        is_initialized = self.phase == "Succeeded" or all(
            one.has_succeeded or (one.shape.is_sidecar and (one.is_started or one.has_run))
            for one in self.inits
        )
        is_ready = self.phase == "Running" and all(
            one.is_ready for one in self.containers if not one.shape.is_init or one.shape.is_sidecar
        )
        has_sandbox = not self.is_over and any(
            one.state not in (State.PENDING, State.PULLING) or one.has_run
            for one in self.containers
        )
        gated = all(gate in self.gates for gate in self.shape.gates)
        for kind, holds in (
            (Condition.READY_TO_START, has_sandbox),
            (Condition.INITIALIZED, is_initialized),
            (Condition.READY, is_ready and gated),
            (Condition.CONTAINERS_READY, is_ready),
        ):
            if self.conditions[kind][0] is not holds:
                self.conditions[kind] = (holds, now_s)

    def _phase(self) -> str:
        """Return the phase, as upstream's getPhase."""
        if self.kill_s < NEVER and all(one.is_over for one in self.containers):
            well = self.verdict is None and all(one.has_succeeded for one in self.mains)
            return "Succeeded" if well else "Failed"
        if any(one.is_over and not one.has_succeeded for one in self._first_to_last()):
            return "Failed"
        if all(one.is_over for one in self.mains):
            well = all(one.has_succeeded for one in self.mains)
            return "Succeeded" if well else "Failed"
        has_begun = all(one.has_run or one.is_over for one in self.mains)
        return "Running" if has_begun else "Pending"

    def _first_to_last(self) -> Iterator[Container]:
        """Yield the init containers without which nothing else runs."""
        return (one for one in self.inits if not one.shape.is_sidecar)

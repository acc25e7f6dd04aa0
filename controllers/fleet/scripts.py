"""What a container's command means for its life: when it ends, how, and what it prints until then.

A run follows from the command, the container's surroundings and its start alone. So nothing of it
is kept: how it ends is found out when it starts, by running ahead; what it prints, when somebody
wants to see. A run that cannot be foreseen to its end, a loop that counts, is looked at again when
what was foreseen is over, each time twice as far. Where a program comes that is not known, the
container runs on from there as its stage says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from controllers.fleet.command_actions import ACTIONS
from controllers.fleet.commands import Interpreter
from controllers.fleet.last_words import USUAL, LastWords, Tail, message_of
from controllers.fleet.machine import Input, Machine, Sink, UnknownProgram, World
from controllers.fleet.pod_fields import Missing
from controllers.fleet.pod_scene import ContainerWorld, Scene, expand
from controllers.fleet.shell_calls import SHELLS, program_name
from controllers.fleet.shell_syntax import (
    AndOr,
    Group,
    Loop,
    Node,
    Pipeline,
    Sequence,
    Simple,
    read_script,
)
from controllers.fleet.shell_syntax import If as IfNode
from controllers.fleet.shell_words import NotUnderstood, Text

STEPS: Final = 300
_STEPS_MAX: Final = 20_000
_STUCK_STEPS: Final = 5_000
"""Who does so much while no time passes does nothing else any more."""
_CACHED: Final = 4096
_CONTROL: Final = frozenset({"exit", "break", "continue", "set", "eval", "exec", "return"})
_BLIND: Final = frozenset(
    {"echo", "printf", "sleep", "true", "false", ":", "seq", "trap", "wait", "pause", "sync"}
)
"""These depend on nothing that is around a container."""
_NAME: Final = re.compile(r"[\w./\[-]+")


class Outcome(NamedTuple):
    """How a run ends, as far as it was foreseen.

    Attributes:
        after_s: when, seconds from its start.
        code: how; None: it does not end here.
        message: what it leaves as its last word.
        is_final: whether no more is to be foreseen: else it is to be looked at again then.
    """

    after_s: float
    code: int | None = None
    message: str = ""
    is_final: bool = True


class Process:
    """A run that is looked at up to a time.

    Attributes:
        code: how it ended; None: it has not.
        unknown: the program that is not known, from which on it is not followed; "": none.
        is_endless: whether it is known that nothing will happen any more but rounds of a loop.
    """

    def __init__(self, machine: Machine, words: list[str]) -> None:
        self.machine = machine
        self.code: int | None = None
        self.unknown = ""
        self.is_endless = False
        self._running = Interpreter(machine).run_words(words)
        self._wake_s = 0.0
        self._send: int | None = None
        self._moved_at = 0
        self._is_begun = False

    @property
    def is_over(self) -> bool:
        """Whether it is not followed any further."""
        return self.code is not None or bool(self.unknown) or math.isinf(self._wake_s)

    @property
    def next_s(self) -> float:
        """When it goes on, seconds since its start; infinite: never."""
        return math.inf if self.is_over else self._wake_s

    def advance(self, until_s: float, steps: int, rounds_max: int | None = None) -> bool:
        """Follow it up to a time since its start; return whether it got there.

        Args:
            until_s: that time.
            steps: how much may be done at most.
            rounds_max: of a loop whose rounds are all alike so many before that time are followed,
                and the ones before left out; None: all are followed.
        """
        machine, last = self.machine, self.machine.steps + steps
        while not self.is_over:
            if self._wake_s > until_s:
                return True
            if machine.steps >= last:
                return False
            if self._wake_s > machine.elapsed_s:
                machine.elapsed_s, self._moved_at = self._wake_s, machine.steps
            self._step(None if rounds_max is None else (until_s, rounds_max))
        return True

    def _step(self, skips: tuple[float, int] | None) -> None:
        machine = self.machine
        try:
            pause = self._running.send(self._send) if self._is_begun else next(self._running)
        except StopIteration as end:
            self.code = end.value
            return
        except UnknownProgram as error:
            self.unknown = str(error)
            return
        except Exception as error:  # noqa: BLE001 - no script may end the fleet
            # Numbers that are too large, scripts that are nested too deep.
            self.unknown = f"what leads to {error!r}"[:200]
            return
        self._is_begun, self._send = True, None
        if pause.repeats:
            self.is_endless = True
            self._moved_at = machine.steps
            if skips is not None:
                rounds = int((skips[0] - machine.elapsed_s) // pause.repeats) - skips[1]
                # The machine adds the time of those that it is told to leave out.
                self._send = max(0, rounds)
        self._wake_s = machine.elapsed_s + pause.seconds
        if machine.steps - self._moved_at > _STUCK_STEPS:
            self._wake_s = math.inf


@dataclass(slots=True)
class Script:
    """A container's command.

    Attributes:
        words: the command and its arguments, `$(NAME)` not replaced yet.
        reads: whether its standard input is open.
        name: the container's.
        last_words: where its termination message is.
        scene: what is around it; None: it depends on nothing of that.
    """

    words: tuple[str, ...]
    reads: bool
    name: str
    last_words: LastWords = USUAL
    scene: Scene | None = None

    def process(self, started_s: float, take: Sink) -> Process:
        """Return its run that began then; what it prints is given to `take`."""
        world: World = _NOWHERE
        words = list(self.words)
        if self.scene is not None:
            try:
                world = ContainerWorld(self.scene, self.name, written_before)
            except Missing:
                world = _NOWHERE
            words = [expand(one, world.environment) for one in words]
        given = Input(is_open=self.reads)
        return Process(Machine(world, ACTIONS, started_s, take, take, given), words)

    def outcome(self, started_s: float, steps: int = STEPS) -> Outcome:
        """Return how the run that began then ends, foreseen so many steps far."""
        if self.scene is None and steps == STEPS:
            return _blind_outcome(self.words, self.reads, self.last_words)
        return _foresee(self, started_s, steps)


def _foresee(script: Script, started_s: float, steps: int) -> Outcome:
    tail = Tail()
    process = script.process(started_s, tail.take if script.last_words.are_logged else _ignore)
    machine = process.machine
    while not process.is_over and not process.is_endless:
        # The first look goes on until any time has passed: there is nothing to wait for else.
        if machine.steps >= (steps if machine.elapsed_s else _STEPS_MAX):
            break
        process.advance(math.inf, 1)
    if process.code is not None:
        message = message_of(script.last_words, machine.files, tail, process.code)
        return Outcome(machine.elapsed_s, process.code, message)
    if process.unknown:
        return Outcome(machine.elapsed_s)
    is_over = process.is_over or process.is_endless or steps >= _STEPS_MAX
    return Outcome(math.inf if is_over else machine.elapsed_s, is_final=is_over)


def written_before(scene: Scene, name: str) -> Mapping[str, bytes | None] | None:
    """Return what an init container leaves in its files; None: nobody knows."""
    if name not in scene.left:
        scene.left[name] = _written_by(scene, name)
    return scene.left[name]


def _written_by(scene: Scene, name: str) -> Mapping[str, bytes | None] | None:
    container = scene.containers[name]
    words = (*(container.get("command") or ()), *(container.get("args") or ()))
    if understand(words) is None:
        return None
    script = Script(words, bool(container.get("stdin")), name, scene=scene)
    process = script.process(0.0, _ignore)
    while not (process.is_over or process.is_endless) and process.machine.steps < _STEPS_MAX:
        process.advance(math.inf, 100)
    return process.machine.files if process.code == 0 else None


def _ignore(_data: bytes) -> None:
    pass


@lru_cache(maxsize=_CACHED)
def _blind_outcome(
    words: tuple[str, ...],
    reads: bool,  # noqa: FBT001 - of a cache
    last_words: LastWords,
) -> Outcome:
    return _foresee(Script(words, reads, "", last_words), 0.0, STEPS)


class _Nowhere:
    """What is around a script that depends on nothing."""

    hostname = "localhost"
    address = "127.0.0.1"
    environment: Mapping[str, str] = {}

    def read(self, _path: str) -> bytes | None:
        return None

    def names(self, _path: str) -> list[str] | None:
        return None

    def is_shared(self, _path: str) -> bool:
        return False


_NOWHERE: Final = _Nowhere()


class Understood(NamedTuple):
    """What is known of a command before it runs: whether it depends on what is around it."""

    words: tuple[str, ...]
    needs_scene: bool


@lru_cache(maxsize=_CACHED)
def understand(words: tuple[str, ...]) -> Understood | None:
    """Return what is known of a command; None: it does not begin with what is known."""
    if not words or not _begins_known(words):
        return None
    text = "\n".join(words).replace("tail -f /dev/null", "sleep infinity")
    names = {program_name(one) for one in _NAME.findall(text)}
    is_blind = names & ACTIONS.keys() <= _BLIND and not set(text) & set("$`<")
    return Understood(words, not is_blind)


def _begins_known(words: tuple[str, ...]) -> bool:
    name = program_name(words[0])
    if name in SHELLS:
        text = next(
            (words[at + 1] for at in range(1, len(words) - 1) if _is_command(words[at])), ""
        )
        try:
            return not text or _is_known(_first(read_script(text)))
        except (NotUnderstood, RecursionError):
            return False
    return name in ACTIONS or name in _CONTROL or "$(" in name


def _is_command(word: str) -> bool:
    return word.startswith("-") and "c" in word


def _first(node: Node | None) -> Node | None:
    """Return the program that runs first."""
    while True:
        match node:
            case Sequence(items):
                node = items[0] if items else None
            case AndOr(first, _):
                node = first
            case Pipeline(commands, _):
                node = commands[0]
            case Loop(condition, _, _):
                node = condition
            case IfNode(branches, _):
                node = branches[0][0]
            case Group(body, _, _):
                node = body
            case _:
                return node


def _is_known(node: Node | None) -> bool:
    if not isinstance(node, Simple) or not node.words:
        return True
    word = node.words[0]
    if not all(isinstance(part, Text) for part in word):
        return True
    name = program_name("".join(part.text for part in word if isinstance(part, Text)))
    return name in ACTIONS or name in SHELLS or name in _CONTROL

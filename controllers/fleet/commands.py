"""Runs scripts of simulated containers: a small, honest interpreter of the shell's language.

Pure: a run is a generator that yields a `Pause` wherever time passes, and whoever drives it
(scripts.py, exec_sessions.py) says when that is over. What is not known here, a program or an
option, is `UnknownProgram`: nothing is made up. A loop whose next rounds are all like the last one
says so by a Pause that `repeats`, so that nobody has to run all rounds of a year.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import Final, NoReturn

from controllers.fleet.machine import (
    Action,
    Call,
    Exit,
    Input,
    Machine,
    Pause,
    Running,
    UnknownProgram,
)
from controllers.fleet.shell_calls import SHELLS, program_name, shell_arguments
from controllers.fleet.shell_expansion import Expansion
from controllers.fleet.shell_redirections import Redirections
from controllers.fleet.shell_syntax import (
    AndOr,
    For,
    Group,
    If,
    Loop,
    Node,
    Pipeline,
    Sequence,
    Simple,
    read_script,
)
from controllers.fleet.shell_words import NotUnderstood

NOT_FOUND: Final = 127
_BREATH_STEPS: Final = 100
_CAPTURED_BYTES_MAX: Final = 64 << 10
_SCRIPTS_MAX: Final = 8
_VARIABLES_MAX: Final = 1000


class _Leave(Exception):
    """`break` or `continue`, out of so many loops."""

    def __init__(self, levels: int, *, goes_on: bool) -> None:
        super().__init__("outside of a loop")
        self.levels = levels
        self.goes_on = goes_on


class Interpreter:
    """See the module's head.

    Attributes:
        machine: what it runs on.
        is_left: whether a line of a conversation has ended it.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.is_left = False
        self._words = Expansion(machine, self._captured)
        self._redirections = Redirections(machine, self._words)
        self._guards = self._scripts = 0

    # Scripts -------------------------------------------------------------------------------------

    def run_words(self, words: list[str]) -> Running:
        """Run a program with its arguments; return how it ends."""
        try:
            return (yield from self._call(words)) if words else 0
        except Exit as end:
            return end.code
        except _Leave:
            return 0

    def run_line(self, text: str) -> Running:
        """Run a line of a conversation; return how it ends, and note whether it ends that."""
        try:
            return (yield from self.run_text(text))
        except Exit as end:
            self.is_left = True
            return end.code
        except _Leave:
            return 0

    def run_text(self, text: str) -> Running:
        """Run a script; return how it ends."""
        if self._scripts >= _SCRIPTS_MAX:
            raise UnknownProgram("scripts within scripts")
        self._scripts += 1
        try:
            return (yield from self._run(read_script(text)))
        except NotUnderstood as error:
            if not self.machine.goes_on:
                raise UnknownProgram(str(error)) from error
            self.machine.err(
                f"{self.machine.name}: {error}: this container is simulated\n".encode()
            )
            return 2
        finally:
            self._scripts -= 1

    def _run(self, node: Node) -> Running:
        """Run a command; it ends all where `set -e` has it so."""
        code = yield from self._run_one(node)
        self.machine.status = code
        is_judged = isinstance(node, Simple | Pipeline | Group)
        if code and is_judged and self.machine.ends_on_failure and not self._guards:
            raise Exit(code)
        return code

    def _run_one(self, node: Node) -> Running:
        match node:
            case Simple():
                return self._simple(node)
            case Sequence(items):
                return self._sequence(items)
            case AndOr():
                return self._and_or(node)
            case Pipeline():
                return self._pipeline(node)
            case Loop():
                return self._loop(node)
            case For():
                return self._for(node)
            case If():
                return self._if(node)
            case Group():
                return self._group(node)

    def _sequence(self, items: Iterable[Node]) -> Running:
        code = 0
        for item in items:
            code = yield from self._run(item)
        return code

    def _guarded(self, node: Node) -> Running:
        """Run what decides on something: its failure ends nothing."""
        self._guards += 1
        try:
            return (yield from self._run(node))
        finally:
            self._guards -= 1

    def _and_or(self, node: AndOr) -> Running:
        code = yield from self._guarded(node.first)
        for number, (operator, item) in enumerate(node.rest, 1):
            if (code == 0) is (operator == "&&"):
                is_last = number == len(node.rest)
                code = yield from self._run(item) if is_last else self._guarded(item)
        return code

    def _if(self, node: If) -> Running:
        for condition, body in node.branches:
            if not (yield from self._guarded(condition)):
                return (yield from self._run(body))
        return 0 if node.otherwise is None else (yield from self._run(node.otherwise))

    def _loop(self, node: Loop) -> Running:
        machine, code = self.machine, 0
        while True:
            before, files = (machine.state(), machine.clock_reads), dict(machine.files)
            since_s = machine.elapsed_s
            holds = (yield from self._guarded(node.condition)) == 0
            if holds is node.is_until:
                return code
            try:
                code = yield from self._run(node.body)
            except _Leave as leave:
                if not self._stays(leave):
                    return code
            yield from self._breathe()
            took_s = machine.elapsed_s - since_s
            is_same = before == (machine.state(), machine.clock_reads) and files == machine.files
            if took_s > 0 and is_same and not machine.input.rest:
                left_out = yield Pause(0.0, took_s)
                machine.elapsed_s += took_s * (left_out or 0)

    def _for(self, node: For) -> Running:
        words, code = (yield from self._words.fields(node.words)), 0
        for word in words:
            self.machine.variables[node.name] = word
            try:
                code = yield from self._run(node.body)
            except _Leave as leave:
                if not self._stays(leave):
                    return code
            yield from self._breathe()
        return code

    def _stays(self, leave: _Leave) -> bool:
        """Tell whether a loop goes on; raise what is meant for one around it."""
        if leave.levels > 1:
            raise _Leave(leave.levels - 1, goes_on=leave.goes_on)
        return leave.goes_on

    def _breathe(self) -> Generator[Pause, int | None, None]:
        self.machine.steps += 1
        if len(self.machine.variables) > _VARIABLES_MAX:
            raise UnknownProgram("so many variables")
        if self.machine.steps % _BREATH_STEPS == 0:
            yield Pause(0.0)

    def _pipeline(self, node: Pipeline) -> Running:
        kept, code = self.machine.input, 0
        try:
            for command in node.commands[:-1]:
                captured = yield from self._captured(command)
                self.machine.input = Input(captured)
            code = yield from self._isolated(node.commands[-1])
        finally:
            self.machine.input = kept
        return int(code == 0) if node.is_negated else code

    def _captured(self, node: Node) -> Generator[Pause, int | None, bytes]:
        """Run something in a subshell; return what it prints."""
        kept, found = self.machine.out, bytearray()

        def take(data: bytes) -> None:
            if len(found) + len(data) > _CAPTURED_BYTES_MAX:
                raise UnknownProgram("more output than is kept")
            found.extend(data)

        self.machine.out = take
        self.machine.captures += 1
        try:
            self.machine.status = yield from self._isolated(node)
        finally:
            self.machine.out = kept
            self.machine.captures -= 1
        return bytes(found)

    def _isolated(self, node: Node) -> Running:
        """Run something in a subshell: what it sets is gone afterwards."""
        state = self.machine.state()
        try:
            return (yield from self._run(node))
        except Exit as end:
            return end.code
        finally:
            self.machine.restore(state)

    def _group(self, node: Group) -> Running:
        kept = self.machine.streams
        try:
            if (yield from self._redirections.apply(node.redirects)):
                return 1
            run = self._isolated if node.is_subshell else self._run
            return (yield from run(node.body))
        finally:
            self.machine.streams = kept

    # Programs ------------------------------------------------------------------------------------

    def _simple(self, node: Simple) -> Running:
        yield from self._breathe()
        reads = self.machine.clock_reads
        self.machine.status = 0 if not node.words else self.machine.status
        words = yield from self._words.fields(node.words)
        if words and words[0] in ("echo", "printf"):
            # The time that is only told decides on nothing.
            self.machine.clock_reads = reads
        kept = self.machine.streams
        before = dict(self.machine.variables) if words and node.assignments else None
        try:
            for name, word in node.assignments:
                self.machine.variables[name] = yield from self._words.joined(word)
                if before is not None:
                    self.machine.exported.add(name)
            if (yield from self._redirections.apply(node.redirects)):
                return 1
            return (yield from self._call(words)) if words else self.machine.status
        finally:
            is_lasting = bool(words) and words[0] == "exec" and len(words) == 1
            if not is_lasting:
                self.machine.streams = kept
            if before is not None and words[0] not in ("export", "set", "eval", "read", "cd"):
                self.machine.variables = before

    def _call(self, words: list[str]) -> Running:
        name, arguments = program_name(words[0]), words[1:]
        match name:
            case "exit" | "return" | "break" | "continue":
                self._leave(name, arguments)
            case "set":
                return self._set(arguments)
            case "eval":
                return (yield from self.run_text(" ".join(arguments)))
            case "exec":
                if arguments:
                    raise Exit((yield from self._call(arguments)))
                return 0
            case _:
                pass
        if name in SHELLS:
            return (yield from self._shell(name, arguments))
        action = self.machine.actions.get(name)
        if action is not None:
            return (yield from self._act(action, name, arguments))
        if not self.machine.goes_on:
            raise UnknownProgram(words[0])
        text = f"{words[0]}: not found: this container is simulated\n"
        self.machine.err(text.encode())
        return NOT_FOUND

    def _leave(self, name: str, arguments: list[str]) -> NoReturn:
        """Leave a script or loops."""
        text = arguments[0][:9] if arguments else ""
        number = int(text) if text.isascii() and text.isdecimal() else None
        if name in ("exit", "return"):
            raise Exit(self.machine.status if not text else 2 if number is None else number)
        raise _Leave(number or 1, goes_on=name == "continue")

    def _act(self, action: Action, name: str, arguments: list[str]) -> Running:
        reply = action(Call(name, arguments, self.machine.input, self.machine))
        if reply.out:
            self.machine.out(reply.out)
        if reply.error:
            self.machine.err(reply.error)
        if reply.seconds > 0:
            yield Pause(reply.seconds)
        return reply.code

    def _set(self, arguments: list[str]) -> int:
        for at, one in enumerate(arguments):
            if one == "--":
                self.machine.arguments = arguments[at + 1 :]
                break
            if one[:1] not in "-+" or not set(one[1:]) <= set("euxovfm"):
                if one != "pipefail":
                    raise UnknownProgram(f"set {one}")
            elif "e" in one:
                self.machine.ends_on_failure = one[0] == "-"
        return 0

    def _shell(self, name: str, arguments: list[str]) -> Running:
        """Run a shell: a script of its arguments, of a file, or of what it reads."""
        machine = self.machine
        flags, text, rest = shell_arguments(name, arguments)
        if text is None and rest:
            content = machine.read(rest[0])
            if content is None:
                fault = f"{name}: can't open '{rest[0]}': No such file or directory\n"
                machine.err(fault.encode())
                return 2
            text = content.decode(errors="replace")
        if text is None:
            if machine.input.is_open:
                yield Pause(math.inf)
            text, machine.input.rest = machine.input.rest.decode(errors="replace"), b""
        state = machine.state()
        machine.name, machine.arguments = (rest[0], rest[1:]) if rest else (name, [])
        machine.ends_on_failure = "e" in flags
        passed = machine.exported & machine.variables.keys()
        machine.variables = {key: machine.variables[key] for key in passed}
        try:
            return (yield from self.run_text(text))
        except Exit as end:
            return end.code
        finally:
            machine.restore(state)

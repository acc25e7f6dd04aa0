"""What is done in simulated containers by exec, and seen of them by attach.

A command runs by the same interpreter as those that containers start with, in real time, with the
container's variables and mounted files; what it writes stays for the next one, for as long as the
fleet runs. A shell on a terminal reads lines, shows what is typed, and says what they print.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson

from controllers.fleet.command_actions import ACTIONS
from controllers.fleet.commands import Interpreter
from controllers.fleet.container_logs import Options, follow, log_of
from controllers.fleet.containers import Container
from controllers.fleet.machine import Input, Machine, Running, World
from controllers.fleet.pod_fields import Missing
from controllers.fleet.pod_life import Pod
from controllers.fleet.pod_scene import ContainerWorld, Scene
from controllers.fleet.pod_status import container_id
from controllers.fleet.sessions import Session, upgrade
from controllers.fleet.shell_calls import SHELLS, program_name
from controllers.fleet.web import Request
from kube.client import Unreachable
from kube.spdy import Kind
from kube.status import StatusError
from runtime.clock import Clock

_PROTOCOLS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io")
_SUCCESS: Final = b'{"metadata":{},"status":"Success"}'
_SLEEP_S_MAX: Final = 3600.0
_STEPS_MAX: Final = 200_000
_SLICE_S: Final = 0.5
_RECENT_S: Final = 10.0
"""Who attaches so early sees everything from the start."""
_INPUT_BYTES_MAX: Final = 1 << 20
_LINE_BYTES_MAX: Final = 4096
_WRITTEN_MAX: Final = 64
_READERS: Final = frozenset({"cat", "head", "tail", "wc", "tee", "tar", "read", *SHELLS})
_INTERRUPT, _END, _ERASE = b"\x03", b"\x04", (b"\x7f", b"\x08")
_PROMPT: Final = b"# "
_KILLED: Final = 137


@dataclass(slots=True)
class Kit:
    """What sessions need.

    Attributes:
        scene_of: returns what is around a pod now.
        exited: is told that what a container runs has ended with a code.
        written: what was written in containers, by their ids.
    """

    clock: Clock
    scene_of: Callable[[Pod], Awaitable[Scene]]
    exited: Callable[[Pod, Container, int], None]
    written: OrderedDict[str, dict[str, bytes | None]]

    def files_of(self, pod: Pod, one: Container) -> dict[str, bytes | None]:
        """Return what was written in a container."""
        key = container_id(pod.uid, one.shape.name, one.restarts)
        found = self.written.setdefault(key, {})
        self.written.move_to_end(key)
        if len(self.written) > _WRITTEN_MAX:
            self.written.popitem(last=False)
        return found


class Streams:
    """The streams of a session that was granted."""

    def __init__(self, request: Request, session: Session, streams: dict[str, int]) -> None:
        self.is_terminal = request.value("tty") == "1"
        self._request = request
        self._session = session
        self._streams = streams
        self._printed: list[tuple[str, bytes]] = []

    @property
    def has_input(self) -> bool:
        """Whether the client sends something."""
        return "stdin" in self._streams

    @property
    def is_left(self) -> bool:
        """Whether the client has gone."""
        return self._request.reader.at_eof()

    def out(self, data: bytes) -> None:
        """Print."""
        self._printed.append(("stdout", data))

    def err(self, data: bytes) -> None:
        """Print an error."""
        self._printed.append(("stderr" if "stderr" in self._streams else "stdout", data))

    async def flush(self) -> None:
        """Send what was printed."""
        printed, self._printed = self._printed, []
        for name, data in printed:
            if name in self._streams:
                # A terminal's driver makes lines of its own.
                shown = data.replace(b"\n", b"\r\n") if self.is_terminal else data
                await self._session.send(self._streams[name], shown)

    async def read(self) -> bytes | None:
        """Return what comes next; None: nothing more does."""
        async for event in self._session.events:
            if event.kind is None and event.stream == self._streams.get("stdin"):
                if event.data:
                    return event.data
                if event.ends:
                    return None
        return None

    async def finish(self, code: int) -> None:
        """Send what there is, then how it ended."""
        await self.flush()
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._session.send(self._streams[name], b"", ends=True)
        await self._session.send(self._streams["error"], _outcome(code), ends=True)
        # What is not read would have the kernel reset the connection before all is taken.
        async for _ in self._session.events:
            pass


async def open_streams(request: Request) -> Streams | None:
    """Return the streams of the session that is asked for; None: there is none."""
    session = await upgrade(request, _PROTOCOLS)
    if session is None:
        return None
    wanted, streams = _wanted(request), dict[str, int]()
    async for event in session.events:
        if event.kind is Kind.SYN_STREAM:
            streams[session.headers[event.stream].get("streamtype", "")] = event.stream
            if wanted <= streams.keys():
                break
    return Streams(request, session, streams) if wanted <= streams.keys() else None


def _wanted(request: Request) -> set[str]:
    """Return the streams that a client will open."""
    wanted = {"error"}
    for name, key in (("stdin", "input"), ("stdout", "output"), ("stderr", "error")):
        if request.value(key) == "1" and not (name == "stderr" and request.value("tty") == "1"):
            wanted.add(name)
    return wanted


def _outcome(code: int) -> bytes:
    if not code:
        return _SUCCESS
    return orjson.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


# Commands ----------------------------------------------------------------------------------------


async def run_command(request: Request, pod: Pod, one: Container, kit: Kit) -> None:
    """Run what is asked for in a container."""
    try:
        world = ContainerWorld(await kit.scene_of(pod), one.shape.name)
    except (StatusError, Unreachable, Missing, KeyError) as error:
        text = f"what is around the container cannot be read: {error}\n"
        await request.answer(500, text.encode(), "text/plain")
        return
    streams = await open_streams(request)
    if streams is None:
        return
    words = request.query.get("command", [])
    machine = machine_of(world, streams, kit, kit.files_of(pod, one))
    if not streams.has_input or not _reads(words):
        code = await drive(Interpreter(machine).run_words(words), machine, streams, kit.clock)
    elif words in (["cat"], ["cat", "-"]):
        code = await _copy(streams)
    elif is_shell(words) and streams.is_terminal:
        code = await converse(machine, streams, kit.clock)
    else:
        machine.input.rest = await _all(streams)
        code = await drive(Interpreter(machine).run_words(words), machine, streams, kit.clock)
    await streams.finish(code)


def machine_of(world: World, streams: Streams, kit: Kit, files: dict[str, bytes | None]) -> Machine:
    """Return what a session's commands run on; `files` is what was written before."""
    machine = Machine(
        world, ACTIONS, kit.clock.now_s(), streams.out, streams.err, Input(), goes_on=True
    )
    machine.files = files
    return machine


def is_shell(words: list[str]) -> bool:
    """Tell whether a command is a shell that reads what it is to do."""
    return (
        bool(words)
        and program_name(words[0]) in SHELLS
        and all(word.startswith("-") and "c" not in word for word in words[1:])
    )


def _reads(words: list[str]) -> bool:
    return any(program_name(name) in _READERS for word in words for name in word.split())


async def drive(running: Running, machine: Machine, streams: Streams, clock: Clock) -> int:
    """Run a command in real time; return how it ends, as if killed when its client goes."""
    # At this time of the clock the machine's would have been 0.
    zero_s = clock.monotonic_s() - machine.elapsed_s
    last = machine.steps + _STEPS_MAX
    try:
        while not streams.is_left and machine.steps < last:
            pause = next(running)
            await streams.flush()
            machine.elapsed_s += min(pause.seconds, _SLEEP_S_MAX)
            due_s = zero_s + machine.elapsed_s
            while (left_s := due_s - clock.monotonic_s()) > 0 and not streams.is_left:
                await clock.sleep(min(left_s, _SLICE_S))
            await asyncio.sleep(0)
    except StopIteration as end:
        code: int = end.value
        return code
    return _KILLED


async def _copy(streams: Streams) -> int:
    """Give back what comes, until its end."""
    while (data := await streams.read()) is not None:
        streams.out(data)
        await streams.flush()
    return 0


async def _all(streams: Streams) -> bytes:
    found = bytearray()
    while (data := await streams.read()) is not None and len(found) < _INPUT_BYTES_MAX:
        found += data
    return bytes(found)


async def converse(machine: Machine, streams: Streams, clock: Clock) -> int:
    """Be a shell on a terminal, until it is left; return how."""
    shell, line = Interpreter(machine), b""
    streams.out(_PROMPT)
    await streams.flush()
    while (data := await streams.read()) is not None:
        for byte in (data[at : at + 1] for at in range(len(data))):
            if byte in (b"\r", b"\n"):
                streams.out(b"\n")
                text, line = line.decode(errors="replace"), b""
                # Time goes on while nobody types.
                machine.started_s = clock.now_s() - machine.elapsed_s
                machine.status = await drive(shell.run_line(text), machine, streams, clock)
                if shell.is_left:
                    return machine.status
                streams.out(_PROMPT)
            elif byte == _END and not line:
                return machine.status
            else:
                line = _typed(line, byte, streams)
        await streams.flush()
    return machine.status


def _typed(line: bytes, byte: bytes, streams: Streams) -> bytes:
    """Return a line after something was typed, which is shown."""
    if byte == _INTERRUPT:
        streams.out(b"^C\n" + _PROMPT)
        return b""
    if byte in _ERASE:
        streams.out(b"\b \b" if line else b"")
        return line[:-1]
    if byte < b" " or len(line) >= _LINE_BYTES_MAX:
        return line
    streams.out(byte)
    return line + byte


# Attach ------------------------------------------------------------------------------------------


async def attach(request: Request, pod: Pod, one: Container, kit: Kit) -> None:
    """Show what a container prints, until it ends or its client goes."""
    streams = await open_streams(request)
    if streams is None:
        return
    script = one.script
    if script is not None and script.reads and streams.has_input and is_shell(list(script.words)):
        await _be_shell(streams, pod, one, kit)
        return
    log, now_s = log_of(pod, one), kit.clock.now_s()
    is_recent = script is not None and now_s - one.started_s < _RECENT_S
    tail = None if is_recent else 0 if script is not None else 1
    async for line in log.first(now_s, Options(tail=tail)):
        streams.out(line)
    async for line in follow(log, pod, one, kit.clock, Options()):
        streams.out(line)
        await streams.flush()
        if streams.is_left:
            return
    await streams.finish(0)


async def _be_shell(streams: Streams, pod: Pod, one: Container, kit: Kit) -> None:
    """Be the shell that a container runs, which ends when that does."""
    world = ContainerWorld(await kit.scene_of(pod), one.shape.name)
    machine = machine_of(world, streams, kit, kit.files_of(pod, one))
    if streams.is_terminal:
        code = await converse(machine, streams, kit.clock)
    else:
        machine.input.rest = await _all(streams)
        running = Interpreter(machine).run_words(["sh"])
        code = await drive(running, machine, streams, kit.clock)
    if not streams.is_left:
        kit.exited(pod, one, code)
    await streams.finish(0)

"""What scripts of simulated containers run on: variables, files, streams, the time.

No I/O: what a container finds around it is a `World`, what it writes stays here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

_FILE_BYTES_MAX: Final = 64 << 10
_FILES_MAX: Final = 256
_ALL_BYTES_MAX: Final = 1 << 20
Sink = Callable[[bytes], None]


class UnknownProgram(Exception):
    """A program, or a way to use one, that is not simulated; its text names it."""


class Exit(Exception):
    """A script ends with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit {code}")
        self.code = code & 255


class Pause(NamedTuple):
    """Time passes, or may be taken by others.

    Attributes:
        seconds: how long; infinite: for ever.
        repeats: the seconds of a round of a loop whose next rounds are all alike; 0: it is none.
            Whoever drives may send how many rounds are to be left out.
    """

    seconds: float
    repeats: float = 0.0


Running = Generator[Pause, int | None, int]


class World(Protocol):
    """What a container finds around it."""

    @property
    def hostname(self) -> str:
        """Its host's name."""
        ...

    @property
    def address(self) -> str:
        """Its IP address."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None: there is none."""
        ...

    def names(self, path: str) -> list[str] | None:
        """Return what is in a directory; None: it is none."""
        ...

    def is_shared(self, path: str) -> bool:
        """Tell whether others may have written there, so that nobody knows what there is."""
        ...


@dataclass(slots=True)
class Input:
    """What is there to read; `is_open`: more may come, though nobody here knows when."""

    rest: bytes = b""
    is_open: bool = False


class Reply(NamedTuple):
    """What a program does: takes its time, prints, ends."""

    code: int = 0
    out: bytes = b""
    error: bytes = b""
    seconds: float = 0.0


class Call(NamedTuple):
    """A program that is called with arguments."""

    name: str
    arguments: list[str]
    input: Input
    machine: Machine


Action = Callable[[Call], Reply]


Streams = tuple[Sink, Sink, Input]
State = tuple[dict[str, str], set[str], tuple[str, str, list[str]], bool]


@dataclass(slots=True)
class Machine:
    """What a script runs on.

    Attributes:
        world: what is around it.
        actions: the programs there are.
        started_s: when it began, seconds since the epoch; elapsed_s: and how long ago that is.
        out, err: where it prints.
        input: what it reads.
        goes_on: whether what is not known is an error like others, rather than UnknownProgram.
        steps: how much was done.
        files: what it has written, by path; None: removed.
        variables, exported: values by name, and which of them programs get.
        directory: where it is; arguments, name: what it was called with, and as.
        status: how the last command ended; ends_on_failure: whether a failure ends it (set -e).
        captures: how many readers of what is printed there are within each other.
        clock_reads: how often something asked for the time that may decide by it.
    """

    world: World
    actions: Mapping[str, Action]
    started_s: float
    out: Sink
    err: Sink
    input: Input = field(default_factory=Input)
    goes_on: bool = False
    elapsed_s: float = 0.0
    steps: int = 0
    files: dict[str, bytes | None] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    directory: str = "/"
    arguments: list[str] = field(default_factory=list)
    name: str = "sh"
    status: int = 0
    ends_on_failure: bool = False
    captures: int = 0
    clock_reads: int = 0

    def __post_init__(self) -> None:
        self.variables.update(self.world.environment)
        self.exported.update(self.world.environment)
        self.variables.setdefault("PWD", self.directory)

    @property
    def now_s(self) -> float:
        """The time now, seconds since the epoch."""
        if self.captures:
            self.clock_reads += 1
        return self.started_s + self.elapsed_s

    @property
    def streams(self) -> Streams:
        """What it reads and prints to, to be set again later."""
        return self.out, self.err, self.input

    @streams.setter
    def streams(self, streams: Streams) -> None:
        self.out, self.err, self.input = streams

    def state(self) -> State:
        """Return what a subshell may change, to be restored."""
        names = (self.directory, self.name, list(self.arguments))
        return dict(self.variables), set(self.exported), names, self.ends_on_failure

    def restore(self, state: State) -> None:
        """Have everything as it was."""
        self.variables, self.exported, names, self.ends_on_failure = state
        self.directory, self.name, self.arguments = names

    # Files ---------------------------------------------------------------------------------------

    def path(self, text: str) -> str:
        """Return a path from the root on."""
        whole = text if text.startswith("/") else f"{self.directory.rstrip('/')}/{text}"
        parts: list[str] = []
        for part in whole.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)

    def read(self, text: str) -> bytes | None:
        """Return a file's content; None: there is none."""
        path = self.path(text)
        if path in self.files:
            return self.files[path]
        found = self.world.read(path)
        if found is None:
            self._check(path)
        return found

    def _check(self, path: str) -> None:
        """Raise UnknownProgram if nobody knows what there is at a path."""
        if not self.goes_on and self.world.is_shared(path):
            raise UnknownProgram(f"what others may have written to {path}")

    def names(self, text: str) -> list[str] | None:
        """Return what is in a directory; None: it is none."""
        path = self.path(text).rstrip("/") + "/"
        self._check(path)
        found = self.world.names(path.rstrip("/") or "/")
        names = set(found or ())
        for file, content in self.files.items():
            if file.startswith(path):
                name = file[len(path) :].partition("/")[0]
                names.add(name) if content is not None else names.discard(name)
        return sorted(names) if names or found is not None else None

    def write(self, text: str, content: bytes | None) -> None:
        """Have a file say this; None: be gone."""
        size = len(content or b"")
        if size > _FILE_BYTES_MAX or len(self.files) >= _FILES_MAX:
            raise UnknownProgram("a larger file")
        if size and size + sum(len(one or b"") for one in self.files.values()) > _ALL_BYTES_MAX:
            raise UnknownProgram("larger files")
        self.files[self.path(text)] = content

    # Variables -----------------------------------------------------------------------------------

    def lookup(self, name: str) -> str | None:
        """Return a variable's value, or that of a special one; None: it has none."""
        match name:
            case "?":
                return str(self.status)
            case "#":
                return str(len(self.arguments))
            case "@" | "*":
                return " ".join(self.arguments)
            case "$":
                return "1"
            case "!" | "-":
                return ""
            case "0":
                return self.name
            case _ if name.isdecimal():
                at = int(name) - 1
                return self.arguments[at] if at < len(self.arguments) else None
            case "RANDOM":
                # Chance that is the same each time that this run is looked at.
                return str(zlib.crc32(f"{self.world.hostname}/{self.steps}".encode()) >> 17)
            case _:
                return self.variables.get(name)

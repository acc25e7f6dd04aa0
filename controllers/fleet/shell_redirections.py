"""Where the streams of a script's commands go: to files, to each other, to nowhere."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Final

from controllers.fleet.machine import Input, Machine, Pause, Sink, UnknownProgram
from controllers.fleet.shell_expansion import Expansion
from controllers.fleet.shell_syntax import Redirect

_STANDARD: Final = {
    **dict.fromkeys(("/dev/stdout", "/dev/fd/1", "/proc/1/fd/1", "/proc/self/fd/1"), 1),
    **dict.fromkeys(("/dev/stderr", "/dev/fd/2", "/proc/1/fd/2", "/proc/self/fd/2"), 2),
}


class Redirections:
    """See the module's head.

    Args of the constructor:
        machine: whose streams they are.
        words: what the names of files become.
    """

    def __init__(self, machine: Machine, words: Expansion) -> None:
        self._machine = machine
        self._words = words

    def apply(self, redirects: Iterable[Redirect]) -> Generator[Pause, int | None, bool]:
        """Have streams go elsewhere; return whether one cannot."""
        for one in redirects:
            target = yield from self._words.joined(one.target)
            if one.kind == "<":
                content = b"" if target == "/dev/null" else self._machine.read(target)
                if content is None:
                    self._machine.err(
                        f"{self._machine.name}: can't open {target}: no such file\n".encode()
                    )
                    return True
                self._machine.input = Input(content)
            elif one.stream == 1:
                self._machine.out = self._sink(target, one)
            elif one.stream == 2:
                self._machine.err = self._sink(target, one)
            else:
                raise UnknownProgram(f"stream {one.stream}")
        return False

    def _sink(self, target: str, redirect: Redirect) -> Sink:
        if redirect.kind == ">&":
            if target not in ("1", "2"):
                raise UnknownProgram(f"stream {target}")
            return self._machine.out if target == "1" else self._machine.err
        if target in _STANDARD:
            return self._machine.out if _STANDARD[target] == 1 else self._machine.err
        if target in ("/dev/null", "/dev/tty"):
            return lambda _data: None
        if redirect.kind == ">" or self._machine.read(target) is None:
            self._machine.write(target, b"")
        path = self._machine.path(target)

        def append(data: bytes) -> None:
            self._machine.write(path, (self._machine.files.get(path) or b"") + data)

        if path not in self._machine.files:
            self._machine.write(path, self._machine.read(path))
        return append

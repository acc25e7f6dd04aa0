"""How programs of simulated containers are called: by which names, and what shells are told."""

from __future__ import annotations

from typing import Final

from controllers.fleet.machine import UnknownProgram

SHELLS: Final = frozenset({"sh", "bash", "ash", "dash"})
_DIRECTORIES: Final = ("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/", "/usr/sbin/")
_SHELL_FLAGS: Final = frozenset("ceuxliv")


def program_name(path: str) -> str:
    """Return a program's name, if it is where programs are; else its path."""
    for directory in _DIRECTORIES:
        if path.startswith(directory):
            return path[len(directory) :]
    return path


def shell_arguments(name: str, arguments: list[str]) -> tuple[str, str | None, list[str]]:
    """Return a shell's flags, its script if that is an argument, and what is left."""
    given, at = "", 0
    while at < len(arguments) and arguments[at][:1] == "-" and len(arguments[at]) > 1:
        flags = arguments[at][1:]
        if not set(flags) <= _SHELL_FLAGS:
            raise UnknownProgram(f"{name} {arguments[at]}")
        given += flags
        at += 1
        if "c" in flags:
            if at >= len(arguments):
                raise UnknownProgram(f"{name} -c")
            return given, arguments[at], arguments[at + 1 :]
    return given, None, arguments[at:]

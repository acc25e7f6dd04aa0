"""`test`, `[` and `expr` of simulated containers, as POSIX has them; others are UnknownProgram."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from controllers.fleet.machine import Call, Reply, UnknownProgram
from controllers.fleet.shell_terms import TermFault, value_of

_TERM_WORD: Final = re.compile(r"-?[0-9]{1,19}|[-+*/%()<>=]|[<>!]=")

_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "-eq": int.__eq__,
    "-ne": int.__ne__,
    "-lt": int.__lt__,
    "-le": int.__le__,
    "-gt": int.__gt__,
    "-ge": int.__ge__,
}


def compare(call: Call) -> Reply:
    """Do what `test` does."""
    words = list(call.arguments)
    if call.name in ("[", "[["):
        closes = "]" * len(call.name)
        if not words or words.pop() != closes:
            if call.name == "[[":
                raise UnknownProgram("[[ with more than a test")
            return Reply(2, b"", f"sh: missing {closes}\n".encode())
    return Reply(int(not _holds(words, call)))


def _holds(words: list[str], call: Call) -> bool:
    """Return whether a condition of `test` holds."""
    for operator, combine in (("-o", any), ("||", any), ("-a", all), ("&&", all)):
        if operator in words[1:-1]:
            at = words.index(operator, 1)
            return combine((_holds(words[:at], call), _holds(words[at + 1 :], call)))
    match words:
        case []:
            return False
        case ["!", *rest] if rest:
            return not _holds(rest, call)
        case [text]:
            return bool(text)
        case [operator, text]:
            return _is(operator, text, call)
        case [left, operator, right]:
            return _compares(left, operator, right)
        case _:
            raise UnknownProgram(f"test {' '.join(words)}"[:80])


def _compares(left: str, operator: str, right: str) -> bool:
    if operator in ("=", "==", "!="):
        return (left == right) is (operator != "!=")
    compare_numbers = _COMPARISONS.get(operator)
    try:
        if compare_numbers is not None:
            return compare_numbers(int(left), int(right))
    except ValueError:
        pass
    raise UnknownProgram(f"test {left} {operator} {right}"[:80])


def _is(operator: str, text: str, call: Call) -> bool:
    machine = call.machine
    match operator:
        case "-z":
            return not text
        case "-n":
            return bool(text)
        case "-f" | "-r" | "-s":
            content = machine.read(text)
            return bool(content) if operator == "-s" else content is not None
        case "-d":
            return machine.names(text) is not None
        case "-e":
            return machine.read(text) is not None or machine.names(text) is not None
        case _:
            raise UnknownProgram(f"test {operator}")


def reckon(call: Call) -> Reply:
    """Say what a term of integers is (`expr`); 1: it is nought."""
    if not call.arguments:
        return Reply(2, b"", b"expr: syntax error\n")
    unknown = [one for one in call.arguments if not _TERM_WORD.fullmatch(one)]
    if unknown:
        raise UnknownProgram(f"expr with {unknown[0]}")
    try:
        value = value_of(" ".join("==" if one == "=" else one for one in call.arguments), _nothing)
    except TermFault:
        return Reply(2, b"", b"expr: syntax error\n")
    return Reply(int(not value), f"{value}\n".encode())


def _nothing(_name: str) -> str:
    return ""

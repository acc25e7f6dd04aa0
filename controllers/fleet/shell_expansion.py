"""What words of a script become when they are used (POSIX.1-2024, 2.6): no patterns for files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final, assert_never

from controllers.fleet.machine import Exit, Machine, Pause, UnknownProgram
from controllers.fleet.shell_syntax import Node
from controllers.fleet.shell_terms import TermFault, value_of
from controllers.fleet.shell_words import Arithmetic, Output, Part, Text, Variable, Word

_FIELDS_MAX: Final = 10_000
_WORD_MAX: Final = 16 << 10
_WORDS_MAX: Final = 256 << 10
Texts = Generator[Pause, int | None, list[str]]
OneText = Generator[Pause, int | None, str]


class Expansion:
    """See the module's head.

    Args of the constructor:
        machine: whose variables count.
        capture: runs a script and returns what it prints.
    """

    def __init__(
        self, machine: Machine, capture: Callable[[Node], Generator[Pause, int | None, bytes]]
    ) -> None:
        self._machine = machine
        self._capture = capture

    def fields(self, words: Iterable[Word]) -> Texts:
        """Return the words that words become: none or several each."""
        fields: list[str] = []
        length = 0
        for word in words:
            found = yield from self._split(word)
            fields += found
            length += sum(map(len, found))
            if len(fields) > _FIELDS_MAX or length > _WORDS_MAX:
                raise UnknownProgram("so many words")
        return fields

    def joined(self, word: Word) -> OneText:
        """Return what a word becomes where it is not split."""
        found = []
        for part in word:
            found.append((yield from self._value(part)))
        text = "".join(found)
        if len(text) > _WORD_MAX:
            raise UnknownProgram("so long a word")
        return text

    def _split(self, word: Word) -> Texts:
        """Return what a word becomes: none or several, where values are not in quotes."""
        done: list[str] = []
        current: str | None = None
        for part in word:
            if isinstance(part, Variable) and part.name == "@" and part.is_quoted:
                for argument in self._machine.arguments:
                    if current is not None:
                        done.append(current)
                    current = argument
                continue
            value = yield from self._value(part)
            if part.is_quoted or isinstance(part, Text):
                current = (current or "") + value
                continue
            pieces = value.split()
            if value[:1].isspace() and current is not None:
                done.append(current)
                current = None
            for piece in pieces[:-1]:
                done.append((current or "") + piece)
                current = None
            if pieces:
                current = (current or "") + pieces[-1]
                if value[-1:].isspace():
                    done.append(current)
                    current = None
        return done if current is None else [*done, current]

    def _value(self, part: Part) -> OneText:
        match part:
            case Text(text):
                return text
            case Variable():
                return (yield from self._variable(part))
            case Output(script):
                captured = yield from self._capture(script)  # type: ignore[arg-type]  # words know no scripts
                return captured.decode(errors="replace").rstrip("\n")
            case Arithmetic(term):
                try:
                    return str(value_of(term, lambda name: self._machine.lookup(name) or ""))
                except TermFault as error:
                    raise UnknownProgram(str(error)) from error
            case _:
                assert_never(part)

    def _variable(self, part: Variable) -> OneText:
        value, operator = self._machine.lookup(part.name), part.operator
        if operator == "#":
            return str(len(value or ""))
        is_there = bool(value) if operator.startswith(":") else value is not None
        match operator[-1:]:
            case "+":
                return (yield from self.joined(part.other)) if is_there else ""
            case "-" if not is_there:
                return (yield from self.joined(part.other))
            case "=" if not is_there:
                value = self._machine.variables[part.name] = yield from self.joined(part.other)
            case "?" if not is_there:
                text = (yield from self.joined(part.other)) or "parameter not set"
                self._machine.err(f"{self._machine.name}: {part.name}: {text}\n".encode())
                raise Exit(2)
        return value or ""

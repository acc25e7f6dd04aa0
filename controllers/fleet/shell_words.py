"""Words of a shell script, with what is to be put in for `$` and quotes (POSIX.1-2024, 2.2 to 2.6).

A word is a row of parts. Whatever is written in a way that is not known here is NotUnderstood: who
asks then does without, rather than do something else than a shell would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TEXT_MAX: Final = 32 << 10
DEPTH_MAX: Final = 8
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9?#@*$!-]")
_BRACED: Final = re.compile(r"(#?)([A-Za-z_][A-Za-z0-9_]*|[0-9]{1,2}|[?#@*$-])(:?[-+=?])?")
_ENDS: Final = frozenset(" \t\n;&|<>()")
_ESCAPED_IN_QUOTES: Final = frozenset('$`"\\\n')


class NotUnderstood(Exception):
    """A script has something that is not known here."""


@dataclass(frozen=True, slots=True)
class Text:
    """Letters that stand for themselves."""

    text: str
    is_quoted: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """The value of a variable, with what counts if it has none.

    Attributes:
        operator: "", or one of - + = ? with or without a colon before, or "#" for its length.
        other: what stands behind the operator.
    """

    name: str
    operator: str
    other: Word
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class Output:
    """What commands print."""

    script: object
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The value of a term of integers."""

    term: str
    is_quoted: bool


Part = Text | Variable | Output | Arithmetic
Word = tuple[Part, ...]
ReadScript = Callable[["Source"], object]
"""Reads commands up to a parenthesis that closes, or the end."""


class Source:
    """A text that is read from its beginning to its end.

    Attributes:
        at: where the next character is.
        depth: how many scripts there are within each other here.
    """

    def __init__(self, text: str, depth: int = 0) -> None:
        if len(text) > TEXT_MAX:
            raise NotUnderstood("it is too long")
        if depth > DEPTH_MAX:
            raise NotUnderstood("it is nested too deep")
        self.text = text
        self.at = 0
        self.depth = depth

    def peek(self, count: int = 1) -> str:
        """Return the next characters, fewer at the end."""
        return self.text[self.at : self.at + count]

    def takes(self, text: str) -> bool:
        """Go past a text if it comes next; return whether it did."""
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def until(self, text: str) -> str:
        """Return what comes before a text, and go past that."""
        end = self.text.find(text, self.at)
        if end < 0:
            raise NotUnderstood(f"there is no {text} at the end")
        found = self.text[self.at : end]
        self.at = end + len(text)
        return found


class WordReader:
    """Reads words; `read_script` reads the scripts within them."""

    def __init__(self, source: Source, read_script: ReadScript) -> None:
        self._source = source
        self._read_script = read_script
        self._braces = 0

    def read(self) -> Word:
        """Return the word that begins here; empty: none does."""
        source, parts = self._source, []
        while (char := source.peek()) and char not in _ENDS:
            parts += self._part(char)
        return tuple(parts)

    def _part(self, char: str) -> list[Part]:
        source = self._source
        match char:
            case "'":
                source.at += 1
                return [Text(source.until("'"), is_quoted=True)]
            case '"':
                source.at += 1
                return self._quoted()
            case "\\":
                source.at += 2
                escaped = source.text[source.at - 1 : source.at]
                return [] if escaped == "\n" else [Text(escaped, is_quoted=True)]
            case "$" | "`":
                return [self._dollar(is_quoted=False)]
            case _:
                return [Text(self._plain(_ENDS | frozenset("'\"\\$`")))]

    def _plain(self, ends: frozenset[str]) -> str:
        source, start = self._source, self._source.at
        while (char := source.peek()) and char not in ends:
            source.at += 1
        return source.text[start : source.at]

    def _quoted(self) -> list[Part]:
        source: Source = self._source
        parts: list[Part] = [Text("", is_quoted=True)]
        while not source.takes('"'):
            match source.peek():
                case "":
                    raise NotUnderstood("a quote does not end")
                case "\\":
                    escaped = source.peek(2)[1:]
                    source.at += 2
                    if escaped not in _ESCAPED_IN_QUOTES:
                        parts.append(Text(f"\\{escaped}", is_quoted=True))
                    elif escaped != "\n":
                        parts.append(Text(escaped, is_quoted=True))
                case "$" | "`":
                    parts.append(self._dollar(is_quoted=True))
                case _:
                    parts.append(Text(self._plain(frozenset('"\\$`')), is_quoted=True))
        return parts

    def _dollar(self, *, is_quoted: bool) -> Part:
        source = self._source
        if source.takes("`"):
            inner = Source(source.until("`").replace("\\`", "`"), source.depth + 1)
            return Output(self._read_script(inner), is_quoted)
        source.at += 1
        if source.takes("(("):
            return Arithmetic(self._term(), is_quoted)
        if source.takes("("):
            inner = Source(source.text[source.at :], source.depth + 1)
            script = self._read_script(inner)
            source.at += inner.at
            if not source.takes(")"):
                raise NotUnderstood("a parenthesis does not end")
            return Output(script, is_quoted)
        if source.takes("{"):
            return self._braced(is_quoted=is_quoted)
        if (found := _NAME.match(source.text, source.at)) is None:
            return Text("$", is_quoted)
        source.at = found.end()
        return Variable(found.group(), "", (), is_quoted)

    def _term(self) -> str:
        """Return what stands before the two parentheses that close."""
        source, start, depth = self._source, self._source.at, 0
        while char := source.peek():
            if not depth and source.takes("))"):
                return source.text[start : source.at - 2]
            depth += (char == "(") - (char == ")")
            source.at += 1
        raise NotUnderstood("a term does not end")

    def _braced(self, *, is_quoted: bool) -> Variable:
        source = self._source
        found = _BRACED.match(source.text, source.at)
        if found is None:
            raise NotUnderstood("what is in braces is not known")
        source.at = found.end()
        size, name, operator = found.groups()
        parts: list[Part] = []
        self._braces += 1
        if self._braces > DEPTH_MAX:
            raise NotUnderstood("it is nested too deep")
        while not source.takes("}"):
            if operator is None or size or not (char := source.peek()):
                raise NotUnderstood("what is in braces is not known")
            if char in " \t\n;&|<>()":
                source.at += 1
                parts.append(Text(char, is_quoted=True))
            elif char in "'\"\\$`":
                parts += self._part(char)
            else:
                parts.append(Text(self._plain(_ENDS | frozenset("'\"\\$`}"))))
        self._braces -= 1
        return Variable(name, "#" if size else operator or "", tuple(parts), is_quoted)

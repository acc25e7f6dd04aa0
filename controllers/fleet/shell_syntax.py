"""The part of the shell's grammar that simulated containers understand (POSIX.1-2024, 2.9, 2.10).

Lists with `;`, `&&` and `||`, pipelines, `!`, redirections, groups and subshells, if, while, until
and for. No functions, no `case`, no here-documents, nothing in the background: NotUnderstood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from controllers.fleet.shell_words import (
    DEPTH_MAX,
    NotUnderstood,
    Source,
    Text,
    Word,
    WordReader,
)

_NODES_MAX: Final = 1000
_ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BARE: Final = re.compile(r"[a-z]+|[{}!]")
_OPERATORS: Final = ("&&", "||", ";;", ";", "&", "|", "(", ")", "\n")
_REDIRECTION: Final = re.compile(r"([0-9]?)(>>|>&|>\||<&|<<|<>|>|<)")
_RESERVED: Final = frozenset(
    [
        *("if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "in"),
        *("{", "}", "!", "case", "esac", "function", "select"),
    ]
)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a stream goes to or comes from: kind is > >> < or >& (then to another stream)."""

    stream: int
    kind: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A program with its arguments."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands of which each reads what the one before prints."""

    commands: tuple[Node, ...]
    is_negated: bool


@dataclass(frozen=True, slots=True)
class AndOr:
    """Commands that run depending on how the one before ended, by `&&` or `||`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Commands one after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """While, or until."""

    condition: Node
    body: Node
    is_until: bool


@dataclass(frozen=True, slots=True)
class For:
    """For each of some words."""

    name: str
    words: tuple[Word, ...]
    body: Node


@dataclass(frozen=True, slots=True)
class If:
    """If, with what follows each condition, and what does if none holds."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node | None


@dataclass(frozen=True, slots=True)
class Group:
    """Commands in braces, or in parentheses, which leave variables as they were."""

    body: Node
    redirects: tuple[Redirect, ...]
    is_subshell: bool


Node = Simple | Pipeline | AndOr | Sequence | Loop | For | If | Group


@lru_cache(maxsize=2048)
def read_script(text: str) -> Node:
    """Return a script's commands.

    Raises:
        NotUnderstood: it has something that is not known here.
    """
    source = Source(text)
    node = _Reader(source).read_list()
    if source.at < len(text):
        raise NotUnderstood(f"{source.peek(10)!r} is not expected")
    return node


def _read_within(source: Source) -> Node:
    return _Reader(source).read_list()


class _Reader:
    """Reads commands of a source, by recursive descent."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._words = WordReader(source, _read_within)
        self._count = self._nesting = 0

    # Tokens --------------------------------------------------------------------------------------

    def _skip(self) -> None:
        """Go past blanks, comments, and lines that go on."""
        source = self._source
        while True:
            if source.peek() in (" ", "\t"):
                source.at += 1
            elif not source.takes("\\\n"):
                break
        if source.peek() == "#":
            end = source.text.find("\n", source.at)
            source.at = len(source.text) if end < 0 else end

    def _operator(self) -> str:
        """Return the operator that comes next, "" if none does."""
        self._skip()
        return next(
            (one for one in _OPERATORS if self._source.text.startswith(one, self._source.at)), ""
        )

    def _reserved(self) -> str:
        """Return the reserved word that comes next, "" if none does."""
        self._skip()
        source = self._source
        found = _BARE.match(source.text, source.at)
        if found is None or found.group() not in _RESERVED:
            return ""
        after = source.text[found.end() : found.end() + 1]
        return found.group() if not after or after in " \t\n;&|<>()" else ""

    def _expect(self, word: str) -> None:
        if self._reserved() != word:
            raise NotUnderstood(f"{word} is missing")
        self._source.at += len(word)

    def _newlines(self) -> None:
        while self._operator() == "\n":
            self._source.at += 1

    # Commands ------------------------------------------------------------------------------------

    def read_list(self) -> Node:
        """Return commands up to what ends them: a word such as `done`, a parenthesis, the end."""
        self._nesting += 1
        if self._source.depth + self._nesting > DEPTH_MAX:
            raise NotUnderstood("it is nested too deep")
        items: list[Node] = []
        source = self._source
        while True:
            self._newlines()
            if self._ends():
                break
            items.append(self._and_or())
            match self._operator():
                case ";" | "\n":
                    source.at += 1
                case "&" | ";;":
                    raise NotUnderstood("nothing runs in the background")
                case _:
                    break
        self._nesting -= 1
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _ends(self) -> bool:
        if self._operator() == ")" or self._source.at >= len(self._source.text):
            return True
        return self._reserved() in ("then", "elif", "else", "fi", "do", "done", "}")

    def _and_or(self) -> Node:
        first = self._pipeline()
        rest: list[tuple[str, Node]] = []
        while (operator := self._operator()) in ("&&", "||"):
            self._source.at += 2
            self._newlines()
            rest.append((operator, self._pipeline()))
        return AndOr(first, tuple(rest)) if rest else first

    def _pipeline(self) -> Node:
        is_negated = False
        while self._reserved() == "!":
            self._source.at += 1
            is_negated = not is_negated
        commands = [self._command()]
        while self._operator() == "|":
            self._source.at += 1
            self._newlines()
            commands.append(self._command())
        if len(commands) == 1 and not is_negated:
            return commands[0]
        return Pipeline(tuple(commands), is_negated)

    def _command(self) -> Node:
        self._count += 1
        if self._count > _NODES_MAX:
            raise NotUnderstood("it has too many commands")
        source = self._source
        if self._operator() == "(":
            source.at += 1
            body = self.read_list()
            self._close(")")
            return Group(body, self._redirects(), is_subshell=True)
        match word := self._reserved():
            case "":
                return self._simple()
            case "{":
                source.at += 1
                body = self.read_list()
                self._expect("}")
            case "if":
                body = self._if()
            case "while" | "until":
                source.at += len(word)
                condition = self.read_list()
                body = Loop(condition, self._do(), word == "until")
            case "for":
                body = self._for()
            case _:
                raise NotUnderstood(f"{word} is not known")
        redirects = self._redirects()
        return Group(body, redirects, is_subshell=False) if redirects else body

    def _close(self, text: str) -> None:
        self._skip()
        if not self._source.takes(text):
            raise NotUnderstood(f"{text} is missing")

    def _do(self) -> Node:
        self._expect("do")
        body = self.read_list()
        self._expect("done")
        return body

    def _if(self) -> Node:
        branches, otherwise, word = [], None, "if"
        while word in ("if", "elif"):
            self._expect(word)
            condition = self.read_list()
            self._expect("then")
            branches.append((condition, self.read_list()))
            word = self._reserved()
        if word == "else":
            self._expect("else")
            otherwise = self.read_list()
        self._expect("fi")
        return If(tuple(branches), otherwise)

    def _for(self) -> Node:
        self._expect("for")
        self._skip()
        name = self._words.read()
        if len(name) != 1 or not isinstance(name[0], Text) or not name[0].text.isidentifier():
            raise NotUnderstood("for has no name")
        self._newlines()
        self._expect("in")
        words = []
        while not self._operator():
            word = self._words.read()
            if not word:
                break
            words.append(word)
        if self._operator() == ";":
            self._source.at += 1
        self._newlines()
        return For(name[0].text, tuple(words), self._do())

    def _redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while True:
            self._skip()
            if (redirect := self._redirect()) is None:
                return tuple(found)
            found.append(redirect)

    def _redirect(self) -> Redirect | None:
        source = self._source
        found = _REDIRECTION.match(source.text, source.at)
        if found is None:
            return None
        number, kind = found.groups()
        if kind in ("<<", "<&", "<>"):
            raise NotUnderstood(f"{kind} is not known")
        source.at = found.end()
        self._skip()
        target = self._words.read()
        if not target:
            raise NotUnderstood("a redirection goes nowhere")
        kind = ">" if kind == ">|" else kind
        stream = int(number) if number else (0 if kind == "<" else 1)
        return Redirect(stream, kind, target)

    def _simple(self) -> Node:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while not self._operator():
            if (redirect := self._redirect()) is not None:
                redirects.append(redirect)
                continue
            word = self._words.read()
            if not word:
                break
            first = word[0]
            if not words and isinstance(first, Text) and not first.is_quoted:
                found = _ASSIGNED.match(first.text)
                if found is not None:
                    left = Text(first.text[found.end() :])
                    assignments.append((found.group()[:-1], (left, *word[1:])))
                    continue
            words.append(word)
        if self._operator() == "(" or not (words or assignments or redirects):
            raise NotUnderstood("there is no command")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

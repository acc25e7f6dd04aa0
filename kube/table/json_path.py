"""The part of JSONPath that column definitions of custom resources use.

Grammar: `.a.b`, `['a']`, `.*`, `[*]`, `[2]`, `[-1]`, `[0:2]`, `[?(@.type=="Ready")]` (also `!=`,
or a bare path: exists) and `..a`; a backslash takes the next character of a name literally. A
missing key finds nothing, and is no error. Results come in document order; objects' members in
order of insertion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

Step: TypeAlias = Callable[[Any], Iterator[Any]]

_TOKEN: Final = re.compile(
    r"""\.\.(?P<deep>(?:\\.|[^\\.\[\]])+)
    | \.?\[\?\(\s*@(?P<left>.*?)\s*(?:(?P<op>==|!=)\s*(?P<right>"[^"]*"|'[^']*'|[^"'()]+?)\s*)?\)\]
    | \.?\[(?P<quoted>'(?:\\.|[^\\'])*'|"(?:\\.|[^\\"])*")\]
    | \.?\[(?P<every>\*)\] | \.(?P<any>\*)
    | \.?\[(?P<index>-?\d+)\]
    | \.?\[(?P<start>-?\d*):(?P<stop>-?\d*)\]
    | \.(?P<name>(?:\\.|[^\\.\[\]])+)""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)")
_LITERALS: Final = {"true": True, "false": False}


class JsonPath:
    """A parsed path."""

    __slots__ = ("_steps",)

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            ValueError: it is outside the grammar above.
        """
        self._steps = _parse(text.removeprefix("$"))

    def find(self, document: Any) -> Iterator[Any]:
        """Yield what the path finds in `document`."""
        found: Iterator[Any] = iter((document,))
        for step in self._steps:
            found = _each(step, found)
        return found


def _each(step: Step, values: Iterator[Any]) -> Iterator[Any]:
    for value in values:
        yield from step(value)


def _parse(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unrecognized JSONPath {text!r} at character {position}")
        steps.append(
            _step({key: value for key, value in match.groupdict().items() if value}, match)
        )
        position = match.end()
    return tuple(steps)


def _step(found: dict[str, str], match: re.Match[str]) -> Step:
    if "name" in found:
        return _member(_unescape(found["name"]))
    if "quoted" in found:
        return _member(_unescape(found["quoted"][1:-1]))
    if "deep" in found:
        return _descendants(_unescape(found["deep"]))
    if "every" in found or "any" in found:
        return _children
    if "index" in found:
        return _item(int(found["index"]))
    if match.group("left") is not None:
        return _filter(found.get("left", ""), found.get("op"), found.get("right", ""))
    bounds = (found.get("start"), found.get("stop"))
    return _slice(*(int(bound) if bound else None for bound in bounds))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _descendants(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for child in _children(value):
            yield from step(child)

    return step


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _slice(start: int | None, stop: int | None) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[start:stop]

    return step


def _filter(left: str, operator: str | None, right: str) -> Step:
    path = JsonPath(left)
    wanted = _literal(right)

    def step(value: Any) -> Iterator[Any]:
        for child in _children(value):
            found = list(path.find(child))
            if operator is None:
                matches = bool(found)
            else:
                matches = bool(found) and (found[0] == wanted) == (operator == "==")
            if matches:
                yield child

    return step


def _literal(text: str) -> object:
    if text[:1] in {"'", '"'}:
        return text[1:-1]
    if text in _LITERALS:
        return _LITERALS[text]
    try:
        return float(text) if text else ""
    except ValueError:
        raise ValueError(f"unrecognized JSONPath literal {text!r}") from None

"""Regular expressions, by RE2, which Go's are too: linear time, whatever the pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import re2

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.values import traversal

_CACHED_MAX: Final = 1024
_COMPILE_COST: Final = 2_000
_known: Final[set[str]] = set()
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=_CACHED_MAX)
def compile_pattern(pattern: str) -> Any:
    """Return a compiled pattern.

    Raises:
        CelError: it is none.
    """
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeError) as exc:
        fault = exc.args[0] if exc.args else exc
        reason = fault.decode("utf-8", "replace") if isinstance(fault, bytes) else str(fault)
        raise CelError(f"error parsing regexp: {reason}") from None
    if len(_known) < _CACHED_MAX:
        _known.add(pattern)
    return compiled


def _cost(text: str, pattern: str, *_: Any) -> int:
    cost = traversal(len(text) + 1) * traversal(len(pattern), 0.25)
    # A pattern that is made anew in every turn of a loop is compiled in every turn.
    return cost if pattern in _known else cost + _learn(pattern)


def _cost_all(text: str, pattern: str, *_: Any) -> int:
    return _cost(text, pattern) + len(text) // 4


def _learn(pattern: str) -> int:
    if len(_known) >= _CACHED_MAX:
        _known.clear()
    _known.add(pattern)
    return _COMPILE_COST


def declare(to: Declarations) -> None:
    """Declare `matches`, `find` and `findAll`."""
    to.function("matches", "matches", "string, string -> bool", matches, _cost)
    to.method("matches", "matches_string", "string, string -> bool", matches, _cost)
    to.method("find", "string_find_string", "string, string -> string", _find, _cost)
    to.method(
        "findAll", "string_find_all_string", "string, string -> list(string)", _find_all, _cost_all
    )
    to.method(
        "findAll",
        "string_find_all_string_int",
        "string, string, int -> list(string)",
        _find_all,
        _cost_all,
    )


def matches(text: str, pattern: str) -> bool:
    """Tell whether a pattern matches anywhere in a text."""
    try:
        return compile_pattern(pattern).search(text) is not None
    except UnicodeError:
        return False


def _find(text: str, pattern: str) -> str:
    found = compile_pattern(pattern).search(text)
    return "" if found is None else found.group(0)


def _find_all(text: str, pattern: str, count_max: int = -1) -> list[str]:
    found = compile_pattern(pattern).finditer(text)
    kept = islice(_separate(found), count_max if count_max >= 0 else None)
    return [match.group(0) for match in kept]


def _separate(found: Iterable[Any]) -> Iterator[Any]:
    """Yield matches but, as Go does, no empty one right behind another."""
    end = -1
    for match in found:
        if match.end() > match.start() or match.start() != end:
            yield match
        end = match.end()

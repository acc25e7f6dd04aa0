"""Regular expressions, by RE2, which Go's are too: linear time, whatever the pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import re2

from kube.cel.errors import CelError
from kube.cel.overloads import Cost, Declarations, Work
from kube.cel.values import traversal

# What a pattern may take in memory bounds what all that are kept take.
_CACHED_MAX: Final = 128
_PATTERN_BYTES_MAX: Final = 2 << 20
_COMPILE_COST: Final = 2_000
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = _PATTERN_BYTES_MAX


def compile_pattern(pattern: str) -> Any:
    """Return a compiled pattern.

    Raises:
        CelError: it is none.
    """
    try:
        return re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeError) as exc:
        fault = exc.args[0] if exc.args else exc
        reason = fault.decode("utf-8", "replace") if isinstance(fault, bytes) else str(fault)
        raise CelError(f"error parsing regexp: {reason}") from None


_kept: Final[dict[str, Any]] = {}


def _cached(pattern: str) -> Any:
    compiled = _kept.get(pattern)
    if compiled is None:
        compiled = compile_pattern(pattern)
        if len(_kept) >= _CACHED_MAX:
            _kept.clear()
        _kept[pattern] = compiled
    return compiled


def _cost(text: str, pattern: str, *_: Any) -> int:
    return traversal(len(text) + 1) * traversal(len(pattern), 0.25)


def _cost_all(text: str, pattern: str, *_: Any) -> int:
    # What is found is a list, which may be as long as the text is.
    return _cost(text, pattern) + len(text) // 4


def _made(cost: Cost) -> Cost:
    # A pattern that is made anew in every turn of a loop is compiled in every turn.
    return lambda text, pattern, *_: (
        cost(text, pattern) + (0 if pattern in _kept else _COMPILE_COST)
    )


def declare(to: Declarations) -> None:
    """Declare `matches`, `find` and `findAll`."""
    to.function("matches", "matches", "string, string -> bool", _matches, _made(_cost))
    to.method("matches", "matches_string", "string, string -> bool", _matches, _made(_cost))
    to.method("find", "string_find_string", "string, string -> string", _find, _made(_cost))
    to.method(
        "findAll",
        "string_find_all_string",
        "string, string -> list(string)",
        _find_all,
        _made(_cost_all),
    )
    to.method(
        "findAll",
        "string_find_all_string_int",
        "string, string, int -> list(string)",
        _find_all,
        _made(_cost_all),
    )


def prepared(function: str, pattern: str) -> tuple[Work, Cost] | None:
    """Return how a function works for a pattern that is known before; None: it takes none.

    Raises:
        CelError: the pattern is none.
    """
    found = _FUNCTIONS.get(function)
    if found is None:
        return None
    work, cost = found
    compiled = compile_pattern(pattern)
    return lambda text, _, *rest: work(compiled, text, *rest), cost


def _matches(text: str, pattern: str) -> bool:
    return _is_found(_cached(pattern), text)


def _find(text: str, pattern: str) -> str:
    return _first(_cached(pattern), text)


def _find_all(text: str, pattern: str, count_max: int = -1) -> list[str]:
    return _all(_cached(pattern), text, count_max)


def _is_found(compiled: Any, text: str) -> bool:
    return compiled.search(text) is not None


def _first(compiled: Any, text: str) -> str:
    found = compiled.search(text)
    return "" if found is None else found.group(0)


def _all(compiled: Any, text: str, count_max: int = -1) -> list[str]:
    found = _separate(compiled.finditer(text))
    return [match.group(0) for match in islice(found, count_max if count_max >= 0 else None)]


_FUNCTIONS: Final[dict[str, tuple[Work, Cost]]] = {
    "matches": (_is_found, _cost),
    "find": (_first, _cost),
    "findAll": (_all, _cost_all),
}


def _separate(found: Iterable[Any]) -> Iterator[Any]:
    """Yield matches but, as Go does, no empty one right behind another."""
    end = -1
    for match in found:
        if match.end() > match.start() or match.start() != end:
            yield match
        end = match.end()

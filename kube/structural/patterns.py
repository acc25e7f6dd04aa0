"""Regular expressions with the semantics of Go's `regexp`: RE2, found anywhere in a text.

Matching takes time linear in the text, whatever the pattern, so a schema cannot be made to stall a
server. What was asked lately is remembered for each pattern, bounded in number and in size.
A pattern that does not compile is told about in Go's words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import re2

_PATTERNS_MAX: Final = 1024
_REMEMBERED_MAX: Final = 64
_REMEMBERED_LENGTH_MAX: Final = 64
# Go and RE2 find the same faults in other words.
_GO_WORDS: Final = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "pattern too large - compile failed": "expression too large",
    "trailing \\": "trailing backslash at end of expression",
}


class BadPattern(ValueError):
    """A pattern that Go refuses to compile; worded as Go's error."""


def _go_error(error: re2.error, pattern: str) -> str:
    raw = error.args[0] if error.args else b""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    code, _, argument = text.partition(": ")
    words = _GO_WORDS.get(code, code) or "invalid pattern"
    if code.startswith("trailing"):
        argument = ""
    elif not argument:
        argument = pattern
    return f"error parsing regexp: {words}: `{argument}`"


def _options() -> re2.Options:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


@lru_cache(maxsize=_PATTERNS_MAX)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a text has a match.

    Raises:
        BadPattern: it does not compile.
    """
    try:
        search = re2.compile(pattern, _options()).search
    except re2.error as error:
        raise BadPattern(_go_error(error, pattern)) from error
    remembered: dict[str, bool] = {}

    def matches(text: str) -> bool:
        known = remembered.get(text)
        if known is not None:
            return known
        found = search(text) is not None
        if len(text) <= _REMEMBERED_LENGTH_MAX:
            if len(remembered) >= _REMEMBERED_MAX:
                remembered.clear()
            remembered[text] = found
        return found

    return matches

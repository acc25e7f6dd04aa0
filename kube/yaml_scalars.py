"""What a plain YAML scalar means: the YAML 1.1 reading of the Go library behind upstream.

`yes`, `on` and `y` are booleans, `0644` is octal, `1_000` is a number, dates stay strings. What is
read as something else than a string must be quoted when it is written as one.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

_BOOLS: Final = {
    "true": ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"),
    "false": ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"),
}
_INFINITY: Final = (".inf", ".Inf", ".INF")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(_BOOLS["true"], True),
    **dict.fromkeys(_BOOLS["false"], False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((*_INFINITY, *(f"+{word}" for word in _INFINITY)), float("inf")),
    **dict.fromkeys((f"-{word}" for word in _INFINITY), float("-inf")),
}
_NUMBER_START: Final = frozenset("0123456789+-.")
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO](?P<oct>[0-7]+)"
    r"|0(?P<old>[0-7]+)|(?P<dec>0|[1-9][0-9]*))\Z"
)
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "old": 8, "dec": 10}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INT64_MIN: Final = -(1 << 63)
_UINT64_MAX: Final = (1 << 64) - 1
_DECIMALS_MAX: Final = 20
# Not read as numbers, but quoted by the Go library for the sake of older readers.
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")


def resolve(text: str) -> Any:
    """Return the value of an unquoted scalar without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    plain = text.replace("_", "")
    number = _integer(plain)
    if number is not None and _INT64_MIN <= number <= _UINT64_MAX:
        return number
    if _FLOAT.match(plain):
        value = float(plain)
        # What is beyond a float stays text, as Go's parser fails for it.
        return text if math.isinf(value) else value
    return text


def _integer(text: str) -> int | None:
    match = _INTEGER.match(text)
    if match is None or match.lastgroup is None:
        return None
    if match["dec"] and len(match["dec"]) > _DECIMALS_MAX:
        return None
    value = int(match[match.lastgroup], _BASES[match.lastgroup])
    return -value if match["sign"] == "-" else value


def needs_quotes(text: str) -> bool:
    """Tell whether `text` would be read as something else if written without quotes."""
    return resolve(text).__class__ is not str or _SEXAGESIMAL.match(text) is not None

"""`'%s has %d'.format([...])`: the clauses of CEL's strings extension."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.library.conversions import format_double, to_text
from kube.cel.values import Duration, Timestamp, TypeValue, Uint, kind_of
from kube.field import quote

_CLAUSE: Final = re.compile(r"%(?:(%)|(?:\.(\d+))?(.)?)", re.DOTALL)
_SPECIAL: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# Upstream's formatter writes numbers as one does in American English: 1,000.5 and powers of ten.
_RAISED: Final = str.maketrans(
    "0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b"
)
_PRECISION: Final = 6
_PRECISION_MAX: Final = 1000


def format_text(pattern: str, args: list[Any]) -> str:
    """Return `pattern` with its clauses replaced by the arguments.

    Raises:
        CelError: too few arguments, or one of a kind that its clause does not take.
    """
    rest = iter(enumerate(args))

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return "%"
        if match[3] is None:
            raise CelError("could not parse formatting clause: unexpected end of string")
        clause = _CLAUSES.get(match[3])
        if clause is None:
            raise CelError(
                f'could not parse formatting clause: unrecognized formatting clause "{match[3]}"'
            )
        precision = int(match[2]) if match[2] and len(match[2]) < 5 else _PRECISION
        if precision > _PRECISION_MAX:
            raise CelError("could not parse formatting clause: precision is too large")
        found = next(rest, None)
        if found is None:
            raise CelError(f"index {len(args)} out of range")
        try:
            return clause(found[1], precision)
        except CelError as exc:
            raise CelError(f"error during formatting: {exc}") from None

    return _CLAUSE.sub(replace, pattern)


def _refuse(word: str, kinds: str, value: Any) -> CelError:
    return CelError(f"{word} clause can only be used on {kinds}, was given {kind_of(value)}")


def _string(value: Any, precision: int) -> str:
    match value:
        case None:
            return "null"
        case TypeValue():
            return value.name
        case list():
            return f"[{', '.join(_quoted(item, precision) for item in value)}]"
        case dict():
            pairs = sorted(
                (_quoted(key, precision), _quoted(item, precision)) for key, item in value.items()
            )
            return "{" + ", ".join(f"{key}:{item}" for key, item in pairs) + "}"
        case bool() | int() | float() | str() | bytes() | Timestamp() | Duration():
            return to_text(value)
        case _:
            raise _refuse(
                "string",
                "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
                "timestamps",
                value,
            )


def _quoted(value: Any, precision: int) -> str:
    text = _string(value, precision)
    if type(value) is bytes:
        return f"b{quote(text)}"
    infinite = type(value) is float and not math.isfinite(value)
    return quote(text) if type(value) is str or infinite else text


def _decimal(value: Any, _: int) -> str:
    if type(value) is float and not math.isfinite(value):
        return _SPECIAL[str(value)]
    if type(value) not in (int, Uint, float):
        raise _refuse("decimal", "integers", value)
    return format_double(value) if type(value) is float else str(int(value))


def _number(spec: str, word: str) -> Callable[[Any, int], str]:
    def clause(value: Any, precision: int) -> str:
        if type(value) not in (int, Uint, float):
            raise _refuse(word, "doubles", value)
        if not math.isfinite(value):
            return _SPECIAL[str(value)]
        if spec == "f":
            return f"{float(value):,.{precision}f}"
        mantissa, _, exponent = f"{float(value):.{precision}e}".partition("e")
        sign = "-" if exponent[0] == "-" else ""
        return f"{mantissa}\u202f\u00d7\u202f10{(sign + exponent[1:]).translate(_RAISED)}"

    return clause


def _binary(value: Any, _: int) -> str:
    if type(value) not in (int, Uint, bool):
        raise _refuse("only integers and bools can be formatted as binary", "", value)
    return f"{int(value):b}"


def _octal(value: Any, _: int) -> str:
    if type(value) not in (int, Uint):
        raise _refuse("octal", "integers", value)
    return f"{int(value):o}"


def _hex(spec: str) -> Callable[[Any, int], str]:
    def clause(value: Any, _: int) -> str:
        if type(value) in (int, Uint):
            return f"{int(value):{spec}}"
        if type(value) not in (str, bytes):
            raise _refuse("hex", "integers, byte buffers, and strings", value)
        raw: bytes = value if type(value) is bytes else value.encode("utf-8", "surrogatepass")
        return raw.hex() if spec == "x" else raw.hex().upper()

    return clause


_CLAUSES: Final[dict[str, Callable[[Any, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _number("f", "fixed-point"),
    "e": _number("e", "scientific"),
    "b": _binary,
    "o": _octal,
    "x": _hex("x"),
    "X": _hex("X"),
}

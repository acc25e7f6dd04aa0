"""Terms of integers as shells have them, `$((i + 1))`: of 64 bits, division towards zero."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Final

_TERM_MAX: Final = 256
_DOLLARS: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*|[0-9#?])\}?")
_ALLOWED: Final = re.compile(r"[A-Za-z0-9_ \t+\-*/%()<>=!&|^~]*")


def _divided(a: int, b: int) -> int:
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


_COMPARED: Final[dict[type[ast.cmpop], Callable[[int, int], bool]]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
_COMPUTED: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: _divided,
    ast.Mod: lambda a, b: a - b * _divided(a, b),
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
    ast.LShift: lambda a, b: a << (b & 63),
    ast.RShift: lambda a, b: a >> (b & 63),
}


class TermFault(Exception):
    """A term that is none, or is not known here."""


def value_of(term: str, lookup: Callable[[str], str]) -> int:
    """Return what a term is.

    Args:
        term: what stands between the parentheses.
        lookup: returns a variable's value.

    Raises:
        TermFault: it is none.
    """
    text = _DOLLARS.sub(lambda found: f"({lookup(found.group(1)) or 0})", term).strip()
    if len(text) > _TERM_MAX or not _ALLOWED.fullmatch(text) or "**" in text or "//" in text:
        raise TermFault(f"(({term[:40]}))")
    try:
        # Zeros before a number are none of Python's.
        tree = ast.parse(re.sub(r"\b0+(?=[0-9])", "", text) or "0", mode="eval")
        return _wrapped(_value(tree.body, lookup))
    except (SyntaxError, ValueError, RecursionError, ZeroDivisionError) as error:
        raise TermFault(f"(({term[:40]})): {error}") from error


def _value(node: ast.expr, lookup: Callable[[str], str]) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            text = lookup(name).strip() or "0"
            return int(text)
        case ast.UnaryOp(op=operator, operand=operand):
            value = _value(operand, lookup)
            if isinstance(operator, ast.Invert):
                return ~value
            return -value if isinstance(operator, ast.USub) else value
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _COMPUTED:
            compute = _COMPUTED[type(operator)]
            return _wrapped(compute(_value(left, lookup), _value(right, lookup)))
        case ast.Compare(left=left, ops=[one], comparators=[right]) if type(one) in _COMPARED:
            return int(_COMPARED[type(one)](_value(left, lookup), _value(right, lookup)))
        case _:
            raise ValueError("it is not known")


def _wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)

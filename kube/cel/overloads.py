"""What functions there are: their overloads, each with its types, its work and its cost.

A library is a function that declares its overloads in a `Declarations`. Names, ids and signatures
are upstream's, as they stand in error messages and decide costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kube.cel.types import CelType, parse_type

Work = Callable[..., Any]
Cost = Callable[..., int]


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One way to call a function.

    Attributes:
        work: takes the arguments (the target first); raises CelError.
        cost: takes them too, gives what the call costs; None: one unit.
    """

    id: str
    params: tuple[CelType, ...]
    result: CelType
    member: bool
    work: Work
    cost: Cost | None = None


class Declarations:
    """Functions by name."""

    def __init__(self) -> None:
        self.functions: dict[str, list[Overload]] = {}
        self.types: dict[str, CelType] = {}

    def function(
        self, name: str, overload_id: str, signature: str, work: Work, cost: Cost | None = None
    ) -> None:
        """Declare `name(a, b)`; the signature reads `int, string -> bool`."""
        self._add(name, overload_id, signature, work, cost, member=False)

    def method(
        self, name: str, overload_id: str, signature: str, work: Work, cost: Cost | None = None
    ) -> None:
        """Declare `a.name(b)`; the target's type comes first in the signature."""
        self._add(name, overload_id, signature, work, cost, member=True)

    def _add(
        self,
        name: str,
        overload_id: str,
        signature: str,
        work: Work,
        cost: Cost | None,
        *,
        member: bool,
    ) -> None:
        before, _, result = signature.partition("->")
        params = _params(before)
        overload = Overload(overload_id, params, parse_type(result), member, work, cost)
        self.functions.setdefault(name, []).append(overload)


def _params(text: str) -> tuple[CelType, ...]:
    parts: list[str] = []
    depth = 0
    for piece in text.split(","):
        if depth:
            parts[-1] += "," + piece
        else:
            parts.append(piece)
        depth += piece.count("(") - piece.count(")")
    return tuple(parse_type(part) for part in parts if part.strip())

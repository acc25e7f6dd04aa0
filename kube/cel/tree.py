"""What an expression is made of, after parsing and the expansion of macros.

Checking writes each node's type and overloads into it; afterwards nothing changes any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kube.cel.overloads import Overload
from kube.cel.types import DYN, CelType


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """A part of an expression.

    Attributes:
        offset: the place in the text, in code points; -1: nowhere, a macro made it.
        type: what it gives, known after checking.
    """

    offset: int
    type: CelType = DYN


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A constant: None, bool, int, Uint, float, str or bytes."""

    value: Any


@dataclass(slots=True, eq=False)
class Ident(Node):
    """A variable's name, or that of a type."""

    name: str


@dataclass(slots=True, eq=False)
class Select(Node):
    """`operand.field`; as a test, `has(operand.field)`.

    Attributes:
        name: the whole, if checking finds it to be the dotted name of a variable or type.
    """

    operand: Node
    field: str
    test: bool
    name: str = ""


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function's, method's or operator's call. `overloads`: those that may be meant."""

    function: str
    target: Node | None
    args: list[Node]
    overloads: list[Overload] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class ListLiteral(Node):
    """`[a, ?b]`; `optional` holds the indices of the latter kind."""

    elements: list[Node]
    optional: frozenset[int]


@dataclass(slots=True, eq=False)
class Entry:
    """A key and its value; the key of a message's field is a text."""

    key: Node | str
    value: Node
    optional: bool


@dataclass(slots=True, eq=False)
class MapLiteral(Node):
    """`{a: b}`, or with a name `Object{a: b}`."""

    name: str
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class Comprehension(Node):
    """A loop, as all macros are made of."""

    variable: str
    second: str
    source: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node

    @property
    def binds(self) -> bool:
        """Whether it loops over nothing, to give a value a name."""
        return self.accumulator != "@result" and isinstance(self.source, ListLiteral)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def children(node: Node) -> list[Node]:
    """Return the nodes directly below one."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*([node.target] if node.target is not None else []), *node.args]
        case ListLiteral():
            return node.elements
        case MapLiteral():
            keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
            return [*keys, *(entry.value for entry in node.entries)]
        case Comprehension():
            return [node.source, node.start, node.condition, node.step, node.result]
        case _:
            return []

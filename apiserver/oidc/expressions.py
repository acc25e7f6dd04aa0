"""CEL over a token's claims, and over the user that was made of them.

As upstream: `claims` is what the token says, `user` what a UserInfo of authentication.k8s.io holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube.cel.admission_types import USER_INFO
from kube.cel.cost import Budget
from kube.cel.environment import Program, WrongResult, compile_expression
from kube.cel.errors import CelError, CompileError
from kube.cel.tree import Call, Ident, Literal, Node, Select, walk
from kube.cel.types import BOOL, DYN, STRING, CelType, map_of

_CLAIMS: Final = "claims"
_VARIABLES: Final[Mapping[str, CelType]] = {_CLAIMS: map_of(STRING, DYN), "user": USER_INFO}
_OPTIONAL_SELECT: Final = "_?._"


class NoExpression(ValueError):
    """A text is no expression, or one of another type; contrast ExpressionFailed, at a token."""


class ExpressionFailed(Exception):
    """An expression cannot be evaluated for a token; the text is upstream's."""


class Expression:
    """A compiled expression over one variable.

    Attributes:
        text: as it was given.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str, program: Program) -> None:
        self.text = text
        self._program = program

    def evaluate(self, value: Any) -> Any:
        """Return what it gives for the variable's value.

        Raises:
            ExpressionFailed: it cannot be evaluated, or costs too much.
        """
        try:
            return self._program.evaluate([value], Budget())
        except CelError as error:
            text = f"expression '{self.text}' resulted in error: {error}"
            raise ExpressionFailed(text) from error

    def uses_claim(self, name: str) -> bool:
        """Tell whether it takes a claim of a name out of the claims, whatever for."""
        return any(_selects(node, name) for node in walk(self._program.tree))


def compile_over(variable: str, text: str, *, is_rule: bool = False) -> Expression:
    """Compile an expression over `claims` or `user`; a rule has to give a bool.

    Raises:
        NoExpression: with upstream's text.
    """
    variables = {variable: _VARIABLES[variable]}
    try:
        program = compile_expression(text, variables, wanted=(BOOL,) if is_rule else ())
    except WrongResult as error:
        raise NoExpression("must evaluate to bool") from error
    except CompileError as error:
        raise NoExpression(f"compilation failed: {error}") from error
    return Expression(text, program)


def _selects(node: Node, name: str) -> bool:
    match node:
        case Select(operand=Ident(name=known)):
            return known == _CLAIMS and node.field == name
        case Call(args=[Ident(name=known), Literal(value=key)]):
            return node.function == _OPTIONAL_SELECT and known == _CLAIMS and key == name
        case _:
            return False

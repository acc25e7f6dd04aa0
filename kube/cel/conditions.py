"""Named expressions over an admission request: match conditions, policies' validations.

    declarations = Declarations(object_type=type_of_pod, params=True, authorizer=True)
    scope = declarations.compose({"team": "object.metadata.labels['team']"})
    condition = compile_condition("variables.team != 'x'", scope, name="not-x")
    condition.evaluate(Activation(object=pod, request=request))

The interface is stable; see the docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kube.cel.cost import Budget
from kube.cel.errors import CelError
from kube.json_types import JsonObject
from kube.schema.model import Type


class Result(Enum):
    """What an expression is to give."""

    BOOL = "bool"
    STRING = "string"
    ANY = "any"
    BOOL_OR_NULL = "bool or null"


@dataclass(slots=True)
class Activation:
    """The values of one request. Objects are plain JSON; None is CEL's null.

    Attributes:
        authorize: answers `authorizer...check(...)`: attributes in, (allowed, reason, error) out.
        budget: what all expressions of the request may cost together.
    """

    object: JsonObject | None = None
    old_object: JsonObject | None = None
    request: JsonObject | None = None
    params: JsonObject | None = None
    namespace_object: JsonObject | None = None
    authorize: Callable[[dict[str, Any]], tuple[bool, str, str]] | None = None
    budget: Budget = field(default_factory=Budget)
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declarations:
    """Which variables expressions may name, and their types (None: dynamic)."""

    object_type: Type | None = None
    params: bool = False
    authorizer: bool = True
    namespace_object: bool = True


class Condition:
    """A compiled expression with a name."""

    def __init__(self, expression: str, name: str) -> None:
        self.expression = expression
        self.name = name

    def evaluate(self, activation: Activation) -> Any:
        """Return the value: a bool for Result.BOOL, and so on.

        Raises:
            CelError: the evaluation failed, or cost too much.
        """
        raise CelError("not compiled")


def compile_condition(
    expression: str,
    declarations: Declarations,
    *,
    name: str = "",
    result: Result = Result.BOOL,
) -> Condition:
    """Compile one expression.

    Raises:
        CompileError: with upstream's message.
    """
    return Condition(expression, name)

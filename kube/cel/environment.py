"""Expressions compiled to programs: parsed, checked against types, planned.

program = compile_expression("self.replicas <= 3", {"self": type_of_self}, wanted=(BOOL,))
program.evaluate([value_of_self], Budget())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube.cel.calls import plan_call
from kube.cel.checker import Checker
from kube.cel.cost import EXPRESSION_COST_MAX, Budget
from kube.cel.errors import CelError, CompileError
from kube.cel.loops import plan_loop
from kube.cel.parsing import Source, parse
from kube.cel.plans import Planner
from kube.cel.tree import Call, Comprehension, Ident, Node, Select, walk
from kube.cel.types import CelType, same
from kube.cel.values import TYPE_NAMES

_FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class Program:
    """A compiled expression. Evaluations share nothing, so threads may run it at once.

    Attributes:
        tree: the checked expression.
        names: the variables that it may name, in the order in which their values are given.
        used: those that it does name.
        result: the type of what it gives.
    """

    def __init__(self, tree: Node, names: tuple[str, ...], lazy: frozenset[str]) -> None:
        self.tree = tree
        self.names = names
        self.used = frozenset(
            node.name
            for node in walk(tree)
            if isinstance(node, Ident | Select) and node.name in names
        )
        self.result = tree.type
        planner = Planner(names, lazy, {Call: plan_call, Comprehension: plan_loop})
        plan = planner.plan(tree)
        self._run = plan.run
        self._cost = plan.cost
        self._locals = planner.slots - len(names) - 1

    def evaluate(self, values: Sequence[Any], budget: Budget) -> Any:
        """Return what the expression gives for the values of its variables.

        Raises:
            CelError: the evaluation failed. What it cost is taken from the budget all the same.
        """
        frame = [EXPRESSION_COST_MAX - self._cost, *values, *([None] * self._locals)]
        try:
            return self._run(frame)
        except _FAULTS as exc:
            raise CelError(f"internal error: {type(exc).__name__}") from exc
        finally:
            budget.remaining -= EXPRESSION_COST_MAX - frame[0]


def compile_expression(
    text: str,
    variables: Mapping[str, CelType],
    *,
    wanted: Sequence[CelType] = (),
    messages: Mapping[str, CelType] | None = None,
    lazy: frozenset[str] = frozenset(),
) -> Program:
    """Compile an expression.

    Args:
        variables: the types of the variables it may name; the order is that of their values.
        wanted: the types it may give; none: any.
        messages: the types of the objects it may make.
        lazy: variables whose fields are evaluated when they are asked for.

    Raises:
        CompileError: with upstream's message, or, if the type is another, naming the types.
    """
    try:
        tree = parse(text)
        Checker(Source(text), variables, messages or {}).check(tree)
        program = Program(tree, tuple(variables), lazy)
    except RecursionError:
        raise CompileError("ERROR: <input>:-1:0: the expression is nested too deeply") from None
    if wanted and not any(same(program.result, each) for each in wanted):
        names = [_shown(each) for each in wanted]
        shown = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
        raise WrongResult(f"must evaluate to {shown} but got {_shown(program.result)}")
    return program


def _shown(type_: CelType) -> str:
    return TYPE_NAMES.get(type_.kind) or str(type_)


class WrongResult(CompileError):
    """An expression is sound, but gives something of another type than is wanted."""

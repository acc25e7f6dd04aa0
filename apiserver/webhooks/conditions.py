"""matchConditions: expressions that a request must all meet before a webhook or policy sees it.

One that is false excludes the request, whatever the others do. One that fails otherwise counts by
the failure policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from apiserver.webhooks.metrics import WebhookMetrics
from kube.cel.conditions import Activation, Condition, Declarations, compile_condition
from kube.cel.cost import Budget
from kube.cel.errors import CelError, CompileError, CostExceeded
from kube.json_types import JsonObject

CONDITIONS_COST_MAX: Final = 2_500_000
"""Of all conditions of one webhook, or policy's binding, for one object."""
WEBHOOK: Final = "webhook"
POLICY: Final = "policy"
OUT_OF_BUDGET: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class ConditionsFailed(Exception):
    """It cannot be told whether a request meets the conditions, and the policy is to fail."""


class Compiled(NamedTuple):
    """An expression, or why it is none."""

    expression: str
    condition: Condition | None
    fault: str = ""

    def evaluate(self, activation: Activation) -> object:
        """Return the expression's value.

        Raises:
            CostExceeded: nothing is left for any other expression of the request either.
            CelError: the evaluation failed; the message is upstream's.
        """
        if self.condition is None:
            raise CelError(f"compilation error: {self.fault}")
        try:
            return self.condition.evaluate(activation)
        except CostExceeded as error:
            if activation.budget.remaining >= 0:
                text = f"expression '{self.expression}' resulted in error: {error}"
                raise CelError(text) from error
            raise CostExceeded(OUT_OF_BUDGET) from error
        except CelError as error:
            text = f"expression '{self.expression}' resulted in error: {error}"
            raise CelError(text) from error


def compile_named(
    expression: str, declarations: Declarations, name: str = "", **options: object
) -> Compiled:
    """Compile an expression; one that is none is told when it is evaluated."""
    try:
        condition = compile_condition(expression, declarations, name=name, **options)  # type: ignore[arg-type]
    except CompileError as error:
        return Compiled(expression, None, str(error))
    return Compiled(expression, condition)


class Conditions:
    """The conditions of one webhook or policy.

    Attributes:
        labels: what metrics tell them by: name, webhook or policy, and the step.
    """

    def __init__(
        self, compiled: Sequence[Compiled], labels: tuple[str, str, str], *, fails_open: bool
    ) -> None:
        self._compiled = tuple(compiled)
        self._fails_open = fails_open
        self._labels = labels

    def are_met(self, activation: Activation, operation: str, metrics: WebhookMetrics) -> bool:
        """Tell whether a request meets them all.

        Raises:
            ConditionsFailed: one fails, none is false, and the policy is to fail.
        """
        began_s = monotonic()
        activation.budget = Budget(CONDITIONS_COST_MAX)
        labels = (*self._labels, operation)
        faults: dict[str, None] = {}
        is_met = True
        try:
            for compiled in self._compiled:
                try:
                    if compiled.evaluate(activation) is False:
                        is_met = False
                        break
                except CostExceeded:
                    raise
                except CelError as error:
                    faults[str(error)] = None
        except CostExceeded as error:
            faults = {str(error): None}
        metrics.conditions_evaluated(labels, monotonic() - began_s, len(faults))
        if not is_met:
            if self._labels[1] == WEBHOOK:
                metrics.excluded(labels)
            return False
        if not faults:
            return True
        if self._fails_open:
            return False
        texts = list(faults)
        raise ConditionsFailed(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def compile_conditions(
    specs: Sequence[JsonObject] | None,
    labels: tuple[str, str, str],
    *,
    fails_open: bool,
    declarations: Declarations | None = None,
) -> Conditions | None:
    """Return conditions as their objects hold them; None: there are none."""
    if not specs:
        return None
    known = declarations or Declarations()
    compiled = [
        compile_named(spec.get("expression", ""), known, spec.get("name", "")) for spec in specs
    ]
    return Conditions(compiled, labels, fails_open=fails_open)

"""A validating policy's expressions, and what they make of one object with one set of params.

Pure: no waiting, no I/O. Failures of evaluation count by the policy's failurePolicy, denials by the
binding's actions; both are decided by the caller (`validating`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NamedTuple

from apiserver.policies.expressions import Scope, conditions_of, scope_of
from apiserver.webhooks.conditions import Compiled, ConditionsFailed, compile_named
from apiserver.webhooks.metrics import WebhookMetrics
from apiserver.webhooks.pacing import Pace
from kube.cel.conditions import Activation, Result
from kube.cel.cost import Budget
from kube.cel.errors import CelError, CostExceeded
from kube.json_types import JsonObject

MESSAGE_BYTES_MAX: Final = 5 * 1024
INVALID: Final = "Invalid"


class Verdict(NamedTuple):
    """What one expression says against an object, or that it could not say anything.

    Attributes:
        number: of the expression, as audit annotations have it.
        reason: of the refusal; "" for a failure, which is Invalid too.
        is_failure: it could not be evaluated.
    """

    number: int
    message: str
    reason: str
    is_failure: bool
    duration_s: float


class Annotation(NamedTuple):
    """One audit annotation, or why there is none: then `fault` is not empty."""

    key: str
    value: str
    fault: str


@dataclass(slots=True)
class Judgement:
    """All that a policy says of one object.

    Attributes:
        verdicts: those against it, in the order of their expressions.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)


class _Validation(NamedTuple):
    check: Compiled
    message: str
    message_expression: Compiled | None
    reason: str


class Judge:
    """A compiled ValidatingAdmissionPolicy.

    Attributes:
        pace: how it is evaluated.
    """

    def __init__(self, policy: JsonObject) -> None:
        spec = policy.get("spec") or {}
        scope = scope_of(spec)
        self.pace = Pace(spec)
        self._conditions = conditions_of(policy, scope)
        self._validations = [_validation(one, scope) for one in spec.get("validations") or ()]
        self._annotations = [
            (
                one.get("key", ""),
                compile_named(
                    one.get("valueExpression", ""),
                    scope.declarations,
                    result=Result.STRING_OR_NULL,
                ),
            )
            for one in spec.get("auditAnnotations") or ()
        ]

    def judge(
        self, activation: Callable[[], Activation], operation: str, metrics: WebhookMetrics
    ) -> Judgement:
        """Evaluate the policy.

        Args:
            activation: makes the values of the variables, with nothing remembered of others.
            operation: of the request.
            metrics: of conditions.
        """
        found = Judgement()
        if self._conditions is not None:
            try:
                if not self._conditions.are_met(activation(), operation, metrics):
                    return found
            except ConditionsFailed as error:
                found.verdicts.append(Verdict(0, str(error), "", is_failure=True, duration_s=0))
                return found
        try:
            self._validate(found, activation())
            self._annotate(found, activation())
        except CostExceeded as error:
            # As upstream: nothing else that was found counts then.
            failure = Verdict(0, str(error), "", is_failure=True, duration_s=0)
            return Judgement([failure])
        return found

    def _validate(self, found: Judgement, activation: Activation) -> None:
        activation.budget = Budget()
        for index, validation in enumerate(self._validations):
            began_s = monotonic()
            try:
                holds = validation.check.evaluate(activation)
            except CostExceeded:
                raise
            except CelError as error:
                took_s = monotonic() - began_s
                found.verdicts.append(Verdict(index, str(error), "", True, took_s))  # noqa: FBT003
                continue
            if holds is True:
                continue
            took_s = monotonic() - began_s
            try:
                message = _message(validation, activation)
            except CostExceeded as error:
                text = f"failed messageExpression: {error}"
                found.verdicts.append(Verdict(index, text, "", True, took_s))  # noqa: FBT003
                continue
            found.verdicts.append(Verdict(index, message, validation.reason, False, took_s))  # noqa: FBT003

    def _annotate(self, found: Judgement, activation: Activation) -> None:
        activation.budget = Budget()
        for key, expression in self._annotations:
            try:
                value = expression.evaluate(activation)
            except CostExceeded:
                raise
            except CelError as error:
                found.annotations.append(Annotation(key, "", str(error)))
                continue
            if isinstance(value, str) and value.strip():
                found.annotations.append(Annotation(key, value.strip(), ""))
            elif value is not None and not isinstance(value, str):
                fault = (
                    f"valueExpression '{expression.expression}' resulted in unsupported return "
                    "type. Return type must be either string or null."
                )
                found.annotations.append(Annotation(key, "", fault))


def _validation(spec: JsonObject, scope: Scope) -> _Validation:
    expression = spec.get("messageExpression") or ""
    message = (
        compile_named(expression, scope.without_authorizer, result=Result.STRING)
        if expression
        else None
    )
    return _Validation(
        compile_named(spec.get("expression", ""), scope.declarations),
        (spec.get("message") or "").strip(),
        message,
        spec.get("reason") or INVALID,
    )


def _message(validation: _Validation, activation: Activation) -> str:
    """Return what is said of a failure: the message expression's, the message, or the expression.

    Raises:
        CostExceeded: nothing is left to make a message.
    """
    text = ""
    if validation.message_expression is not None:
        try:
            value = validation.message_expression.evaluate(activation)
        except CostExceeded:
            raise
        except CelError:
            value = None
        text = value.strip() if isinstance(value, str) else ""
        if len(text.encode()) > MESSAGE_BYTES_MAX or "\n" in text:
            text = ""
    text = text or validation.message
    return text or f"failed expression: {validation.check.expression.strip()}"

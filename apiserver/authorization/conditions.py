"""matchConditions of authorization webhooks: whether one is asked at all, in CEL over the review.

`request` is the spec of a SubjectAccessReview, with all fields that a question of its kind has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kube.cel.admission_types import object_type
from kube.cel.cost import Budget
from kube.cel.environment import Program, compile_expression
from kube.cel.errors import CelError, CompileError
from kube.cel.types import BOOL, STRING, list_of, map_of
from kube.json_types import JsonObject

_TEXTS: Final = list_of(STRING)
_REQUIREMENTS: Final = list_of(
    object_type("kubernetes.SelectorRequirement", key=STRING, operator=STRING, values=_TEXTS)
)
_FIELDS: Final = object_type(
    "kubernetes.FieldSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS
)
_LABELS: Final = object_type(
    "kubernetes.LabelSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS
)
_REQUEST: Final = object_type(
    "kubernetes.SubjectAccessReviewSpec",
    resourceAttributes=object_type(
        "kubernetes.ResourceAttributes",
        namespace=STRING,
        verb=STRING,
        group=STRING,
        version=STRING,
        resource=STRING,
        subresource=STRING,
        name=STRING,
        fieldSelector=_FIELDS,
        labelSelector=_LABELS,
    ),
    nonResourceAttributes=object_type("kubernetes.NonResourceAttributes", path=STRING, verb=STRING),
    user=STRING,
    groups=_TEXTS,
    extra=map_of(STRING, _TEXTS),
    uid=STRING,
)


class NoCondition(ValueError):
    """A text is no condition; contrast ConditionFailed, at a question."""


class ConditionFailed(Exception):
    """It cannot be told whether a webhook is to be asked."""


class Condition:
    """A compiled condition.

    Raises (at making):
        NoCondition: with upstream's text.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._program: Program = compile_expression(text, {"request": _REQUEST}, wanted=(BOOL,))
        except CompileError as error:
            is_typed = str(error).startswith("must evaluate to")
            shown = str(error) if is_typed else f"compilation failed: {error}"
            raise NoCondition(shown) from error

    def holds(self, spec: JsonObject) -> bool:
        """Tell whether it holds for a review's spec.

        Raises:
            ConditionFailed: it cannot be evaluated.
        """
        try:
            return self._program.evaluate([spec], Budget()) is True
        except CelError as error:
            text = f"cel evaluation error: expression '{self.text}' resulted in error: {error}"
            raise ConditionFailed(text) from error


def are_met(conditions: Sequence[Condition], spec: JsonObject) -> bool:
    """Tell whether all conditions hold; one that does not counts before those that fail.

    Raises:
        ConditionFailed: one fails, and none is false.
    """
    faults = []
    for condition in conditions:
        try:
            if not condition.holds(spec):
                return False
        except ConditionFailed as error:
            faults.append(str(error))
    if faults:
        raise ConditionFailed(", ".join(faults))
    return True

"""What is counted of policies, under upstream's names; nothing while there are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from apiserver.webhooks.metrics import Counts, Durations

NO_ERROR: Final = "no_error"
_BOUNDS_S: Final = (0.0000005, 0.001, 0.01, 0.1, 1.0)
_VALIDATING: Final = ("policy", "policy_binding", "error_type", "enforcement_action")
_MUTATING: Final = ("policy", "policy_binding", "error_type")


class PolicyMetrics:
    """All of them."""

    def __init__(self) -> None:
        head = "apiserver_validating_admission_policy_check"
        self._checks = Counts(head, "Checks by validating policies.", _VALIDATING)
        self._checks_took = Durations(
            f"{head}_duration_seconds", "Seconds of an expression.", _VALIDATING, _BOUNDS_S
        )
        head = "apiserver_mutating_admission_policy_check"
        self._mutations = Counts(head, "Mutations by policies.", _MUTATING)
        self._mutations_took = Durations(
            f"{head}_duration_seconds", "Seconds of a mutation.", _MUTATING, _BOUNDS_S
        )

    def checked(self, duration_s: float, *labels: str) -> None:
        """Count what an expression of a validating policy led to."""
        self._checks.add(*labels)
        self._checks_took.observe(duration_s, *labels)

    def mutated(self, duration_s: float, *labels: str) -> None:
        """Count a mutation, or its failure."""
        self._mutations.add(*labels)
        self._mutations_took.observe(duration_s, *labels)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        for part in (self._checks, self._checks_took, self._mutations, self._mutations_took):
            yield part.family()


def error_type(message: str) -> str:
    """Return what kind of error a message tells of."""
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"

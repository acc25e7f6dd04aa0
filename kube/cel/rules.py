"""`x-kubernetes-validations` of a structural schema: compiled once, evaluated on each write.

    rules = compile_rules(schema)                 # None if the schema has none
    errors = rules.validate(new, old)             # old: None for a create

Semantics are upstream's (apiextensions-apiserver, `schema/cel`): a rule judges a value where it is
present and not null; one that names `oldSelf` only where there is a comparable old value; a fault
of what has not changed is none. All evaluations for one object share one budget; when it is spent,
one error says so and nothing else is evaluated. `check_rules` is in `rule_checks.py`.
"""

from __future__ import annotations

from contextlib import suppress

from kube.cel.correlation import Ratchet
from kube.cel.cost import Budget
from kube.cel.rule_checks import check_rules
from kube.cel.validators import Judgement, Stopped, Validator, build_validator
from kube.field import FieldError
from kube.json_types import JsonObject

__all__ = ["Rules", "check_rules", "compile_rules"]


class Rules:
    """All rules of one version of a custom resource, compiled. Threads may share it."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    def validate(
        self, new: JsonObject, old: JsonObject | None = None, *, budget: Budget | None = None
    ) -> list[FieldError]:
        """Return what the rules say of a new object.

        Args:
            new: the object as it is to be stored: defaulted, pruned, structurally valid.
            old: the stored object of an update; None for a create. Without it, rules that name
                `oldSelf` are skipped; with it, what did not change is not judged again.
            budget: what the evaluations of this request may cost together; None: a fresh one.
        """
        judgement = Judgement(budget or Budget())
        ratchet = None if old is None else Ratchet(self._validator.schema, new, old, None)
        with suppress(Stopped):
            self._validator.validate("", new, old, ratchet, judgement)
        return judgement.errors


def compile_rules(schema: JsonObject) -> Rules | None:
    """Return the rules of an openAPIV3Schema; None if it has none.

    Rules that do not compile answer each object with an error, as upstream's do.
    """
    validator = build_validator(schema)
    return None if validator is None else Rules(validator)

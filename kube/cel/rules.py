"""x-kubernetes-validations of a structural schema: checked, compiled, evaluated."""

from __future__ import annotations

from kube import field
from kube.cel.cost import Budget
from kube.field import FieldError
from kube.json_types import JsonObject


class Rules:
    """All rules of one version of a custom resource, compiled."""

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
        raise NotImplementedError


def compile_rules(schema: JsonObject) -> Rules | None:
    """Return the rules of an openAPIV3Schema; None if it has none.

    Rules that do not compile answer each object with an error, as upstream's do.
    """
    return None


def check_rules(schema: JsonObject, path: str = "") -> list[FieldError]:
    """Return what is wrong with the rules of a schema, as creating its CRD is answered.

    Args:
        schema: an openAPIV3Schema, structurally valid.
        path: where it stands: `spec.versions[0].schema.openAPIV3Schema`.
    """
    return [field.forbidden(path, "")] if schema is None else []

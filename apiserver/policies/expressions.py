"""What a policy's expressions may name: declarations with its variables, for each use of them."""

from __future__ import annotations

from typing import NamedTuple

from kube.cel.conditions import Declarations
from kube.json_types import JsonObject


class Scope(NamedTuple):
    """What expressions of one policy may name.

    Attributes:
        declarations: of conditions and validations.
        without_authorizer: of messages.
        mutations: of what makes patches.
    """

    declarations: Declarations
    without_authorizer: Declarations
    mutations: Declarations


def scope_of(spec: JsonObject) -> Scope:
    """Return the scope of a policy's spec; variables that do not compile fail what names them."""
    has_params = spec.get("paramKind") is not None
    plain = Declarations(params=has_params)
    silent = Declarations(params=has_params, authorizer=False)
    mutating = Declarations(params=has_params, mutation=True)
    for variable in spec.get("variables") or ():
        name, expression = variable.get("name", ""), variable.get("expression", "")
        plain = plain.with_variable(name, expression)
        silent = silent.with_variable(name, expression)
        mutating = mutating.with_variable(name, expression)
    return Scope(plain, silent, mutating)

"""What a policy's expressions may name: declarations with its variables, for each use of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from apiserver.webhooks.conditions import POLICY, Conditions, compile_conditions
from kube.cel.conditions import Declarations
from kube.json_types import JsonObject

_STEP: Final = "validate"
"""As upstream labels the conditions of policies, of mutating ones, too."""
_METADATA: Final = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
)


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


def conditions_of(policy: JsonObject, scope: Scope) -> Conditions | None:
    """Return the matchConditions of a policy; None: there are none."""
    spec = policy.get("spec") or {}
    return compile_conditions(
        spec.get("matchConditions"),
        (policy["metadata"]["name"], POLICY, _STEP),
        fails_open=spec.get("failurePolicy") == "Ignore",
        declarations=scope.declarations,
    )


def shown_namespace(namespace: JsonObject | None) -> JsonObject | None:
    """Return what expressions may see of a namespace."""
    if namespace is None:
        return None
    metadata = namespace["metadata"]
    return {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": namespace.get("spec") or {},
        "status": namespace.get("status") or {},
    }

"""The hooks of webhook configurations and admission policies; the rules are in `admission`."""

from __future__ import annotations

from typing import Final

from apiserver.types.admission import policies, webhooks
from apiserver.types.hooks import Change, Check, Compare, TypeHooks, keep_metadata

GROUP: Final = "admissionregistration.k8s.io"


def _hooks(default: Change, validate: Check, update: Compare | None = None) -> TypeHooks:
    return TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=update or (lambda new, _old: validate(new)),
        generation=True,
        allow_unconditional_update=False,
    )


def _validating_policy() -> TypeHooks:
    return TypeHooks(
        default=policies.default_policy,
        validate_create=policies.validate_validating_policy,
        validate_update=policies.validate_validating_policy_update,
        validate_status=policies.validate_policy_status,
        generation=True,
        has_status=True,
        prepare_status=keep_metadata,
        allow_unconditional_update=False,
    )


HOOKS: Final = {
    f"{GROUP}/validatingwebhookconfigurations": _hooks(
        webhooks.default_validating, webhooks.validate_webhooks, webhooks.validate_webhooks_update
    ),
    f"{GROUP}/mutatingwebhookconfigurations": _hooks(
        webhooks.default_mutating, webhooks.validate_webhooks, webhooks.validate_webhooks_update
    ),
    f"{GROUP}/validatingadmissionpolicies": _validating_policy(),
    f"{GROUP}/validatingadmissionpolicybindings": _hooks(
        policies.default_binding, policies.validate_validating_binding
    ),
    f"{GROUP}/mutatingadmissionpolicies": _hooks(
        policies.default_policy,
        policies.validate_mutating_policy,
        policies.validate_mutating_policy_update,
    ),
    f"{GROUP}/mutatingadmissionpolicybindings": _hooks(
        policies.default_binding, policies.validate_mutating_binding
    ),
}

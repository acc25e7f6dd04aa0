"""ResourceQuota: what it may limit, and for which pods (scopes never change)."""

from __future__ import annotations

from typing import Final

from apiserver.types.core.resources import validate_quantity, validate_quota_resource_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import FIELD_IMMUTABLE
from kube.field import FieldError, invalid, required
from kube.json_types import JsonObject

_COMPUTE: Final = frozenset(
    f"{prefix}{name}" for prefix in ("", "limits.", "requests.") for name in ("cpu", "memory")
)
_SCOPES: Final = {
    "Terminating": _COMPUTE | {"pods"},
    "NotTerminating": _COMPUTE | {"pods"},
    "NotBestEffort": _COMPUTE | {"pods"},
    "BestEffort": frozenset({"pods"}),
    "PriorityClass": None,
    "CrossNamespacePodAffinity": _COMPUTE | {"pods"},
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
_OPPOSITES: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_ONLY_EXISTS: Final = frozenset(_SCOPES) - {"PriorityClass", "VolumeAttributesClass"}
_EXISTS_TEXT: Final = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _amount_errors(amounts: JsonObject | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, quantity in (amounts or {}).items():
        errors += validate_quota_resource_name(name, f"{path}[{name}]")
        errors += validate_quantity(name, quantity, f"{path}[{name}]")
    return errors


def _fits(scope: str, name: str) -> bool:
    allowed = _SCOPES.get(scope)
    # Only what quotas know by heart is tied to scopes; extended resources go with all.
    known = "/" not in name
    return allowed is None or not known or name in allowed


def _conflict_errors(named: set[str], scopes: list[str] | None, path: str) -> list[FieldError]:
    return [
        invalid(path, scopes, "conflicting scopes")
        for one, other in _OPPOSITES
        if one in named and other in named
    ]


def _scope_errors(spec: JsonObject) -> list[FieldError]:
    scopes = spec.get("scopes") or []
    errors: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
        errors.extend(
            invalid("spec.scopes", scopes, "unsupported scope applied to resource")
            for name in sorted(spec.get("hard") or {})
            if not _fits(scope, name)
        )
    return errors + _conflict_errors(set(scopes), scopes, "spec.scopes")


def _expression_errors(expression: JsonObject, path: str) -> list[FieldError]:
    scope, operator = expression.get("scopeName", ""), expression.get("operator", "")
    values = expression.get("values") or []
    errors: list[FieldError] = []
    if scope not in _SCOPES:
        errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
    if scope in _ONLY_EXISTS and operator != "Exists":
        errors.append(invalid(f"{path}.operator", operator, _EXISTS_TEXT))
    if operator in {"In", "NotIn"}:
        if not values:
            text = (
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
            errors.append(required(f"{path}.values", text))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            text = (
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )
            errors.append(invalid(f"{path}.values", values, text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors


def _selector_errors(spec: JsonObject) -> list[FieldError]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    errors: list[FieldError] = []
    for expression in expressions:
        errors += _expression_errors(expression, path)
        errors.extend(
            invalid(path, selector, "unsupported scope applied to resource")
            for name in sorted(spec.get("hard") or {})
            if not _fits(expression.get("scopeName", ""), name)
        )
    named = {expression.get("scopeName", "") for expression in expressions}
    return errors + _conflict_errors(named, spec.get("scopes"), path)


def _spec_errors(spec: JsonObject) -> list[FieldError]:
    return (
        _amount_errors(spec.get("hard"), "spec.hard") + _scope_errors(spec) + _selector_errors(spec)
    )


def prepare_create(obj: JsonObject) -> None:
    """Start without a status."""
    obj["status"] = {}


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new ResourceQuota."""
    return _spec_errors(obj.get("spec", {}))


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a ResourceQuota that is to replace `old`."""
    errors = validate(new)
    scopes = new.get("spec", {}).get("scopes") or []
    if set(scopes) != set(old.get("spec", {}).get("scopes") or []):
        errors.append(invalid("spec.scopes", scopes or None, FIELD_IMMUTABLE))
    return errors


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the amounts a status reports."""
    status = new.get("status", {})
    errors = _amount_errors(status.get("hard"), "status.hard")
    return errors + _amount_errors(status.get("used"), "status.used")


HOOKS: Final = {
    "resourcequotas": TypeHooks(
        prepare_create=prepare_create,
        validate_create=validate,
        validate_update=validate_update,
        validate_status=validate_status,
        has_status=True,
    )
}

"""Admission policies and their bindings."""

from __future__ import annotations

from typing import Final

from apiserver.types.admission.expressions import (
    ANNOTATIONS_MAX,
    PolicyScope,
    condition_errors,
)
from apiserver.types.admission.rules import (
    choice_errors,
    default_match,
    match_errors,
    mutating_errors,
)
from apiserver.types.formats import is_dns1035_label, is_dns1123_subdomain, is_path_segment_name
from apiserver.types.meta import check_string, validate_conditions, validate_label_selector
from kube.cel.conditions import Declarations
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

FAILURE_POLICIES: Final = ("Fail", "Ignore")
REINVOCATIONS: Final = ("IfNeeded", "Never")
ACTIONS: Final = ("Audit", "Deny", "Warn")
NOT_FOUND_ACTIONS: Final = ("Deny", "Allow")
_NOTHING_TO_SAY: Final = "validations or auditAnnotations must contain at least one item"
_EXCLUSIVE: Final = "name and selector are mutually exclusive"


def default_policy(obj: JsonObject) -> None:
    """Fill in an admission policy's defaults."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    default_match(spec.get("matchConstraints"))


def default_binding(obj: JsonObject) -> None:
    """Fill in the defaults of a policy's binding."""
    spec = obj.setdefault("spec", {})
    default_match(spec.get("matchResources"))


def validate_validating_policy(obj: JsonObject) -> list[FieldError]:
    """Check a ValidatingAdmissionPolicy: it must have something to say."""
    return _validating_errors(obj, None)


def validate_validating_policy_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a change of one; conditions that did not change are not looked at again."""
    return _validating_errors(new, old)


def validate_mutating_policy(obj: JsonObject) -> list[FieldError]:
    """Check a MutatingAdmissionPolicy."""
    return _mutating_errors(obj, None)


def validate_mutating_policy_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a change of one."""
    return _mutating_errors(new, old)


def validate_policy_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the status of a ValidatingAdmissionPolicy."""
    status = new.get("status") or {}
    errors: list[FieldError] = []
    checking = status.get("typeChecking") or {}
    for index, warning in enumerate(checking.get("expressionWarnings") or ()):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not warning.get("warning"):
            errors.append(required(f"{path}.warning"))
        if not warning.get("fieldRef", "").strip():
            errors.append(required(f"{path}.fieldRef"))
    return errors + validate_conditions(status.get("conditions") or (), "status.conditions")


def validate_validating_binding(obj: JsonObject) -> list[FieldError]:
    """Check a ValidatingAdmissionPolicyBinding: it says what a failure does."""
    # The path of upstream's faults lacks a letter, and clients may have come to know it.
    errors = _binding_errors(obj, "spec.matchResouces")
    actions = obj.get("spec", {}).get("validationActions") or []
    path = "spec.validationActions"
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, ACTIONS))
        if action in actions[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(actions):
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        errors.append(invalid(path, actions, text))
    if not actions:
        errors.append(required(path, "at least one validation action is required"))
    return errors


def validate_mutating_binding(obj: JsonObject) -> list[FieldError]:
    """Check a MutatingAdmissionPolicyBinding."""
    match = obj.get("spec", {}).get("matchResources")
    path = "spec.matchResources"
    return [*_binding_errors(obj, path), *mutating_errors(match, path)]


def _validating_errors(obj: JsonObject, old: JsonObject | None) -> list[FieldError]:
    spec = obj.get("spec", {})
    scope = PolicyScope(has_params=spec.get("paramKind") is not None)
    errors = _common_errors(spec, old, scope)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not (validations or annotations):
        return [
            *errors,
            required("spec.validations", _NOTHING_TO_SAY),
            required("spec.auditAnnotations", _NOTHING_TO_SAY),
        ]
    for index, validation in enumerate(validations):
        errors += scope.validation_errors(validation, f"spec.validations[{index}]")
    if len(annotations) > ANNOTATIONS_MAX:
        text = f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"
        errors.append(invalid("spec.auditAnnotations", annotations, text))
    name = obj["metadata"].get("name", "")
    keys: set[str] = set()
    for index, annotation in enumerate(annotations[: 2 * ANNOTATIONS_MAX]):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key", "")
        errors += scope.annotation_errors(name, annotation, path)
        if key in keys:
            errors.append(duplicate(f"{path}.key", key))
        keys.add(key)
    return errors


def _mutating_errors(obj: JsonObject, old: JsonObject | None) -> list[FieldError]:
    spec = obj.get("spec", {})
    scope = PolicyScope(has_params=spec.get("paramKind") is not None)
    errors = _common_errors(spec, old, scope)
    errors += mutating_errors(spec.get("matchConstraints"), "spec.matchConstraints")
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        errors += scope.mutation_errors(mutation, f"spec.mutations[{index}]")
    if not spec.get("reinvocationPolicy"):
        return [*errors, required("spec.reinvocationPolicy")]
    return errors + choice_errors(spec, "reinvocationPolicy", "spec", REINVOCATIONS)


def _common_errors(
    spec: JsonObject, old: JsonObject | None, scope: PolicyScope
) -> list[FieldError]:
    """Check what policies of both kinds have; the scope learns of the variables."""
    errors = choice_errors(spec, "failurePolicy", "spec", FAILURE_POLICIES)
    kind = spec.get("paramKind")
    if kind is not None:
        errors += _param_kind_errors(kind, "spec.paramKind")
    match = spec.get("matchConstraints")
    if match is None:
        errors.append(required("spec.matchConstraints"))
    else:
        errors += match_errors(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    before = (old or {}).get("spec", {})
    unchanged = old is not None and all(
        spec.get(key) == before.get(key) for key in ("paramKind", "matchConditions")
    )
    if not unchanged:
        declarations = Declarations(params=kind is not None)
        conditions = spec.get("matchConditions")
        errors += condition_errors(conditions, declarations, "spec.matchConditions")
    for index, variable in enumerate(spec.get("variables") or ()):
        errors += scope.variable_errors(variable, f"spec.variables[{index}]")
    return errors


def _param_kind_errors(param_kind: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    api_version, where = param_kind.get("apiVersion", ""), f"{path}.apiVersion"
    group, _, version = api_version.rpartition("/")
    if not api_version:
        errors.append(required(where))
    elif group.count("/"):
        text = f"unexpected GroupVersion string: {api_version}"
        errors.append(invalid(where, api_version, text))
    else:
        if group and (faults := is_dns1123_subdomain(group)):
            errors.append(invalid(where, group, ",".join(faults)))
        if not version:
            errors.append(invalid(where, api_version, "version must be specified"))
        elif faults := is_dns1035_label(version):
            errors.append(invalid(where, version, ",".join(faults)))
    kind = param_kind.get("kind", "")
    if not kind:
        errors.append(required(f"{path}.kind"))
    elif faults := is_dns1035_label(kind.lower()):
        text = f"may have mixed case, but should otherwise match: {','.join(faults)}"
        errors.append(invalid(f"{path}.kind", kind, text))
    return errors


def _binding_errors(obj: JsonObject, match_path: str) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    if name := spec.get("policyName"):
        errors += check_string(name, "spec.policyName", is_dns1123_subdomain)
    else:
        errors.append(required("spec.policyName"))
    if (reference := spec.get("paramRef")) is not None:
        errors += _param_ref_errors(reference, "spec.paramRef")
    return errors + match_errors(spec.get("matchResources"), match_path)


def _param_ref_errors(reference: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, selector = reference.get("name") or "", reference.get("selector")
    if name:
        errors += check_string(name, f"{path}.name", is_path_segment_name)
        if selector is not None:
            errors.append(forbidden(f"{path}.name", _EXCLUSIVE))
    if selector is not None:
        errors += validate_label_selector(selector, f"{path}.selector")
        if name:
            errors.append(forbidden(f"{path}.selector", _EXCLUSIVE))
    if not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    if not action:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in NOT_FOUND_ACTIONS:
        where = f"{path}.parameterNotFoundAction"
        errors.append(not_supported(where, action, NOT_FOUND_ACTIONS))
    return errors

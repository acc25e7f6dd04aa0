"""Webhook configurations and admission policies: defaults, and what must be given.

CEL expressions are compiled where they run, not here.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1035_label
from apiserver.types.hooks import Change, Check, TypeHooks, keep_metadata
from apiserver.types.meta import (
    check_string,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_port_num,
    validate_label_selector,
)
from kube.field import FieldError, duplicate, invalid, not_supported, required
from kube.json_types import JsonObject

GROUP: Final = "admissionregistration.k8s.io"
FAILURE_POLICIES: Final = ("Fail", "Ignore")
MATCH_POLICIES: Final = ("Equivalent", "Exact")
OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES: Final = ("*", "Cluster", "Namespaced")
SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
ACTIONS: Final = ("Audit", "Deny", "Warn")
TIMEOUT_S_DEFAULT: Final = 10
TIMEOUT_S_MAX: Final = 30
REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_ONE_TARGET: Final = "exactly one of url or service is required"


def _default_rules(rules: list[JsonObject] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def _default_webhook(hook: JsonObject) -> None:
    hook.setdefault("failurePolicy", "Fail")
    hook.setdefault("matchPolicy", "Equivalent")
    hook.setdefault("namespaceSelector", {})
    hook.setdefault("objectSelector", {})
    hook.setdefault("timeoutSeconds", TIMEOUT_S_DEFAULT)
    _default_rules(hook.get("rules"))
    service = hook.get("clientConfig", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def default_validating(obj: JsonObject) -> None:
    """Fill in the defaults of validating webhooks."""
    for hook in obj.get("webhooks") or ():
        _default_webhook(hook)


def default_mutating(obj: JsonObject) -> None:
    """Fill in the defaults of mutating webhooks."""
    for hook in obj.get("webhooks") or ():
        _default_webhook(hook)
        hook.setdefault("reinvocationPolicy", "Never")


def _choice_errors(
    obj: JsonObject, key: str, path: str, choices: tuple[str, ...]
) -> list[FieldError]:
    value = obj.get(key)
    if value is None or value in choices:
        return []
    return [not_supported(f"{path}.{key}", value, choices)]


def _client_errors(config: JsonObject, path: str) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, _ONE_TARGET)]
    if url is not None:
        if not url.startswith("https://"):
            text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            return [invalid(f"{path}.url", url, text)]
        return []
    errors: list[FieldError] = []
    service = service or {}
    if not service.get("name"):
        errors.append(required(f"{path}.service.name", "service name is required"))
    if not service.get("namespace"):
        errors.append(required(f"{path}.service.namespace", "service namespace is required"))
    port = service.get("port", 443)
    if is_valid_port_num(port):
        text = "port is not valid: must be between 1 and 65535, inclusive"
        errors.append(invalid(f"{path}.service.port", port, text))
    return errors


def _rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    errors = [
        required(f"{path}.{key}")
        for key in ("operations", "apiGroups", "apiVersions", "resources")
        if not rule.get(key)
    ]
    operations = rule.get("operations") or []
    if len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        errors.append(invalid(f"{path}.operations", operations, text))
    errors.extend(
        not_supported(f"{path}.operations[{index}]", operation, OPERATIONS)
        for index, operation in enumerate(operations)
        if operation not in OPERATIONS
    )
    scope = rule.get("scope")
    if scope is not None and scope not in SCOPES:
        errors.append(not_supported(f"{path}.scope", scope, SCOPES))
    return errors


def _domain_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    if faults := is_dns1123_subdomain(name):
        return [invalid(path, name, ",".join(faults))]
    if name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        return [invalid(path, name, text)]
    return []


def _review_errors(versions: list[str], path: str) -> list[FieldError]:
    if not versions:
        text = f"must specify one of {', '.join(REVIEW_VERSIONS)}"
        return [required(path, text)]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
        errors += check_string(version, f"{path}[{index}]", is_dns1035_label)
    if not set(versions) & set(REVIEW_VERSIONS):
        text = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        errors.append(invalid(path, versions, text))
    return errors


def _webhook_errors(hook: JsonObject, path: str) -> list[FieldError]:
    errors = _domain_errors(hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        errors += _rule_errors(rule, f"{path}.rules[{index}]")
    errors += _choice_errors(hook, "failurePolicy", path, FAILURE_POLICIES)
    errors += _choice_errors(hook, "matchPolicy", path, MATCH_POLICIES)
    effects = hook.get("sideEffects")
    if effects is None:
        text = f"must specify one of {', '.join(SIDE_EFFECTS)}"
        errors.append(required(f"{path}.sideEffects", text))
    elif effects not in SIDE_EFFECTS:
        errors.append(not_supported(f"{path}.sideEffects", effects, SIDE_EFFECTS))
    timeout_s = hook.get("timeoutSeconds", TIMEOUT_S_DEFAULT)
    if not 1 <= timeout_s <= TIMEOUT_S_MAX:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", timeout_s, text))
    for key in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(hook.get(key), f"{path}.{key}")
    errors += _client_errors(hook.get("clientConfig", {}), f"{path}.clientConfig")
    versions = hook.get("admissionReviewVersions") or []
    errors += _review_errors(versions, f"{path}.admissionReviewVersions")
    return errors + _choice_errors(hook, "reinvocationPolicy", path, ("IfNeeded", "Never"))


def validate_webhooks(obj: JsonObject) -> list[FieldError]:
    """Check a webhook configuration."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", hook.get("name", "")
        errors += _webhook_errors(hook, path)
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
    return errors


def _default_match(match: JsonObject | None) -> None:
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    _default_rules(match.get("resourceRules"))
    _default_rules(match.get("excludeResourceRules"))


def default_policy(obj: JsonObject) -> None:
    """Fill in an admission policy's defaults."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _default_match(spec.get("matchConstraints"))


def default_binding(obj: JsonObject) -> None:
    """Fill in the defaults of a policy's binding."""
    spec = obj.setdefault("spec", {})
    _default_match(spec.get("matchResources"))


def _match_errors(match: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(match.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(key) or ()):
            errors += _rule_errors(rule, f"{path}.{key}[{index}]")
    return errors + _choice_errors(match, "matchPolicy", path, MATCH_POLICIES)


def _policy_errors(obj: JsonObject) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors = _choice_errors(spec, "failurePolicy", "spec", FAILURE_POLICIES)
    match = spec.get("matchConstraints")
    if match is None:
        errors.append(required("spec.matchConstraints"))
    else:
        errors += _match_errors(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    for index, condition in enumerate(spec.get("matchConditions") or ()):
        path = f"spec.matchConditions[{index}]"
        if not condition.get("expression", "").strip():
            errors.append(required(f"{path}.expression"))
        if name := condition.get("name"):
            errors += check_string(name, f"{path}.name", is_qualified_name)
        else:
            errors.append(required(f"{path}.name"))
    return errors


def validate_validating_policy(obj: JsonObject) -> list[FieldError]:
    """Check a ValidatingAdmissionPolicy: it must have something to say."""
    spec = obj.get("spec", {})
    errors = _policy_errors(obj)
    validations = spec.get("validations") or []
    if not validations and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must be specified"
        errors.append(required("spec.validations", f"{text}: validations may not be empty"))
    errors.extend(
        required(f"spec.validations[{index}].expression", "expression is not specified")
        for index, validation in enumerate(validations)
        if not validation.get("expression", "").strip()
    )
    return errors


def validate_mutating_policy(obj: JsonObject) -> list[FieldError]:
    """Check a MutatingAdmissionPolicy."""
    spec = obj.get("spec", {})
    errors = _policy_errors(obj)
    if not spec.get("mutations"):
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    if not spec.get("reinvocationPolicy"):
        errors.append(required("spec.reinvocationPolicy"))
    return errors


def _binding_errors(obj: JsonObject) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    if name := spec.get("policyName"):
        errors += check_string(name, "spec.policyName", is_dns1123_subdomain)
    else:
        errors.append(required("spec.policyName"))
    if (match := spec.get("matchResources")) is not None:
        errors += _match_errors(match, "spec.matchResources")
    return errors


def validate_validating_binding(obj: JsonObject) -> list[FieldError]:
    """Check a ValidatingAdmissionPolicyBinding: it says what a failure does."""
    errors = _binding_errors(obj)
    actions = obj.get("spec", {}).get("validationActions") or []
    path = "spec.validationActions"
    if not actions:
        errors.append(required(path))
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
    return errors


def _hooks(default: Change, validate: Check, *, has_status: bool = False) -> TypeHooks:
    return TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=lambda new, _old: validate(new),
        generation=True,
        has_status=has_status,
        prepare_status=keep_metadata,
        allow_unconditional_update=False,
    )


HOOKS: Final = {
    f"{GROUP}/validatingwebhookconfigurations": _hooks(default_validating, validate_webhooks),
    f"{GROUP}/mutatingwebhookconfigurations": _hooks(default_mutating, validate_webhooks),
    f"{GROUP}/validatingadmissionpolicies": _hooks(
        default_policy, validate_validating_policy, has_status=True
    ),
    f"{GROUP}/validatingadmissionpolicybindings": _hooks(
        default_binding, validate_validating_binding
    ),
    f"{GROUP}/mutatingadmissionpolicies": _hooks(default_policy, validate_mutating_policy),
    f"{GROUP}/mutatingadmissionpolicybindings": _hooks(default_binding, _binding_errors),
}

"""Rules and selectors: which requests a webhook, a policy or a binding is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import is_path_segment_name
from apiserver.types.meta import check_string, validate_label_selector
from kube.field import FieldError, duplicate, invalid, not_supported, required
from kube.json_types import JsonObject

MATCH_POLICIES: Final = ("Equivalent", "Exact")
OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
MUTATING_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "UPDATE")
"""Of policies that mutate: a DELETE has no object to change."""
SCOPES: Final = ("*", "Cluster", "Namespaced")
ANY: Final = "*"


def choice_errors(
    obj: JsonObject, key: str, path: str, choices: tuple[str, ...]
) -> list[FieldError]:
    """Check that a value, if it is given, is one of some."""
    value = obj.get(key)
    if value is None or value in choices:
        return []
    return [not_supported(f"{path}.{key}", value, choices)]


def default_rules(rules: list[JsonObject] | None) -> None:
    """Fill in the defaults of rules."""
    for rule in rules or ():
        rule.setdefault("scope", "*")


def rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    """Check one rule."""
    errors: list[FieldError] = []
    operations = rule.get("operations") or []
    if not operations:
        errors.append(required(f"{path}.operations"))
    errors += _alone(operations, f"{path}.operations", "operations")
    errors.extend(
        not_supported(f"{path}.operations[{index}]", operation, OPERATIONS)
        for index, operation in enumerate(operations)
        if operation not in OPERATIONS
    )
    for key, shown in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        if not rule.get(key):
            errors.append(required(f"{path}.{key}"))
        errors += _alone(rule.get(key) or [], f"{path}.{key}", shown)
    errors.extend(
        required(f"{path}.apiVersions[{index}]")
        for index, version in enumerate(rule.get("apiVersions") or ())
        if not version
    )
    errors += _resource_errors(rule.get("resources") or [], f"{path}.resources")
    return errors + choice_errors(rule, "scope", path, SCOPES)


def _alone(values: Sequence[str], path: str, shown: str) -> list[FieldError]:
    if len(values) > 1 and ANY in values:
        return [invalid(path, values, f"if '*' is present, must not specify other {shown}")]
    return []


def _resource_errors(resources: Sequence[str], path: str) -> list[FieldError]:
    """Check that no pattern covers another."""
    errors: list[FieldError] = [] if resources else [required(path)]
    any_part: set[str] = set()
    any_resource: set[str] = set()
    last_is_whole = False
    for index, pattern in enumerate(resources):
        where = f"{path}[{index}]"
        if not pattern:
            errors.append(required(where))
            continue
        resource, slash, part = pattern.partition("/")
        if not slash:
            last_is_whole = pattern != ANY
            continue
        if resource in any_part:
            text = f"if '{resource}/*' is present, must not specify {pattern}"
            errors.append(invalid(where, pattern, text))
        if part in any_resource:
            text = f"if '*/{part}' is present, must not specify {pattern}"
            errors.append(invalid(where, pattern, text))
        if part == ANY:
            any_part.add(resource)
        if resource == ANY:
            any_resource.add(part)
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        errors.append(invalid(path, resources, text))
    if ANY in resources and last_is_whole:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, resources, text))
    return errors


def default_match(match: JsonObject | None) -> None:
    """Fill in the defaults of a matchConstraints or matchResources."""
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    default_rules(match.get("resourceRules"))
    default_rules(match.get("excludeResourceRules"))


def match_errors(match: JsonObject | None, path: str) -> list[FieldError]:
    """Check a matchConstraints or matchResources."""
    if match is None:
        return []
    errors = choice_errors(match, "matchPolicy", path, MATCH_POLICIES)
    for key in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(match.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(key) or ()):
            where = f"{path}.{key}[{index}]"
            errors += _name_errors(rule.get("resourceNames") or (), f"{where}.resourceNames")
            errors += rule_errors(rule, where)
    return errors


def mutating_errors(match: JsonObject | None, path: str) -> list[FieldError]:
    """Check that rules are about nothing but what can be changed."""
    return [
        not_supported(f"{path}.resourceRules.operations", operation, MUTATING_OPERATIONS)
        for rule in (match or {}).get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        if operation not in MUTATING_OPERATIONS
    ]


def _name_errors(names: Sequence[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, name in enumerate(names):
        errors += check_string(name, f"{path}[{index}]", is_path_segment_name)
        if name in names[:index]:
            errors.append(duplicate(f"{path}[{index}]", name))
    return errors

"""RBAC: roles' rules, and bindings whose role never changes.

Escalation checks need the requester and all roles, so they are the verbs', not these hooks'.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_subdomain, is_path_segment_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_label_selector
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject

GROUP: Final = "rbac.authorization.k8s.io"
_SUBJECT_KINDS: Final = ("ServiceAccount", "User", "Group")


def _name_check(name: str, _prefix: object) -> list[str]:
    return is_path_segment_name(name)


def _rule_errors(rule: JsonObject, path: str, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        where = f"{path}.nonResourceURLs"
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(where, urls, text))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(where, urls, text))
        return errors
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        errors.append(required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        errors.append(required(f"{path}.resources", text))
    return errors


def validate_role(obj: JsonObject) -> list[FieldError]:
    """Check a Role."""
    errors: list[FieldError] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        errors += _rule_errors(rule, f"rules[{index}]", namespaced=True)
    return errors


def validate_cluster_role(obj: JsonObject) -> list[FieldError]:
    """Check a ClusterRole, and the selectors of the roles it is made from."""
    errors: list[FieldError] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        errors += _rule_errors(rule, f"rules[{index}]", namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return errors
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or []
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required(path, text))
    for index, selector in enumerate(selectors):
        errors += validate_label_selector(selector, f"{path}[{index}]")
    return errors


def _default_binding(obj: JsonObject) -> None:
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
            subject["apiGroup"] = GROUP


def _subject_errors(subject: JsonObject, path: str, *, namespaced: bool) -> list[FieldError]:
    name, kind, group = subject.get("name", ""), subject.get("kind"), subject.get("apiGroup", "")
    errors: list[FieldError] = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            errors += check_string(name, f"{path}.name", is_dns1123_subdomain)
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in {"User", "Group"}:
        if group != GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind or "", _SUBJECT_KINDS))
    return errors


def _binding_errors(obj: JsonObject, kinds: tuple[str, ...]) -> list[FieldError]:
    reference = obj.get("roleRef", {})
    group, kind, name = (reference.get(key, "") for key in ("apiGroup", "kind", "name"))
    errors: list[FieldError] = []
    if group != GROUP:
        errors.append(not_supported("roleRef.apiGroup", group, (GROUP,)))
    if kind not in kinds:
        errors.append(not_supported("roleRef.kind", kind, kinds))
    if not name:
        errors.append(required("roleRef.name"))
    errors += check_string(name, "roleRef.name", is_path_segment_name)
    namespaced = len(kinds) == 2
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced=namespaced)
    return errors


def validate_role_binding(obj: JsonObject) -> list[FieldError]:
    """Check a RoleBinding."""
    return _binding_errors(obj, ("Role", "ClusterRole"))


def validate_cluster_role_binding(obj: JsonObject) -> list[FieldError]:
    """Check a ClusterRoleBinding."""
    return _binding_errors(obj, ("ClusterRole",))


def _role_change(new: JsonObject, old: JsonObject) -> list[FieldError]:
    reference = new.get("roleRef", {})
    if reference == old.get("roleRef", {}):
        return []
    # Upstream prints its internal struct, whose fields have Go's names.
    shown = {
        "APIGroup": reference.get("apiGroup", ""),
        "Kind": reference.get("kind", ""),
        "Name": reference.get("name", ""),
    }
    return [invalid("roleRef", shown, "cannot change roleRef")]


HOOKS: Final = {
    f"{GROUP}/roles": TypeHooks(
        validate_create=validate_role,
        validate_update=lambda new, _old: validate_role(new),
        name_check=_name_check,
        allow_create_on_update=True,
    ),
    f"{GROUP}/clusterroles": TypeHooks(
        validate_create=validate_cluster_role,
        validate_update=lambda new, _old: validate_cluster_role(new),
        name_check=_name_check,
        allow_create_on_update=True,
    ),
    f"{GROUP}/rolebindings": TypeHooks(
        default=_default_binding,
        validate_create=validate_role_binding,
        validate_update=lambda new, old: validate_role_binding(new) + _role_change(new, old),
        name_check=_name_check,
        allow_create_on_update=True,
    ),
    f"{GROUP}/clusterrolebindings": TypeHooks(
        default=_default_binding,
        validate_create=validate_cluster_role_binding,
        validate_update=lambda new, old: (
            validate_cluster_role_binding(new) + _role_change(new, old)
        ),
        name_check=_name_check,
        allow_create_on_update=True,
    ),
}

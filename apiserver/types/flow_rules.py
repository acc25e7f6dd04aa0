"""What the rules of a FlowSchema may say: subjects, verbs, what of, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import is_dns1123_label, is_dns1123_subdomain
from apiserver.types.meta import check_string
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_ALL: Final = "*"
_SUBJECTS: Final = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_VERBS: Final = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
)
_NAMESPACE_HELP: Final = "each member of this list must be '*' or a DNS-1123 label; "


def rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    """Check one rule: whom it means, and which of their requests."""
    errors: list[FieldError] = []
    if not rule.get("subjects"):
        text = "subjects must contain at least one value"
        errors.append(required(f"{path}.subjects", text))
    for index, subject in enumerate(rule.get("subjects") or ()):
        errors += _subject_errors(subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(required(path, text))
    for index, resources in enumerate(rule.get("resourceRules") or ()):
        errors += _resource_errors(resources, f"{path}.resourceRules[{index}]")
    for index, paths in enumerate(rule.get("nonResourceRules") or ()):
        errors += _path_rule_errors(paths, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject_errors(subject: JsonObject, path: str) -> list[FieldError]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        return [not_supported(f"{path}.kind", kind, tuple(_SUBJECTS))]
    key = _SUBJECTS[kind]
    errors: list[FieldError] = []
    named = subject.get(key)
    if named is None:
        text = f"{key} is required when subject kind is '{kind}'"
        errors.append(required(f"{path}.{key}", text))
    elif kind == "ServiceAccount":
        errors += _account_errors(named, f"{path}.{key}")
    elif not named.get("name"):
        errors.append(required(f"{path}.{key}.name"))
    errors.extend(
        forbidden(f"{path}.{other}", f"{other} is forbidden when subject kind is not '{name}'")
        for name, other in _SUBJECTS.items()
        if other != key and subject.get(other) is not None
    )
    return errors


def _account_errors(account: JsonObject, path: str) -> list[FieldError]:
    name, namespace = account.get("name", ""), account.get("namespace", "")
    errors: list[FieldError] = []
    if not name:
        errors.append(required(f"{path}.name"))
    elif name != _ALL:
        errors += check_string(name, f"{path}.name", is_dns1123_subdomain)
    if namespace:
        errors += check_string(namespace, f"{path}.namespace", is_dns1123_label)
    else:
        errors.append(required(f"{path}.namespace", "must specify namespace for service account"))
    return errors


def _resource_errors(rule: JsonObject, path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or (), f"{path}.verbs")
    for key, one, others in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        values = rule.get(key) or ()
        if not values:
            text = f"resource rules must supply at least one {one}"
            errors.append(required(f"{path}.{key}", text))
        else:
            errors += _alone_errors(values, f"{path}.{key}", others)
    return errors + _namespace_errors(rule, f"{path}.namespaces")


def _namespace_errors(rule: JsonObject, path: str) -> list[FieldError]:
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        return [required(path, text)]
    if _ALL in namespaces:
        return _alone_errors(namespaces, path, "namespaces")
    return [
        invalid(f"{path}[{index}]", namespace, _NAMESPACE_HELP + text)
        for index, namespace in enumerate(namespaces)
        for text in is_dns1123_label(namespace)
    ]


def _path_rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or (), f"{path}.verbs")
    urls, path = rule.get("nonResourceURLs") or (), f"{path}.nonResourceURLs"
    if not urls:
        errors.append(required(path, "nonResourceURLs must contain at least one value"))
    elif _ALL in urls:
        errors += _alone_errors(urls, path, "non-resource URLs")
    else:
        found = [(index, url, _url_fault(url)) for index, url in enumerate(urls)]
        errors += [invalid(f"{path}[{index}]", url, fault) for index, url, fault in found if fault]
    return errors


def _verb_errors(verbs: Sequence[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if _ALL in verbs:
        return _alone_errors(verbs, path, "verbs")
    return [] if set(verbs) <= set(_VERBS) else [not_supported(path, verbs, _VERBS)]


def _alone_errors(values: Sequence[str], path: str, others: str) -> list[FieldError]:
    """Refuse "*" among other values, which it covers."""
    if _ALL not in values or len(values) == 1:
        return []
    return [invalid(path, values, f"if '*' is present, must not specify other {others}")]


def _url_fault(url: str) -> str:
    """Return what is wrong with a path that may end in a wildcard."""
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    wildcards = url.count(_ALL)
    if wildcards > 1 or (wildcards and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""

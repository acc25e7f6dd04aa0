"""CustomResourceDefinition: names, versions and conversion; schemas are checked elsewhere."""

from __future__ import annotations

from typing import Final

from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, is_dns1035_label, is_dns1123_subdomain
from kube.field import FieldError, duplicate, invalid, not_supported, required
from kube.json_types import JsonObject

SCOPES: Final = ("Cluster", "Namespaced")


def default(obj: JsonObject) -> None:
    """Fill in a definition's defaults."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        names["singular"] = names.get("singular") or kind.lower()
        names["listKind"] = names.get("listKind") or f"{kind}List"
    conversion = spec.get("conversion")
    if conversion is None:
        spec["conversion"] = {"strategy": "None"}
        return
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _stored(obj: JsonObject) -> list[str]:
    versions = obj.get("spec", {}).get("versions") or ()
    return [version.get("name", "") for version in versions if version.get("storage")]


def prepare_create(obj: JsonObject) -> None:
    """Start with the version that objects will be stored in."""
    obj["status"] = {"storedVersions": _stored(obj)}


def prepare_update(new: JsonObject, _old: JsonObject) -> None:
    """Remember a newly chosen storage version beside those that objects may still have."""
    status = dict(new.get("status") or {})
    known = list(status.get("storedVersions") or ())
    fresh = [name for name in _stored(new) if name not in known]
    if fresh:
        new["status"] = {**status, "storedVersions": known + fresh}


def _version_errors(versions: list[JsonObject]) -> list[FieldError]:
    path = "spec.versions"
    errors: list[FieldError] = []
    if not versions:
        return [required(path, "must have at least one version")]
    stored = [version for version in versions if version.get("storage")]
    if len(stored) != 1:
        text = "must have exactly one version marked as storage version"
        errors.append(invalid(path, versions, text))
    seen: set[str] = set()
    for index, version in enumerate(versions):
        where, name = f"{path}[{index}]", version.get("name", "")
        errors += check_string(name, f"{where}.name", is_dns1035_label)
        if name in seen:
            errors.append(duplicate(f"{where}.name", name))
        seen.add(name)
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.append(required(f"{where}.schema.openAPIV3Schema", "schemas are required"))
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a definition, its schemas apart."""
    spec = obj.get("spec", {})
    names, group, scope = spec.get("names", {}), spec.get("group", ""), spec.get("scope", "")
    errors: list[FieldError] = []
    wanted = f"{names.get('plural', '')}.{group}"
    name = obj.get("metadata", {}).get("name", "")
    if name != wanted:
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        errors.append(required("spec.group"))
    else:
        errors += check_string(group, "spec.group", is_dns1123_subdomain)
        if "." not in group:
            text = "should be a domain with at least one dot"
            errors.append(invalid("spec.group", group, text))
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in SCOPES:
        errors.append(not_supported("spec.scope", scope, SCOPES))
    for key in ("plural", "singular", "kind", "listKind"):
        value = names.get(key, "")
        if not value:
            errors.append(required(f"spec.names.{key}"))
        else:
            errors += check_string(value.lower(), f"spec.names.{key}", is_dns1035_label)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        errors.append(invalid("spec.names.listKind", names["listKind"], text))
    return errors + _version_errors(spec.get("versions") or [])


HOOKS: Final = {
    "apiextensions.k8s.io/customresourcedefinitions": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        prepare_update=prepare_update,
        validate_update=lambda new, _old: validate(new),
        generation=True,
        has_status=True,
        allow_unconditional_update=False,
    )
}

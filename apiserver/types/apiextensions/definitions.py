"""CustomResourceDefinition: defaults, stored versions, validation of new and changed ones.

Rules and wording follow k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/validation`. What
the schema in a definition then means for objects is in `kube.structural`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.types.apiextensions.conversion_rules import is_readable_bundle
from apiserver.types.apiextensions.names import approval_errors, name_errors
from apiserver.types.apiextensions.options import Options, options_for_update
from apiserver.types.apiextensions.rule_defaults import check_default
from apiserver.types.apiextensions.spec_rules import RuleChecks, spec_errors
from apiserver.types.apiextensions.warnings import warnings
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import validate_immutable
from kube.cel.rules import check_rules
from kube.field import FieldError, invalid
from kube.json_types import JsonObject

_TOO_DEEP: Final = "schemas are nested too deeply"
_CHECKS: Final = RuleChecks(check_rules, check_default)


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
    else:
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
    status = obj.get("status") or {}
    if not status.get("storedVersions") and (stored := _stored(obj)):
        obj["status"] = {**status, "storedVersions": stored}


def _stored(obj: JsonObject) -> list[str]:
    """Return the version that new objects are stored in, as a list of none or one."""
    versions = obj.get("spec", {}).get("versions") or ()
    return [version.get("name", "") for version in versions if version.get("storage")][:1]


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


def _name_errors(obj: JsonObject) -> list[FieldError]:
    spec = obj["spec"]
    wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    name = obj.get("metadata", {}).get("name", "")
    if name == wanted:
        return []
    return [invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')]


def _stored_version_errors(obj: JsonObject) -> Iterator[FieldError]:
    path = "status.storedVersions"
    stored = list((obj.get("status") or {}).get("storedVersions") or ())
    if not stored:
        yield invalid(path, stored, "must have at least one stored version")
        return
    versions = obj["spec"].get("versions") or ()
    for version in versions:
        name = version.get("name", "")
        if version.get("storage") and name not in stored:
            yield invalid(path, stored, f"must have the storage version {name}")
    served = {version.get("name", "") for version in versions}
    for index, name in enumerate(stored):
        if name not in served:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            yield invalid(f"{path}[{index}]", name, text)


def _preserve_errors(new: JsonObject, old: JsonObject | None) -> list[FieldError]:
    if not new["spec"].get("preserveUnknownFields"):
        return []
    if old is not None and old["spec"].get("preserveUnknownFields"):
        return []
    text = (
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"
    )
    return [invalid("spec.preserveUnknownFields", True, text)]  # noqa: FBT003 (the value found)


def _status_errors(obj: JsonObject) -> list[FieldError]:
    accepted = (obj.get("status") or {}).get("acceptedNames") or {}
    return list(name_errors(accepted, "status.acceptedNames"))


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new definition."""
    return _name_errors(obj) + _errors(obj, None, Options())


def _errors(new: JsonObject, old: JsonObject | None, options: Options) -> list[FieldError]:
    try:
        errors = spec_errors(new["spec"], options, _CHECKS)
    except RecursionError:
        return [invalid("spec.versions", "", _TOO_DEEP)]
    if old is not None:
        errors += _immutable_errors(new["spec"], old["spec"], options)
    errors += _status_errors(new)
    errors += _stored_version_errors(new)
    return errors + approval_errors(new, old) + _preserve_errors(new, old)


def _immutable_errors(new: JsonObject, old: JsonObject, options: Options) -> list[FieldError]:
    names, before = new.get("names") or {}, old.get("names") or {}
    errors: list[FieldError] = []
    if options.require_immutable_names:
        errors += validate_immutable(new.get("scope", ""), old.get("scope", ""), "spec.scope")
        kinds = names.get("kind", ""), before.get("kind", "")
        errors += validate_immutable(*kinds, "spec.names.kind")
    errors += validate_immutable(new.get("group", ""), old.get("group", ""), "spec.group")
    plurals = names.get("plural", ""), before.get("plural", "")
    return errors + validate_immutable(*plurals, "spec.names.plural")


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a changed definition; what the stored one breaks already is forgiven."""
    try:
        options = options_for_update(new, old, is_readable_bundle)
    except RecursionError:
        return [invalid("spec.versions", "", _TOO_DEEP)]
    return _errors(new, old, options)


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check what the status says; its stored versions may be taken back here."""
    return _status_errors(new)


HOOKS: Final = {
    "apiextensions.k8s.io/customresourcedefinitions": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        prepare_update=prepare_update,
        validate_update=validate_update,
        validate_status=validate_status,
        warnings=warnings,
        generation=True,
        has_status=True,
        allow_unconditional_update=False,
    )
}

"""Namespace: the name label, the `kubernetes` finalizer of its spec, and its two phases.

`spec.finalizers` changes through the finalize subresource only: `prepare_finalize` and
`validate_finalize` are that subresource's hooks.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_qualified_name, name_is_dns_label
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string
from kube.field import FieldError, invalid
from kube.json_types import JsonObject

NAME_LABEL: Final = "kubernetes.io/metadata.name"
STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def _label_with_name(obj: JsonObject) -> None:
    meta = obj.setdefault("metadata", {})
    if name := meta.get("name"):
        meta.setdefault("labels", {})[NAME_LABEL] = name


def default(obj: JsonObject) -> None:
    """Label the namespace with its name, and call it active."""
    _label_with_name(obj)
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Active"


def prepare_create(obj: JsonObject) -> None:
    """Start with an active status and the finalizer that holds content deletion."""
    obj["status"] = {"phase": "Active"}
    spec = obj.setdefault("spec", {})
    finalizers = spec.get("finalizers") or []
    if "kubernetes" not in finalizers:
        spec["finalizers"] = [*finalizers, "kubernetes"]


def _finalizer_errors(name: str, path: str) -> list[FieldError]:
    errors = check_string(name, path, is_qualified_name)
    if "/" not in name and name not in STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        errors.append(invalid(path, name, text))
    return errors


def _validate(obj: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in obj.get("spec", {}).get("finalizers") or ():
        errors += _finalizer_errors(name, "spec.finalizers")
    return errors


def validate_create(obj: JsonObject) -> list[FieldError]:
    """Check a new namespace; a generated name, known only now, becomes its label too."""
    _label_with_name(obj)
    return _validate(obj)


def prepare_update(new: JsonObject, old: JsonObject) -> None:
    """Keep what only the subresources may change."""
    spec = new.setdefault("spec", {})
    if finalizers := old.get("spec", {}).get("finalizers"):
        spec["finalizers"] = finalizers
    else:
        spec.pop("finalizers", None)


def validate_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check a namespace that replaces another."""
    return _validate(new)


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check that the phase says whether the namespace is being deleted."""
    phase = new.get("status", {}).get("phase", "")
    if new.get("metadata", {}).get("deletionTimestamp"):
        if phase != "Terminating":
            text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [invalid("status.Phase", phase, text)]
    elif phase != "Active":
        text = "may only be 'Active' if `deletionTimestamp` is empty"
        return [invalid("status.Phase", phase, text)]
    return []


def prepare_finalize(new: JsonObject, old: JsonObject) -> None:
    """Before a finalize: the status stays."""
    if "status" in old:
        new["status"] = old["status"]


def validate_finalize(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the finalizers that a finalize leaves."""
    errors: list[FieldError] = []
    for index, name in enumerate(new.get("spec", {}).get("finalizers") or ()):
        errors += _finalizer_errors(name, f"spec.finalizers[{index}]")
    return errors


def _phase(obj: JsonObject) -> str:
    return str(obj.get("status", {}).get("phase", ""))


HOOKS: Final = {
    "namespaces": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate_create,
        prepare_update=prepare_update,
        validate_update=validate_update,
        validate_status=validate_status,
        name_check=name_is_dns_label,
        fields={"status.phase": _phase},
        has_status=True,
    )
}

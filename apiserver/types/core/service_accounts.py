"""ServiceAccount: references to secrets are by name only."""

from __future__ import annotations

from typing import Final

from apiserver.types.hooks import TypeHooks
from kube.json_types import JsonObject

_ENFORCE: Final = "kubernetes.io/enforce-mountable-secrets"


def prepare_create(obj: JsonObject) -> None:
    """Keep nothing but the names of the referenced secrets."""
    if secrets := obj.get("secrets"):
        obj["secrets"] = [{"name": ref["name"]} if ref.get("name") else {} for ref in secrets]


def prepare_update(new: JsonObject, _old: JsonObject) -> None:
    """Do as at a create."""
    prepare_create(new)


def warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    """Warn of an annotation that has had its day, when it is newly set."""
    if _ENFORCE not in (new.get("metadata", {}).get("annotations") or {}):
        return []
    if old and _ENFORCE in (old.get("metadata", {}).get("annotations") or {}):
        return []
    return [
        f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to "
        "isolate access to mounted secrets"
    ]


HOOKS: Final = {
    "serviceaccounts": TypeHooks(
        prepare_create=prepare_create, prepare_update=prepare_update, warnings=warnings
    )
}

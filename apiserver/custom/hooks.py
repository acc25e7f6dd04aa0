"""The rules of a custom type, as the verbs ask for those of any type.

Pruning comes before (`CustomResource.decode`); defaults, validation and what is selectable come of
the version's schema, the rest is upstream's strategy for all custom resources.
"""

from __future__ import annotations

from typing import Final

from apiserver.custom.definition import Version
from apiserver.custom.types import CustomType
from apiserver.types.formats import is_qualified_name
from apiserver.types.hooks import TypeHooks, keep_metadata
from kube.field import FieldError, quote
from kube.json_types import JsonObject

_STANDARD_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_PATH: Final = "metadata.finalizers"


def hooks_of(type_: CustomType, version: Version) -> TypeHooks:
    """Return the rules of a version."""
    name = version.name

    def default(obj: JsonObject) -> None:
        type_.schema(name).default(obj)

    def validate_create(obj: JsonObject) -> list[FieldError]:
        return type_.judge(name).validate(obj)

    def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
        return type_.judge(name).validate_update(new, old)

    def validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
        return type_.judge(name).validate_status(new, old)

    return TypeHooks(
        default=default,
        prepare_create=_drop_status if version.has_status else _leave,
        validate_create=validate_create,
        validate_update=validate_update,
        prepare_status=keep_metadata,
        validate_status=validate_status,
        warnings=warnings,
        fields={path: type_.fields[path] for path in version.selectable},
        generation=True,
        # Where the status is none of its own, it counts as any other field does.
        uncounted=_WITH_STATUS if version.has_status else _METADATA,
        has_status=version.has_status,
        allow_unconditional_update=False,
    )


_METADATA: Final = frozenset({"metadata", "kind", "apiVersion"})
_WITH_STATUS: Final = _METADATA | {"status"}


def _drop_status(obj: JsonObject) -> None:
    obj.pop("status", None)


def _leave(_obj: JsonObject) -> None:
    """Change nothing."""


def warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    """Warn of finalizers, new ones, whose names others might choose as well."""
    finalizers = new["metadata"].get("finalizers")
    if not finalizers:
        return []
    known = () if old is None else old["metadata"].get("finalizers") or ()
    texts: list[str] = []
    for name in sorted(set(finalizers).difference(known)):
        shown = f"{_PATH}: {quote(name)}"
        texts += [f"{shown}: {fault}" for fault in is_qualified_name(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            texts.append(
                f"{shown}: prefer a domain-qualified finalizer name{path} to avoid accidental "
                "conflicts with other finalizer writers"
            )
    return texts

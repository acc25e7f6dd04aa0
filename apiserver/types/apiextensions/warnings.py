"""What a definition's writer is warned of: formats nobody checks, sets that apply cannot merge."""

from __future__ import annotations

from apiserver.types.apiextensions.internal import schemas_of
from apiserver.types.apiextensions.walking import parts_of
from kube.field import quote
from kube.json_types import JsonObject
from kube.structural.formats import is_known
from kube.structural.nodes import LIST_TYPE, items_of


def warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    """Return what to warn of, without what the stored definition had already."""
    before = set(_warnings(old)) if old is not None else set()
    return [text for text in _warnings(new) if text not in before]


def _warnings(definition: JsonObject) -> list[str]:
    formats: dict[str, None] = {}
    sets: set[str] = set()
    for schema in schemas_of(definition.get("spec") or {}):
        for part in parts_of(schema):
            name = part.get("format")
            if name and not is_known(name, part.get("type") or ""):
                formats[f"unrecognized format {quote(name)}"] = None
            items = items_of(part)
            kind = (items or {}).get("type")
            if part.get(LIST_TYPE) == "set" and kind in {"object", "array"}:
                sets.add(
                    f"x-kubernetes-list-type: set for items of type {quote(kind)} is not supported "
                    "by server-side apply or CEL validation rules"
                )
    return [*formats, *sorted(sets)]

"""Definitions of custom resources, from the schemas in their CustomResourceDefinitions.

OpenAPI 3.0 takes such a schema as it is. Swagger 2.0 knows neither unions nor null; where a schema
has these, kubectl would refuse valid objects unless told less, so there the definition says less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from kube.json_types import JsonObject
from kube.kinds import ResourceInfo
from kube.openapi.definitions import load_definitions, reference
from kube.openapi.resource_paths import list_schema_name, schema_name

_GVK: Final = "x-kubernetes-group-version-kind"
_KEPT_IN_V2: Final = frozenset(
    {
        "additionalProperties",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
        "uniqueItems",
    }
)
_EXTENSION: Final = "x-kubernetes-"
_PRESERVES: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_SELECTABLE: Final = "x-kubernetes-selectable-fields"
_MEANINGLESS_WITH_NULL: Final = frozenset({"type", "format", "items", "properties"})
_PATTERN: Final = "io.k8s.api.core.v1.ConfigMap"
_LIST_PATTERN: Final = "io.k8s.api.core.v1.ConfigMapList"
_CONVENTIONS: Final = (
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
)


@dataclass(frozen=True, slots=True)
class CustomKind:
    """The schema of one version of a custom resource.

    Attributes:
        schema: its openAPIV3Schema; empty if it has none.
        fingerprint: changes whenever any of this does, as the definition's uid and generation.
        preserves_unknown: whether the definition as a whole keeps fields that no schema has.
        selectable: paths of fields that selectors may name.
    """

    schema: JsonObject
    fingerprint: str
    preserves_unknown: bool = False
    selectable: tuple[str, ...] = ()


_ANYTHING: Final = CustomKind({}, "")


@cache
def patterns() -> dict[str, JsonObject]:
    """Return the stored definitions whose words those of custom resources take."""
    definitions = load_definitions()
    return {name: definitions[name] for name in (_PATTERN, _LIST_PATTERN)}


def custom_definitions(
    info: ResourceInfo,
    custom: CustomKind | None,
    builtin: Mapping[str, JsonObject],
    *,
    for_v2: bool,
) -> dict[str, JsonObject]:
    """Return the stored definitions of a custom resource and of its list.

    Args:
        info: the resource.
        custom: its schema, None if it has none.
        builtin: the stored definitions of built-in kinds, at least `patterns`.
        for_v2: whether they are for Swagger 2.0.
    """
    custom = custom or _ANYTHING
    given, own = custom.schema, _own_fields(builtin[_PATTERN])
    has_any = custom.preserves_unknown or bool(given.get(_PRESERVES))
    if not given or (for_v2 and has_any):
        # With a property kubectl would refuse all others.
        schema: JsonObject = {"type": "object"}
    else:
        schema = _without_v3(given) if for_v2 else dict(given)
        schema = _embedding(schema, own, for_v2=for_v2)
        schema["properties"] = {**schema.get("properties", {}), **own}
    extensions: JsonObject = {}
    if custom.selectable:
        extensions[_SELECTABLE] = [{"fieldPath": path} for path in custom.selectable]
    schema |= {_GVK: [_identity(info, info.kind)], **extensions}
    definitions = {schema_name(info): schema}
    if info.list_kind:
        fields = _own_fields(builtin[_LIST_PATTERN])
        definitions[list_schema_name(info)] = {**_list_definition(info, fields), **extensions}
    return definitions


def _own_fields(pattern: JsonObject) -> JsonObject:
    """Return what every object has, in the words that all built-in kinds have for it."""
    found = pattern["properties"]
    texts = {key: found[key]["description"] for key in ("apiVersion", "kind")}
    typed = {key: {"description": text, "type": "string"} for key, text in texts.items()}
    return {**typed, "metadata": found["metadata"]}


def _identity(info: ResourceInfo, kind: str) -> JsonObject:
    return {"group": info.group, "kind": kind, "version": info.version}


def _list_definition(info: ResourceInfo, fields: JsonObject) -> JsonObject:
    return {
        "description": f"{info.list_kind} is a list of {info.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **fields,
            "items": {
                "description": f"List of {info.plural}. More info: {_CONVENTIONS}",
                "type": "array",
                "items": reference(schema_name(info)),
            },
        },
        _GVK: [_identity(info, info.list_kind)],
    }


def _embedding(schema: JsonObject, own: JsonObject, *, for_v2: bool) -> JsonObject:
    """Return a schema whose embedded objects, at any depth, have what every object has."""
    made = dict(schema)
    if fields := schema.get("properties"):
        made["properties"] = {
            name: _embedding(field, own, for_v2=for_v2) for name, field in fields.items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(key), dict):
            made[key] = _embedding(inner, own, for_v2=for_v2)
    if schema.get(_EMBEDDED) and not (for_v2 and schema.get(_PRESERVES)):
        typed = {
            key: {**own[key], "description": _decapitalized(own[key]["description"])}
            for key in ("apiVersion", "kind")
        }
        made["properties"] = {**made.get("properties", {}), **own, **typed}
        required = list(schema.get("required") or ())
        made["required"] = required + [key for key in ("kind", "apiVersion") if key not in required]
    return made


def _decapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]


def _without_v3(schema: JsonObject) -> JsonObject:
    kept = {key for key in schema if key in _KEPT_IN_V2 or key.startswith(_EXTENSION)}
    if schema.get("nullable"):
        kept -= _MEANINGLESS_WITH_NULL
    if schema.get("x-kubernetes-int-or-string"):
        kept.discard("type")
    if schema.get(_PRESERVES):
        # Known properties would make kubectl refuse the others.
        kept -= {"items", "properties"}
    type_ = schema.get("type")
    if (type_ == "array" and "items" not in kept) or (type_ == "object" and schema.get(_PRESERVES)):
        # kubectl copes neither with lists of nothing nor with such objects.
        kept.discard("type")
    made = {key: _v2_value(key, value) for key, value in schema.items() if key in kept}
    if made.get("required"):
        _require_less(made, schema)
    return made


def _require_less(made: JsonObject, schema: JsonObject) -> None:
    """Leave out of what is required what may be null: Swagger 2.0 cannot say so."""
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values.get("nullable"):
        del made["required"]
        return
    fields = made.get("properties", {})
    all_ = schema.get("properties") or {}
    left = [
        name
        for name in made["required"]
        if not (name in fields and all_.get(name, {}).get("nullable"))
    ]
    if left:
        made["required"] = left
    else:
        del made["required"]


def _v2_value(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _without_v3(child) for name, child in value.items()}
    if key in {"items", "additionalProperties"} and isinstance(value, dict):
        return _without_v3(value)
    return value

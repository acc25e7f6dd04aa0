"""Definitions of custom resources, from the schemas in their CustomResourceDefinitions.

OpenAPI 3.0 takes such a schema as it is. Swagger 2.0 knows neither unions nor null; where a schema
has these, kubectl would refuse valid objects unless told less, so there the definition says less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kube.json_types import JsonObject
from kube.kinds import ResourceInfo
from kube.openapi.definitions import reference
from kube.openapi.operations import META
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
_RULES: Final = "x-kubernetes-validations"
_MEANINGLESS_WITH_NULL: Final = frozenset({"type", "format", "items", "properties"})
_API_VERSION: Final[JsonObject] = {
    "description": "The group and version of this representation of the object.",
    "type": "string",
}
_KIND: Final[JsonObject] = {
    "description": "The kind of this object, in CamelCase. Cannot be updated.",
    "type": "string",
}


@dataclass(frozen=True, slots=True)
class CustomKind:
    """The schema of one version of a custom resource.

    Attributes:
        schema: its openAPIV3Schema; empty if it has none.
        fingerprint: changes whenever the schema does, as the definition's uid and generation.
    """

    schema: JsonObject
    fingerprint: str


_ANYTHING: Final = CustomKind({}, "")


def custom_definitions(
    info: ResourceInfo, custom: CustomKind | None, *, for_v2: bool
) -> dict[str, JsonObject]:
    """Return the stored definitions of a custom resource and of its list."""
    given = (custom or _ANYTHING).schema
    schema = _without_v3(given) if for_v2 else dict(given)
    if not given:
        schema = {"type": "object"}
        if not for_v2:
            schema["x-kubernetes-preserve-unknown-fields"] = True
    schema["properties"] = {
        **schema.get("properties", {}),
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": reference(f"{META}.ObjectMeta"),
    }
    schema[_GVK] = [{"group": info.group, "kind": info.kind, "version": info.version}]
    definitions = {schema_name(info): schema}
    if info.list_kind:
        definitions[list_schema_name(info)] = _list_definition(info)
    return definitions


def _list_definition(info: ResourceInfo) -> JsonObject:
    return {
        "description": f"{info.list_kind} is a list of {info.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "items": {
                "description": f"The {info.plural} of the list.",
                "type": "array",
                "items": reference(schema_name(info)),
            },
            "kind": _KIND,
            "metadata": reference(f"{META}.ListMeta"),
        },
        _GVK: [{"group": info.group, "kind": info.list_kind, "version": info.version}],
    }


def _without_v3(schema: JsonObject) -> JsonObject:
    kept = {key for key in schema if key in _KEPT_IN_V2 or key.startswith(_EXTENSION)} - {_RULES}
    if schema.get("nullable"):
        kept -= _MEANINGLESS_WITH_NULL
    if schema.get("x-kubernetes-int-or-string"):
        kept.discard("type")
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        # Known properties would make kubectl refuse the others.
        kept -= {"items", "properties"}
    return {key: _v2_value(key, value) for key, value in schema.items() if key in kept}


def _v2_value(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _without_v3(child) for name, child in value.items()}
    if key in {"items", "additionalProperties"} and isinstance(value, dict):
        return _without_v3(value)
    return value

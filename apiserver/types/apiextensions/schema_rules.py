"""What an openAPIV3Schema may say, part by part; structure and CEL rules are checked elsewhere.

The parts are walked once, outermost first, with what the parts around them mean for them: metadata
of whole objects, defaults that may not be set there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from apiserver.types.apiextensions.list_rules import map_list_errors, topology_errors
from apiserver.types.apiextensions.options import TYPES, Options
from kube.field import FieldError, forbidden, invalid, not_supported
from kube.json_types import JsonObject
from kube.structural.nodes import EMBEDDED, META_FIELDS, PRESERVE

_QUADRATIC: Final = (
    "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
)


@dataclass(frozen=True, slots=True)
class _Context:
    """What the parts around mean for a part.

    Attributes:
        options: which rules apply.
        no_defaults: why defaults may not be set here; "": they may.
        inside_meta: within apiVersion, kind or metadata of a whole object.
    """

    options: Options
    no_defaults: str = ""
    inside_meta: bool = False


def schema_errors(schema: JsonObject, path: str, options: Options) -> list[FieldError]:
    """Return what is wrong with a schema and all its parts.

    Args:
        schema: the openAPIV3Schema of a version.
        path: where it stands.
        options: which rules apply.
    """
    return list(_errors(schema, path, _Context(options), is_root=True))


def _errors(
    schema: JsonObject, path: str, context: _Context, *, is_root: bool = False
) -> Iterator[FieldError]:
    options = context.options
    yield from _standard_errors(schema, path, context)
    if schema.get("uniqueItems"):
        yield forbidden(f"{path}.uniqueItems", _QUADRATIC)
    yield from _values_errors(schema, path, context)
    for name, child in (schema.get("properties") or {}).items():
        below = context
        if name in META_FIELDS and (is_root or schema.get(EMBEDDED)):
            below = replace(context, inside_meta=True)
            if is_root:
                below = replace(below, no_defaults=f"in top-level {name}")
        yield from _errors(child, f"{path}.properties[{name}]", below)
    for where, child in _others_below(schema, path):
        yield from _errors(child, where, context)
    if schema.get(PRESERVE) is False:
        yield invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")  # noqa: FBT003
    yield from topology_errors(schema, path, require_atomic_sets=options.require_atomic_sets)
    if options.require_list_keys:
        yield from map_list_errors(schema, path)


def _standard_errors(schema: JsonObject, path: str, context: _Context) -> Iterator[FieldError]:
    """Find what OpenAPI knows and definitions may not use."""
    named = schema.get("type") or ""
    if context.options.require_types and named and named not in TYPES:
        yield not_supported(f"{path}.type", named, TYPES)
    if schema.get("default") is not None and context.no_defaults:
        yield forbidden(f"{path}.default", f"must not be set {context.no_defaults}")
    for key in ("id", "additionalItems", "patternProperties", "definitions", "dependencies"):
        value = schema.get(key)
        if value if key == "id" else value is not None:
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if schema.get("$ref") is not None:
        yield forbidden(f"{path}.$ref", "$ref is not supported")
    if named == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield forbidden(f"{path}.type", text)
    if isinstance(schema.get("items"), list) and schema["items"]:
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if context.inside_meta and schema.get(EMBEDDED):
        yield forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")


def _values_errors(schema: JsonObject, path: str, context: _Context) -> Iterator[FieldError]:
    values = schema.get("additionalProperties")
    if values is None:
        return
    where = f"{path}.additionalProperties"
    if schema.get("properties") and values is not True:
        yield forbidden(where, "additionalProperties and properties are mutual exclusive")
    if isinstance(values, dict):
        if context.inside_meta:
            # What pruning would leave of such a default depends on the object.
            text = "inside additionalProperties applying to object metadata"
            context = replace(context, no_defaults=text)
        yield from _errors(values, where, context)


def _others_below(schema: JsonObject, path: str) -> Iterator[tuple[str, JsonObject]]:
    if schema.get("not") is not None:
        yield f"{path}.not", schema["not"]
    for key in ("allOf", "oneOf", "anyOf"):
        for index, branch in enumerate(schema.get(key) or ()):
            yield f"{path}.{key}[{index}]", branch
    for name, child in (schema.get("definitions") or {}).items():
        yield f"{path}.definitions[{name}]", child
    items: Any = schema.get("items")
    if isinstance(items, dict):
        yield f"{path}.items", items
    elif items:
        for index, item in enumerate(items):
            yield f"{path}.items[{index}]", item
    for name, child in (schema.get("dependencies") or {}).items():
        if isinstance(child, dict):
            yield f"{path}.dependencies[{name}]", child

"""Whether a schema is structural: every value has one known shape, alternatives only narrow it.

Each part says its type outside of anyOf and the like; what stands under those says nothing of
structure, and speaks only of fields that are declared outside. The one exception are the two ways
to write int-or-string. Errors are in the order of their texts, as upstream sorts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kube.field import FieldError, forbidden, invalid, required
from kube.json_types import JsonObject
from kube.structural.completeness import completeness_errors
from kube.structural.nodes import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    items_of,
    properties_of,
    takes_any_key,
    values_of,
)
from kube.structural.patterns import BadPattern, compile_pattern

_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_ROOT: Final = "must not be empty at the root"
_ITEM: Final = "must not be empty for specified array items"
_FIELD: Final = "must not be empty for specified object fields"
_EMPTY: Final = "must be empty to be structural"
_UNDEFINED: Final = "must be undefined to be structural"
_FALSE: Final = "must be false to be structural"
_NOT_NESTED: Final = {
    "type": _EMPTY,
    "additionalProperties": _UNDEFINED,
    "default": _UNDEFINED,
    "title": _EMPTY,
    "description": _EMPTY,
    "nullable": _FALSE,
    PRESERVE: _FALSE,
    EMBEDDED: _FALSE,
    INT_OR_STRING: _FALSE,
    LIST_KEYS: _EMPTY,
    LIST_TYPE: _UNDEFINED,
    MAP_TYPE: _UNDEFINED,
    RULES: _EMPTY,
}
_UNSUPPORTED: Final = (
    "id",
    "$schema",
    "$ref",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
)
_OF_METADATA: Final = frozenset({"name", "generateName"})


def structural_errors(schema: JsonObject, path: str) -> list[FieldError]:
    """Return why a schema is not structural.

    Args:
        schema: an openAPIV3Schema for which `conversion_fault` finds nothing.
        path: where it stands.
    """
    errors = [*_part_errors(schema, path, _ROOT), *completeness_errors(schema, path)]
    return sorted(errors, key=str)


def conversion_fault(schema: JsonObject) -> str | None:
    """Return what a schema has that no structural schema can express, None if nothing."""
    for key in _UNSUPPORTED:
        # False says something of additional items as well.
        if schema.get(key) or (key == "additionalItems" and schema.get(key) is not None):
            shown = "schema" if key == "$schema" else key
            return f"OpenAPIV3Schema '{shown}' is not supported"
    junctors = [schema.get("not"), *_branches(schema)]
    for branch in junctors:
        if branch is not None and (fault := conversion_fault(branch)):
            return fault
    if schema.get(PRESERVE) is False:
        return f"internal error: '{PRESERVE}' must be true or undefined"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    for child in (items_of(schema), *properties_of(schema).values(), values_of(schema)):
        if child is not None and (fault := conversion_fault(child)):
            return fault
    return None


def _branches(schema: JsonObject) -> Iterator[JsonObject]:
    for key in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(key) or ()


def _part_errors(schema: JsonObject, path: str, level: str) -> Iterator[FieldError]:
    """Check a part that gives structure, and what is below it."""
    named, items = properties_of(schema), items_of(schema)
    if schema.get("type") == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    if items is not None:
        yield from _part_errors(items, f"{path}.items", _ITEM)
    for name, child in named.items():
        yield from _part_errors(child, f"{path}.properties[{name}]", _FIELD)
    if takes_any_key(schema):
        if level == _ROOT:
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if (values := values_of(schema)) is not None:
            yield from _part_errors(values, f"{path}.additionalProperties", _FIELD)
    yield from _extension_errors(schema, path)
    yield from _validation_errors(
        schema,
        path,
        skip_any=schema.get("anyOf") == _INT_OR_STRING,
        skip_first_all=_is_int_or_string_in_all(schema),
    )
    yield from _type_errors(schema, path, level)
    yield from _object_errors(schema, path, level)


def _is_int_or_string_in_all(schema: JsonObject) -> bool:
    first: JsonObject = next(iter(schema.get("allOf") or ()), {})
    return bool(first.get("anyOf") == _INT_OR_STRING)


def _extension_errors(schema: JsonObject, path: str) -> Iterator[FieldError]:
    if schema.get(INT_OR_STRING):
        text = f"must be false if {INT_OR_STRING} is true"
        for key in (PRESERVE, EMBEDDED):
            if schema.get(key):
                yield invalid(f"{path}.{key}", True, text)  # noqa: FBT003 (the value found)


def _type_errors(schema: JsonObject, path: str, level: str) -> Iterator[FieldError]:
    named = schema.get("type") or ""
    where = f"{path}.type"
    if schema.get(EMBEDDED):
        text = f"must be object if {EMBEDDED} is true"
        if not named:
            yield required(where, text)
        elif named != "object":
            yield invalid(where, named, text)
    elif not named and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield required(where, level)
    if schema.get(EMBEDDED) and takes_any_key(schema):
        text = f"must not be used if {EMBEDDED} is set"
        yield forbidden(f"{path}.additionalProperties", text)
    if level == _ROOT and named not in {"", "object"}:
        yield invalid(where, named, "must be object at the root")


def _object_errors(schema: JsonObject, path: str, level: str) -> Iterator[FieldError]:
    """Check what is said of apiVersion, kind and metadata of whole objects."""
    named = properties_of(schema)
    is_whole = level == _ROOT or bool(schema.get(EMBEDDED))
    for name in ("kind", "apiVersion"):
        found = named.get(name)
        if is_whole and found is not None and (found.get("type") or "") != "string":
            where = f"{path}.properties[{name}].type"
            yield invalid(where, found.get("type") or "", "must be string")
    metadata = named.get("metadata")
    if metadata is not None:
        where = f"{path}.properties[metadata]"
        if is_whole and metadata.get("type") != "object":
            yield invalid(f"{where}.type", metadata.get("type") or "", "must be object")
        if level == _ROOT and not _restricts_names_only(metadata):
            text = (
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified"
            )
            yield forbidden(where, text)
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not named:
        text = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        yield required(f"{path}.properties", text)


def is_set(value: Any) -> bool:
    """Tell whether a schema's key says something: numbers do, and `false` where it is a schema."""
    return value is not None and value not in ("", False, [], {})


def _restricts_names_only(metadata: JsonObject) -> bool:
    named = properties_of(metadata)
    if named and not named.keys() <= _OF_METADATA:
        return False
    rest = {key: value for key, value in metadata.items() if key not in {"type", "default"}}
    rest.pop("properties", None)
    if rest.pop("additionalProperties", None) is not None:
        return False
    # Zero is a bound like any other.
    return not any(is_set(value) or value.__class__ in {int, float} for value in rest.values())


def _validation_errors(
    schema: JsonObject, path: str, *, skip_any: bool, skip_first_all: bool
) -> Iterator[FieldError]:
    """Check the alternatives of a part, and its pattern."""
    if not skip_any:
        for index, branch in enumerate(schema.get("anyOf") or ()):
            yield from _nested_errors(branch, f"{path}.anyOf[{index}]")
    for index, branch in enumerate(schema.get("allOf") or ()):
        skip = skip_first_all and index == 0
        yield from _nested_errors(branch, f"{path}.allOf[{index}]", skip_any=skip)
    for index, branch in enumerate(schema.get("oneOf") or ()):
        yield from _nested_errors(branch, f"{path}.oneOf[{index}]")
    if (excluded := schema.get("not")) is not None:
        yield from _nested_errors(excluded, f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            compile_pattern(pattern)
        except BadPattern as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", pattern, text)


def _nested_errors(
    schema: JsonObject, path: str, *, skip_any: bool = False
) -> Iterator[FieldError]:
    """Check a part under an alternative: it may say nothing of structure."""
    yield from _validation_errors(schema, path, skip_any=skip_any, skip_first_all=False)
    if (items := items_of(schema)) is not None:
        yield from _nested_errors(items, f"{path}.items")
    for name, child in properties_of(schema).items():
        yield from _nested_errors(child, f"{path}.properties[{name}]")
    for key, text in _NOT_NESTED.items():
        value = schema.get(key)
        if key in {"default", "additionalProperties"}:
            said = value is not None and not (value is False and key != "default")
        else:
            said = is_set(value)
        if said:
            yield forbidden(f"{path}.{key}", text)
    if "metadata" in properties_of(schema):
        where = f"{path}.properties[metadata]"
        yield forbidden(where, "must not be specified in a nested context")

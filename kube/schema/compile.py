"""Compiling the installed definitions of Kubernetes into rows for a `SchemaSet`.

What a definition cannot say (which fields upstream holds by pointer, leaves out when empty, or
gives a named type) follows a rule in `_flags`, with exceptions in `kube/facts/go_fields.tsv`.
The rows are kept on disk, keyed by the package's version and by our own sources; descriptions are
not in them. A row is (go name, map type, fields); a field's is (name, type, flags, merge key,
strategies); a type's is (kind, definition, items, go type, list type, list keys, map type).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from kube import disk_cache, facts
from kube.builtin_kinds import definitions_file, source_files
from kube.json_types import JsonObject
from kube.schema.model import Kind, SchemaSet

_REF: Final = "#/$defs/"
_RAW: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SPECIAL: Final = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Kind.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Kind.INT_OR_STRING,
    _RAW: Kind.ANY,
    f"{_META}Time": Kind.TIME,
    f"{_META}MicroTime": Kind.MICRO_TIME,
    f"{_META}FieldsV1": Kind.ANY,
    f"{_META}Patch": Kind.ANY,
    f"{_EXTENSIONS}JSON": Kind.ANY,
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": Kind.UNION,
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": Kind.UNION,
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": Kind.UNION,
}
_SCALARS: Final = {
    ("string", ""): (Kind.STRING, "string"),
    ("string", "byte"): (Kind.BYTES, "[]uint8"),
    ("boolean", ""): (Kind.BOOL, "bool"),
    ("integer", "int32"): (Kind.INT32, "int32"),
    ("integer", "int64"): (Kind.INT64, "int64"),
    ("number", "double"): (Kind.FLOAT, "float64"),
}
_VALUES: Final = "additionalProperties"
_BY_VALUE: Final = frozenset({"metadata", "spec", "status"})
_Row = tuple[Any, ...]


@cache
def builtin_schemas() -> SchemaSet:
    """Return the definitions of all built-in types."""
    here = Path(__file__)
    sources = [*source_files(), here, here.with_name("model.py")]
    key = disk_cache.fingerprint(sources)
    rows = disk_cache.load_or_build("schemas", key, compile_definitions)
    return SchemaSet(rows)


def compile_definitions() -> dict[str, _Row]:
    """Return the rows of every definition of the installed package."""
    definitions = orjson.loads(definitions_file().read_bytes())["$defs"]
    exceptions = _read_exceptions()
    return {
        name: _struct_row(name, definition, exceptions.get(name, {}))
        for name, definition in definitions.items()
        if name not in _SPECIAL
    }


def _read_exceptions() -> dict[str, dict[str, tuple[str, str]]]:
    """Return (flags, Go type) by definition and field; an empty one means "as usual"."""
    table: dict[str, dict[str, tuple[str, str]]] = {}
    for name, tokens in facts.rows("go_fields.tsv"):
        fields = table[f"io.k8s.{name}"] = {}
        for token in tokens.split(" "):
            field, flags, *go_type = token.split(":")
            fields[field] = (flags, "".join(go_type))
    return table


def _struct_row(name: str, definition: JsonObject, known: dict[str, tuple[str, str]]) -> _Row:
    required = frozenset(definition.get("required", ()))
    fields = []
    for field, schema in definition.get("properties", {}).items():
        flags, go_type = known.get(field, ("", ""))
        flags = flags or _flags(field, schema, is_required=field in required)
        if field in required:
            flags += "r"
        strategies = schema.get("x-kubernetes-patch-strategy", "")
        fields.append(
            (
                field,
                _type_row(schema, go_type),
                flags,
                schema.get("x-kubernetes-patch-merge-key", ""),
                tuple(strategies.split(",")) if strategies else (),
            )
        )
    go_name = name.rpartition(".")[2]
    return (go_name, definition.get("x-kubernetes-map-type", ""), tuple(fields))


def _flags(field: str, schema: JsonObject, *, is_required: bool) -> str:
    """Return the flags that most fields of this shape have upstream."""
    if is_required:
        return "-"
    if "$ref" in schema:
        return "e" if field in _BY_VALUE else "pe"
    return "pe" if _json_type(schema) in {"boolean", "integer", "number"} else "e"


def _json_type(schema: JsonObject) -> str:
    # The package adds "null" to the types of optional fields.
    kind = schema.get("type", "")
    return str(kind if isinstance(kind, str) else kind[0])


def _type_row(schema: JsonObject, go_type: str) -> _Row:
    reference = schema.get("$ref", "")
    list_type = schema.get("x-kubernetes-list-type", "")
    list_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    map_type = schema.get("x-kubernetes-map-type", "")
    if reference:
        name = reference.removeprefix(_REF)
        kind = _SPECIAL.get(name, Kind.STRUCT)
        target = name if kind is Kind.STRUCT else ""
        if kind is Kind.UNION:
            target = f"{_EXTENSIONS}JSONSchemaProps"
        go_type = go_type or ".".join(name.rsplit(".", 2)[1:])
        # Other free-form objects are granular for apply, key by key; these are replaced as a whole.
        map_type = "atomic" if name == _RAW else map_type
        return (int(kind), target, None, go_type, list_type, list_keys, map_type)
    shape = _json_type(schema)
    if shape in {"array", "object"}:
        prefix, items = ("[]", "items") if shape == "array" else ("map[string]", _VALUES)
        element = go_type.removeprefix(prefix) if go_type.startswith(prefix) else ""
        row = _type_row(schema[items], element)
        kind = Kind.LIST if shape == "array" else Kind.MAP
        return (
            int(kind), "", row, go_type or f"{prefix}{row[3]}", list_type, list_keys, map_type,
        )  # fmt: skip
    kind, name = _SCALARS[shape, schema.get("format", "")]
    return (int(kind), "", None, go_type or name, list_type, list_keys, map_type)

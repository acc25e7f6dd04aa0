"""The definitions of objects, from the installed package's JSON schemas to both OpenAPI versions.

The package's schemas are Kubernetes' own definitions, altered for validators: `null` is allowed
beside most types, quantities are unions, `apiVersion` and `kind` are enumerations. Rendering
undoes that. Invariant: rendering copies; definitions given to it are left as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kube.builtin_kinds import definitions_file
from kube.json_types import JsonObject

_STORED_PREFIX: Final = "#/$defs/"
_SINGLE: Final = ("items", "additionalProperties", "not")
_SEVERAL: Final = ("allOf", "anyOf", "oneOf")
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY_TEXT: Final = (
    "An amount, as a decimal number with an optional suffix: a power of ten (m, k, M, G, T, P, E), "
    "a power of two (Ki, Mi, Gi, Ti, Pi, Ei) or an exponent (e3)."
)
_INT_OR_STRING_TEXT: Final = "A 32-bit integer or a string, such as a port's number or name."


@dataclass(frozen=True, slots=True)
class Style:
    """What differs between OpenAPI versions in definitions.

    Attributes:
        prefix: of references.
        wraps_references: a reference beside other keywords stands in an allOf.
        special: definitions written in a way of their own.
    """

    prefix: str
    wraps_references: bool
    special: Mapping[str, JsonObject]

    def reference(self, name: str) -> JsonObject:
        """Return a schema that is the definition `name`."""
        return {"$ref": self.prefix + name}


V2: Final = Style(
    "#/definitions/",
    wraps_references=False,
    special={
        _QUANTITY: {"description": _QUANTITY_TEXT, "type": "string"},
        _INT_OR_STRING: {
            "description": _INT_OR_STRING_TEXT,
            "type": "string",
            "format": "int-or-string",
        },
    },
)
V3: Final = Style(
    "#/components/schemas/",
    wraps_references=True,
    special={
        _QUANTITY: {
            "description": _QUANTITY_TEXT,
            "oneOf": [{"type": "string"}, {"type": "number"}],
        },
        _INT_OR_STRING: {
            "description": _INT_OR_STRING_TEXT,
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        },
    },
)


def load_definitions() -> dict[str, JsonObject]:
    """Read the built-in definitions as they are stored; some 10 ms, and not kept."""
    definitions = orjson.loads(definitions_file().read_bytes())["$defs"]
    assert isinstance(definitions, dict)
    return definitions


def reference(name: str) -> JsonObject:
    """Return a stored schema that is the definition `name`."""
    return {"$ref": _STORED_PREFIX + name}


def closure(roots: Iterable[str], definitions: Mapping[str, JsonObject]) -> list[str]:
    """Return the roots and all they refer to, sorted; unknown names are left out."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and name in definitions:
            found.add(name)
            waiting.extend(direct_references(definitions[name]))
    return sorted(found)


def direct_references(schema: JsonObject) -> Iterator[str]:
    """Yield the names of the definitions that a stored schema refers to, some more than once."""
    target = schema.get("$ref")
    if isinstance(target, str):
        yield target.removeprefix(_STORED_PREFIX)
    for child in _children(schema):
        yield from direct_references(child)


def _children(schema: JsonObject) -> Iterator[JsonObject]:
    yield from schema.get("properties", {}).values()
    for key in _SINGLE:
        if isinstance(child := schema.get(key), dict):
            yield child
    for key in _SEVERAL:
        yield from schema.get(key, ())


def render_definition(name: str, schema: JsonObject, style: Style) -> JsonObject:
    """Return the definition `name` in the given style."""
    if name in style.special:
        return style.special[name]
    rendered = _render(schema, style)
    for key in ("apiVersion", "kind"):
        # The package's addition: each kind allows only itself.
        rendered.get("properties", {}).get(key, {}).pop("enum", None)
    return rendered


def _render(schema: JsonObject, style: Style) -> JsonObject:
    rendered: JsonObject = {}
    for key, value in schema.items():
        if key == "properties":
            rendered[key] = {name: _render(child, style) for name, child in value.items()}
        elif key == "type":
            rendered[key] = _type(value)
        elif key == "$ref":
            rendered[key] = value.replace(_STORED_PREFIX, style.prefix)
        elif key in _SINGLE and isinstance(value, dict):
            rendered[key] = _render(value, style)
        elif key in _SEVERAL:
            rendered[key] = [_render(child, style) for child in value]
        else:
            rendered[key] = value
    if style.wraps_references and "$ref" in rendered and len(rendered) > 1:
        rendered["allOf"] = [{"$ref": rendered.pop("$ref")}]
    return rendered


def _type(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    (single,) = (each for each in value if each != "null")
    return single

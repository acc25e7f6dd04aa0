"""`fieldPath` of a rule: a JSON path of names and map keys, which the schema must know."""

from __future__ import annotations

import re
from typing import Final

from kube.json_types import JsonObject

_TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_MEANINGS: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "'": "'", "\\": "\\",
}  # fmt: skip


def normalize_field_path(path: str, schema: JsonObject) -> str:
    """Return a field path as errors print it, `spec.limits[cpu]`.

    Raises:
        ValueError: it is malformed or leads to nothing that the schema knows.
    """
    tokens = _TOKEN.findall(path)
    parts: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "." and at + 1 < len(tokens):
            name = tokens[at + 1]
            at += 2
        elif tokens[at] == "[" and at + 2 < len(tokens) and tokens[at + 2] == "]":
            name = _unquote(tokens[at + 1])
            at += 3
        else:
            raise ValueError(f"expected [ or . but got: {tokens[at]}")
        schema, shown = _step(schema, name)
        parts.append(shown)
    return "".join(parts).removeprefix(".")


def _unquote(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise ValueError(f"expected single quoted string but got {token}")

    def replace(match: re.Match[str]) -> str:
        meaning = _MEANINGS.get(match[1])
        if meaning is None:
            raise ValueError(f"invalid string literal: invalid escape char {match[0]}")
        return meaning

    return _ESCAPE.sub(replace, token[1:-1])


def _step(schema: JsonObject, name: str) -> tuple[JsonObject, str]:
    properties = schema.get("properties")
    if properties:
        child = properties.get(name)
        if isinstance(child, dict):
            return child, f".{name}"
    else:
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            return values, f"[{name}]"
    raise ValueError("does not refer to a valid field")

"""Simple JSON paths into objects of a schema: `.spec.replicas`, `.spec.labels['a.b']`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kube.json_types import JsonObject
from kube.structural.nodes import properties_of, takes_any_key, values_of

_NO_FIELD = "does not refer to a valid field"
_ENDS = "unexpected end of JSON path"


class BadPath(ValueError):
    """A path leads nowhere; worded as upstream."""


class Target(NamedTuple):
    """Where a path leads.

    Attributes:
        path: the path as field errors print it, `spec.labels[a.b]`.
        root: its first step.
        schema: of what is there.
    """

    path: str
    root: str
    schema: JsonObject


def resolve(json_path: str, schema: JsonObject, *, allow_brackets: bool = True) -> Target:
    """Return where a path leads.

    Args:
        json_path: fields after dots, or quoted in brackets.
        schema: where it starts.
        allow_brackets: whether brackets may be used.

    Raises:
        BadPath: it is none, or leads to no field.
    """
    path = root = ""
    tokens = _tokens(json_path)
    for token in tokens:
        if token == "[":
            if not allow_brackets:
                raise BadPath("array notation is not allowed")
            name = _quoted(next(tokens, None))
            schema, step = _step(schema, name)
            closing = next(tokens, None)
            if closing is None:
                raise BadPath(_ENDS)
            if closing != "]":
                raise BadPath(f"expected ] but got {closing}")
        elif token == ".":
            name = next(tokens, None) or ""
            if not name:
                raise BadPath(_ENDS)
            schema, step = _step(schema, name)
        else:
            raise BadPath(f"expected [ or . but got: {token}")
        root = root or name
        path = f"{path}{step}" if step.startswith("[") or not path else f"{path}.{step}"
    return Target(path, root, schema)


def _tokens(text: str) -> Iterator[str]:
    """Split at dots and brackets, which are tokens too; quoted texts stay whole."""
    at = 0
    while at < len(text):
        end = at + 1
        if text[at] == "'":
            while end < len(text) and not (text[end] == "'" and text[end - 1] != "\\"):
                end += 1
            end += 1
        elif text[at] not in ".[]":
            while end < len(text) and text[end] not in ".[]":
                end += 1
        yield text[at:end]
        at = end


def _quoted(token: str | None) -> str:
    if token is None:
        raise BadPath(_ENDS)
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise BadPath(f"expected single quoted string but got {token}")
    return token[1:-1].replace("\\'", "'").replace("\\\\", "\\")


def _step(schema: JsonObject, name: str) -> tuple[JsonObject, str]:
    if named := properties_of(schema):
        if name not in named:
            raise BadPath(_NO_FIELD)
        return named[name], name
    values = values_of(schema)
    if not takes_any_key(schema) or values is None:
        raise BadPath(_NO_FIELD)
    return values, f"[{name}]"

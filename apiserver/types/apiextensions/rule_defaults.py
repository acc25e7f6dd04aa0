"""What CEL rules say of the defaults in a schema."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kube.cel.rules import compile_rules
from kube.field import FieldError
from kube.json_types import JsonObject
from kube.structural.verdict import NOWHERE


def check_default(schema: JsonObject, default: Any, path: str) -> list[FieldError]:
    """Return what the rules of a schema say of its default.

    Args:
        schema: the part of a schema that has the default.
        default: a value that fits it.
        path: where the default stands.
    """
    rules = compile_rules(schema)
    if rules is None:
        return []
    # As a change to itself, for rules about changes; and as new, for those that take both.
    errors = rules.validate(default, default) or rules.validate(default)
    return [replace(error, path=_joined(path, error.path)) for error in errors]


def _joined(path: str, below: str) -> str:
    if below in {"", NOWHERE}:
        return path
    return f"{path}{below}" if below.startswith("[") else f"{path}.{below}"

"""What the patches need of plain JSON data: copies, Go's equality, Go's way to print a value."""

from __future__ import annotations

from typing import Any

from kube.json_types import JsonObject


def copied(value: Any) -> Any:
    """Return `value` with containers of its own."""
    if value.__class__ is dict:
        return {key: copied(item) for key, item in value.items()}
    if value.__class__ is list:
        return [copied(item) for item in value]
    return value


def without_nulls(value: Any) -> Any:
    """Return a copy of `value` without null fields; null elements of lists stay."""
    if value.__class__ is dict:
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if value.__class__ is list:
        return [without_nulls(item) for item in value]
    return value


def same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal as Go compares them: 1, 1.0 and true differ."""
    if left.__class__ is not right.__class__:
        return False
    if left.__class__ is dict:
        return len(left) == len(right) and all(
            key in right and same(value, right[key]) for key, value in left.items()
        )
    if left.__class__ is list:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def go_text(value: Any) -> str:
    """Return `value` as Go's %v prints it; error messages quote objects so."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(go_text, value))}]"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def go_type(value: Any) -> str:
    """Return the name of the Go type that holds a JSON value."""
    match value:
        case None:
            return "%!s(<nil>)"
        case bool():
            return "bool"
        case dict():
            return "map[string]interface {}"
        case list():
            return "[]interface {}"
        case int():
            return "int64"
        case float():
            return "float64"
        case _:
            return "string"


def is_container(value: Any) -> bool:
    """Tell whether `value` is an object or an array."""
    return value.__class__ is dict or value.__class__ is list


def shallow(value: JsonObject | list[Any]) -> JsonObject | list[Any]:
    """Return a copy of the container itself; its elements are shared."""
    return dict(value) if isinstance(value, dict) else list(value)

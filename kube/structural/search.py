"""Finding the values of an object that some special part of its schema describes.

Most schemas have no such part, and then nothing is walked: `walk_of` returns None. Values are
visited before what is below them, in the order of the object; only a schema's own structure counts,
not what stands under allOf and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kube.field import FieldError
from kube.json_types import JsonObject
from kube.structural.nodes import items_of, properties_of, values_of

Visit: TypeAlias = Callable[[JsonObject, Any, str], list[FieldError]]
"""`(schema, value, path)` -> what is wrong with a value found."""
Walk: TypeAlias = Callable[[Any, str, Visit], list[FieldError]]


def child_path(path: str, key: str) -> str:
    """Return the path of a named field."""
    return f"{path}.{key}" if path else key


def walk_of(  # noqa: C901 (one branch for each way down)
    schema: JsonObject, is_wanted: Callable[[JsonObject], bool]
) -> Walk | None:
    """Return how to find values in a value of a schema; None: there are none.

    Args:
        schema: the schema of the value that is walked.
        is_wanted: tells whether values of a schema are to be visited.
    """
    named = properties_of(schema)
    below = {
        name: look
        for name, child in named.items()
        if (look := walk_of(child, is_wanted)) is not None
    }
    values, items = values_of(schema), items_of(schema)
    look_value = walk_of(values, is_wanted) if values is not None else None
    look_item = walk_of(items, is_wanted) if items is not None else None
    wanted = is_wanted(schema)
    if not (wanted or below or look_value or look_item):
        return None

    def walk(value: Any, path: str, visit: Visit) -> list[FieldError]:
        errors = visit(schema, value, path) if wanted else []
        if value.__class__ is list and look_item is not None:
            for index, item in enumerate(value):
                if item.__class__ is dict or item.__class__ is list:
                    errors += look_item(item, f"{path}[{index}]", visit)
        elif value.__class__ is dict:
            errors += in_object(value, path, visit)
        return errors

    def in_object(value: JsonObject, path: str, visit: Visit) -> list[FieldError]:
        errors: list[FieldError] = []
        for key, look in below.items():
            child = value.get(key)
            if child.__class__ is dict or child.__class__ is list:
                errors += look(child, child_path(path, key), visit)
        if look_value is not None:
            for key, child in value.items():
                if key not in named and (child.__class__ is dict or child.__class__ is list):
                    errors += look_value(child, f"{path}[{key}]", visit)
        return errors

    return walk

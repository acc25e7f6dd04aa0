"""Whether all that alternatives speak of is declared in a schema's own structure."""

from __future__ import annotations

from collections.abc import Iterator

from kube.field import FieldError, required
from kube.json_types import JsonObject
from kube.structural.nodes import items_of, properties_of


def completeness_errors(
    schema: JsonObject, path: str, said: JsonObject | None = None, said_path: str = ""
) -> Iterator[FieldError]:
    """Find fields that stand under anyOf, allOf, oneOf or not, and nowhere else.

    Args:
        schema: what gives structure.
        path: where it stands.
        said: what is said of the same values; None: `schema` itself.
        said_path: where that stands.
    """
    said, said_path = (schema, path) if said is None else (said, said_path)
    if (excluded := said.get("not")) is not None:
        yield from _nested(excluded, f"{said_path}.not", schema, path)
    for key in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(said.get(key) or ()):
            yield from _nested(branch, f"{said_path}.{key}[{index}]", schema, path)


def _nested(
    said: JsonObject, said_path: str, schema: JsonObject | None, path: str
) -> Iterator[FieldError]:
    if schema is None:
        yield required(path, f"because it is defined in {said_path}")
        return
    yield from completeness_errors(schema, path, said, said_path)
    if (items := items_of(said)) is not None:
        yield from _nested(items, f"{said_path}.items", items_of(schema), f"{path}.items")
    declared = properties_of(schema)
    for name, child in properties_of(said).items():
        below = f"properties[{name}]"
        yield from _nested(child, f"{said_path}.{below}", declared.get(name), f"{path}.{below}")

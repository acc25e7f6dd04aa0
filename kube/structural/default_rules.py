"""Whether the defaults in a schema are values that objects could have.

A default must fit its schema and have no unknown fields, as it is put into objects after they were
pruned. What stands in for metadata is judged within the whole object that it would be part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from kube.field import FieldError, invalid
from kube.json_types import JsonObject
from kube.structural import embedded, pruning
from kube.structural.defaulting import copier
from kube.structural.embedded import Check, Coercion
from kube.structural.enums import deep_equal
from kube.structural.explaining import explain
from kube.structural.nodes import EMBEDDED, META_FIELDS, items_of, properties_of
from kube.structural.verdict import errors_of, ordered

RuleCheck: TypeAlias = Callable[[JsonObject, Any, str], list[FieldError]]
"""`(schema, default, path)` -> what the schema's CEL rules say of the default."""
_TYPE_META: Final = {"apiVersion": "validation/v1", "kind": "Validation"}


@dataclass(frozen=True, slots=True)
class DefaultRules:
    """How defaults are judged.

    Attributes:
        check_embedded: what is wrong with a whole object's apiVersion, kind and metadata.
        check_rules: what CEL rules say of a default; None: they are not asked.
        require_pruned: whether unknown fields in defaults are faults.
    """

    check_embedded: Check
    check_rules: RuleCheck | None = None
    require_pruned: bool = True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a schema we are.

    Attributes:
        root: the schema of the whole object around.
        wrap: makes that object of a value here.
        inside_meta: within its apiVersion, kind or metadata.
    """

    root: JsonObject
    wrap: Callable[[Any], Any]
    inside_meta: bool = False


def default_errors(schema: JsonObject, path: str, rules: DefaultRules) -> list[FieldError]:
    """Return what is wrong with the defaults in a structural schema.

    Args:
        schema: the openAPIV3Schema of a version.
        path: where it stands.
        rules: how to judge.
    """
    whole = {**schema, EMBEDDED: True}
    return list(_errors(whole, path, _Place(whole, _with_type_meta), rules))


def has_unpruned(schema: JsonObject) -> bool:
    """Tell whether a default in a schema has fields that the schema does not know."""
    default = schema.get("default")
    if default is not None and not _is_pruned(schema, default):
        return True
    below = [items_of(schema), *properties_of(schema).values()]
    return any(child is not None and has_unpruned(child) for child in below)


def _with_type_meta(value: Any) -> Any:
    return {**_TYPE_META, **value} if value.__class__ is dict else value


def _errors(
    schema: JsonObject, path: str, place: _Place, rules: DefaultRules
) -> Iterator[FieldError]:
    if schema.get(EMBEDDED):
        place = _Place(schema, _with_type_meta)
    if (default := schema.get("default")) is not None:
        found = _metadata_faults(schema, default, f"{path}.default", place, rules)
        if not found:
            found = errors_of(explain(schema, default), f"{path}.default")
        if not found and rules.check_rules is not None:
            found = rules.check_rules(schema, default, f"{path}.default")
        if rules.require_pruned and not place.inside_meta and not _is_pruned(schema, default):
            yield invalid(f"{path}.default", ordered(default), "must not have unknown fields")
        yield from found
    if (items := items_of(schema)) is not None:
        below = replace(place, wrap=lambda value: place.wrap([value]))
        yield from _errors(items, f"{path}.items", below, rules)
    for name, child in properties_of(schema).items():
        yield from _errors(child, f"{path}.properties[{name}]", _below(schema, place, name), rules)


def _below(schema: JsonObject, place: _Place, name: str) -> _Place:
    return replace(
        place,
        wrap=lambda value: place.wrap({name: value}),
        inside_meta=place.inside_meta or (bool(schema.get(EMBEDDED)) and name in META_FIELDS),
    )


def _is_pruned(schema: JsonObject, default: Any) -> bool:
    if default.__class__ is not dict and default.__class__ is not list:
        return True
    copy = copier(default)()
    pruning.walk_of(schema)(copy)
    return deep_equal(copy, default)


def _metadata_faults(
    schema: JsonObject, default: Any, path: str, place: _Place, rules: DefaultRules
) -> list[FieldError]:
    """Return what is wrong with metadata in a default, or made of one."""
    if place.inside_meta:
        whole = copier(place.wrap(default))()
        found = _find(place.root, whole, "", rules)
        text = f"must result in valid metadata: {', '.join(map(str, found))}"
        return [invalid(path, ordered(default), text)] if found else []
    return _find(schema, copier(default)(), path, rules)


def _find(schema: JsonObject, value: Any, path: str, rules: DefaultRules) -> list[FieldError]:
    walk = embedded.walk_of(schema)
    if walk is None:
        return []
    faults = walk(value, path, embedded.checked_by(Coercion().check))
    return faults[:1] or walk(value, path, embedded.checked_by(rules.check_embedded))

"""What an update forgives: rules that the stored definition breaks already are not tightened.

New definitions meet all rules. Of an old one that breaks a rule, made under earlier versions or
straight in the store, the same fault is let through until it is mended (upstream's ratcheting).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from apiserver.types.apiextensions.internal import schemas_of
from apiserver.types.apiextensions.list_rules import has_set_of_structs, map_list_errors
from apiserver.types.apiextensions.walking import parts_of
from kube.json_types import JsonObject
from kube.structural.default_rules import has_unpruned
from kube.structural.structure import conversion_fault, structural_errors

SELECTABLE_FIELDS_MAX: Final = 8
REVIEW_VERSIONS: Final = ("v1", "v1beta1")
TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")


@dataclass(frozen=True, slots=True)
class Options:
    """Which rules are applied; the defaults are those of a create.

    Attributes:
        require_review_version: conversion webhooks must speak a version that we do.
        require_immutable_names: scope and kind may not change, as the type is established.
        require_schema: each version must have a schema.
        require_types: types must be those of OpenAPI.
        require_structural: schemas must be structural.
        require_pruned_defaults: defaults may have no unknown fields.
        require_atomic_sets: items of sets must be scalars or atomic.
        require_list_keys: keys of lists must be required or have defaults.
        check_ca_bundle: the certificates of a conversion webhook must be readable.
        unlimited_selectable: versions that may keep more selectable fields than are allowed.
    """

    require_review_version: bool = True
    require_immutable_names: bool = False
    require_schema: bool = True
    require_types: bool = True
    require_structural: bool = True
    require_pruned_defaults: bool = True
    require_atomic_sets: bool = True
    require_list_keys: bool = True
    check_ca_bundle: bool = False
    unlimited_selectable: frozenset[str] = field(default_factory=frozenset)


def is_established(definition: JsonObject) -> bool:
    """Tell whether a definition's type is served."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in conditions
    )


def is_structural(schema: JsonObject) -> bool:
    """Tell whether a schema is structural."""
    return conversion_fault(schema) is None and not structural_errors(schema, "")


def options_for_update(
    new: JsonObject, old: JsonObject, is_readable: Callable[[str], bool]
) -> Options:
    """Return what an update has to meet.

    Args:
        new: the definition as it is to be.
        old: the stored one.
        is_readable: tells whether a CA bundle has certificates.
    """
    spec = old["spec"]
    schemas = schemas_of(spec)
    parts = [part for schema in schemas for part in parts_of(schema)]
    webhook = (spec.get("conversion") or {}).get("webhook") or {}
    review = webhook.get("conversionReviewVersions") or []
    bundle = (webhook.get("clientConfig") or {}).get("caBundle") or ""
    return Options(
        require_review_version=not review or any(name in REVIEW_VERSIONS for name in review),
        require_immutable_names=is_established(old),
        require_schema=len(schemas) == len(spec.get("versions") or ()),
        require_types=all(not part.get("type") or part["type"] in TYPES for part in parts),
        require_structural=all(map(is_structural, schemas)),
        require_pruned_defaults=not any(
            is_structural(schema) and has_unpruned(schema) for schema in schemas
        ),
        require_atomic_sets=not any(map(has_set_of_structs, parts)),
        require_list_keys=not any(map_list_errors(part, "") for part in parts),
        check_ca_bundle=is_established(old) and (not bundle or is_readable(bundle)),
        unlimited_selectable=_unlimited(new, old),
    )


def _by_name(definition: JsonObject) -> dict[str, JsonObject]:
    versions = definition["spec"].get("versions") or ()
    return {version.get("name", ""): version for version in versions}


def _unlimited(new: JsonObject, old: JsonObject) -> frozenset[str]:
    before = _by_name(old)
    found = {
        name
        for name, version in _by_name(new).items()
        if (fields := version.get("selectableFields")) is not None
        and len(fields) > SELECTABLE_FIELDS_MAX
        and before.get(name, {}).get("selectableFields") == fields
    }
    # What all versions share is looked at once, under no name.
    return (
        frozenset(found | {""}) if found and len(found) == len(_by_name(new)) else frozenset(found)
    )

"""Definitions of custom resources for tests, made of what matters in them."""

from __future__ import annotations

import copy
from typing import Any

from apiserver.types.apiextensions import definitions
from kube.json_types import JsonObject
from kube.schema.decode import builtin_decoder

NAME = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
TOP = "spec.validation.openAPIV3Schema"
"""Where errors in a schema are that all versions share."""


def version(name: str = "v1", schema: Any = None, **more: Any) -> JsonObject:
    """Return a version, the one that objects are stored in unless it says otherwise."""
    schema = {"type": "object"} if schema is None else schema
    made = {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {**made, **more}


def definition(*versions: JsonObject, annotations: Any = None, **spec: Any) -> JsonObject:
    """Return a definition as a client sends it."""
    group = spec.get("group", "example.com")
    return {
        "metadata": {"name": f"cars.{group}", "annotations": annotations or {}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "cars", "kind": "Car"},
            "versions": copy.deepcopy(list(versions or (version(),))),
            **spec,
        },
    }


def stored(obj: JsonObject) -> JsonObject:
    """Return a definition as a create leaves it."""
    made = copy.deepcopy(obj)
    assert builtin_decoder(NAME).decode(made).unknown == ()
    definitions.default(made)
    definitions.prepare_create(made)
    return made


def texts(obj: JsonObject) -> list[str]:
    """Return what is wrong with a new definition, as clients read it."""
    return [str(error) for error in definitions.validate(stored(obj))]


def field_faults(schema: JsonObject) -> list[str]:
    """Return what is wrong with the schema of `spec.a`, at its own place."""
    return schema_faults(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": schema}}},
        },
        f"{TOP}.properties[spec].properties[a].",
    )


def schema_faults(schema: JsonObject, place: str = f"{TOP}.") -> list[str]:
    """Return what is wrong with a whole schema, without the place that all share."""
    return [text.removeprefix(place) for text in texts(definition(version(schema=schema)))]


def update_texts(new: JsonObject, old: JsonObject) -> list[str]:
    """Return what is wrong with a change between two definitions that were stored."""
    after = copy.deepcopy(new)
    after["status"] = copy.deepcopy(old["status"])
    definitions.prepare_update(after, old)
    return [str(error) for error in definitions.validate_update(after, old)]


def established(obj: JsonObject) -> JsonObject:
    """Return a stored definition whose type is served."""
    made = stored(obj)
    made["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    return made

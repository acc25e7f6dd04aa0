"""Schemas for tests, made of what matters in them."""

from __future__ import annotations

from typing import Any

from kube.field import FieldError
from kube.json_types import JsonObject
from kube.structural.custom import CustomSchema


def obj(**properties: Any) -> JsonObject:
    """Return the schema of an object with these fields."""
    return {"type": "object", "properties": properties}


def listed(items: JsonObject, **more: Any) -> JsonObject:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def mapped(values: Any, **more: Any) -> JsonObject:
    """Return the schema of a map."""
    return {"type": "object", "additionalProperties": values, **more}


STRING: JsonObject = {"type": "string"}
INTEGER: JsonObject = {"type": "integer"}
PRESERVE: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDDED: JsonObject = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}


def schema_of(**spec: Any) -> CustomSchema:
    """Return the schema of a custom resource whose spec has these fields."""
    return CustomSchema(obj(spec=obj(**spec)))


def texts(errors: list[FieldError]) -> list[str]:
    """Return errors as clients read them."""
    return [str(error) for error in errors]


def faults(field: JsonObject, value: Any) -> list[str]:
    """Return what is wrong with a value of `spec.a`, as clients read it."""
    return texts(schema_of(a=field).validate({"spec": {"a": value}}))

"""Definitions and types for unit tests."""

from __future__ import annotations

from typing import Any

from apiserver.custom.definition import Definition, parse_definition
from apiserver.custom.resource import CustomResource
from apiserver.custom.types import CustomType
from kube.json_types import JsonObject

GROUP = "unit.example.com"
TEXT = {"type": "string"}


def schema_of(**fields: Any) -> JsonObject:
    """Return a schema whose spec has these fields."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}


def version(name: str, schema: JsonObject | None = None, **more: Any) -> JsonObject:
    """Return a version that is served and not stored."""
    made = {"name": name, "served": True, "storage": False, **more}
    made["schema"] = {"openAPIV3Schema": schema or schema_of(a=TEXT)}
    return made


def stored_definition(
    kind: str = "Thing", *versions: JsonObject, accepted: bool = True, **spec: Any
) -> JsonObject:
    """Return a definition as it is stored; its names are accepted unless told otherwise."""
    names = {
        "plural": f"{kind.lower()}s",
        "singular": kind.lower(),
        "kind": kind,
        "listKind": f"{kind}List",
        **spec.pop("names", {}),
    }
    conditions = [
        {"type": kind, "status": "True", "reason": "R", "message": "m"}
        for kind in ("NamesAccepted", "Established")
    ]
    status = {"acceptedNames": names, "conditions": conditions} if accepted else {}
    return {
        "metadata": {
            "name": f"{names['plural']}.{GROUP}",
            "uid": f"uid-of-{kind}",
            "resourceVersion": "7",
            "generation": 1,
            **spec.pop("metadata", {}),
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names,
            "versions": list(versions) or [version("v1", storage=True)],
            **spec,
        },
        "status": status,
    }


def parsed(*given: Any, **more: Any) -> Definition:
    """Return a definition, read."""
    return parse_definition(stored_definition(*given, **more))


async def never(_config: JsonObject, _review: bytes) -> JsonObject:
    """Stand in for a webhook that must not be asked."""
    raise AssertionError("the webhook was asked")


def made_type(definition: Definition) -> CustomType:
    """Return the type that a definition makes."""
    return CustomType(definition, never, lambda _name: definition)


def resource(definition: Definition, name: str = "v1") -> CustomResource:
    """Return a version of a type."""
    type_ = made_type(definition)
    return CustomResource(type_, type_.version(name))


def thing(api_version: str = f"{GROUP}/v1", **spec: Any) -> JsonObject:
    """Return an object as it is stored, but for the layout."""
    metadata = {"name": "a", "namespace": "x", "uid": "u", "resourceVersion": "", "generation": 1}
    return {"kind": "Thing", "apiVersion": api_version, "metadata": metadata, "spec": spec}

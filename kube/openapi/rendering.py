"""Writes path items and definitions as Swagger 2.0 or OpenAPI 3.0 documents.

Invariant: everything rendered is fresh, except the definitions' leaves; callers encode it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kube.json_types import JsonObject
from kube.openapi.definitions import V2, V3, Style, closure, render_definition
from kube.openapi.operations import Operation, PathItem
from kube.openapi.parameters import Parameter
from kube.version import VERSION_INFO

_INFO: Final = {"title": "Kubernetes", "version": VERSION_INFO["gitVersion"]}
_BEARER: Final = {
    "type": "apiKey",
    "name": "authorization",
    "in": "header",
    "description": "Bearer Token authentication",
}
_NO_CONTENT: Final[JsonObject] = {}


def swagger_frame() -> tuple[JsonObject, JsonObject]:
    """Return what stands before and after paths, definitions and parameters in Swagger 2.0."""
    head: JsonObject = {"swagger": "2.0", "info": _INFO}
    return head, {
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def openapi_v3(items: Iterable[PathItem], definitions: Mapping[str, JsonObject]) -> JsonObject:
    """Return an OpenAPI 3.0 document of these paths and the definitions they need."""
    kept = list(items)
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {item.path: _v3_path(item) for item in kept},
        "components": {
            "schemas": {
                name: render_definition(name, definitions[name], V3)
                for name in closure(roots_of(kept), definitions)
            },
            "securitySchemes": {"BearerToken": _BEARER},
        },
        "security": [{"BearerToken": []}],
    }


def roots_of(items: Iterable[PathItem]) -> set[str]:
    """Return the definitions that paths name themselves."""
    roots: set[str] = set()
    for item in items:
        for operation in item.operations:
            roots.update(schema for _, _, schema in operation.responses if schema)
            if operation.body is not None:
                roots.add(operation.body.schema)
    return roots


def swagger_path(item: PathItem, shared: dict[str, JsonObject]) -> JsonObject:
    """Return a path in Swagger 2.0; parameters that it has in common with others go to `shared`."""
    path: JsonObject = {each.method: _v2_operation(each, shared) for each in item.operations}
    if item.parameters:
        path["parameters"] = [_v2_parameter(each, shared) for each in item.parameters]
    return path


def _v2_operation(operation: Operation, shared: dict[str, JsonObject]) -> JsonObject:
    body = operation.body
    rendered = _common(operation) | {
        "consumes": body.media_types if body else ["*/*"],
        "produces": operation.produces,
        "schemes": ["https"],
    }
    parameters = [_v2_parameter(each, shared) for each in operation.parameters]
    if body is not None:
        taken: JsonObject = {"name": "body", "in": "body", "schema": V2.reference(body.schema)}
        parameters.insert(0, taken | ({"required": True} if body.required else {}))
    if parameters:
        rendered["parameters"] = parameters
    rendered["responses"] = {
        code: {"description": told} | (_NO_CONTENT if schema is None else _v2_content(schema))
        for code, told, schema in operation.responses
    }
    return rendered


def _v2_content(schema: str) -> JsonObject:
    return {"schema": _schema(schema, V2)}


def _v2_parameter(parameter: Parameter, shared: dict[str, JsonObject]) -> JsonObject:
    rendered = _parameter(parameter) | {"type": parameter.type, "uniqueItems": True}
    if parameter.inline:
        return rendered
    shared.setdefault(parameter.shared_key, rendered)
    return {"$ref": f"#/parameters/{parameter.shared_key}"}


def _v3_path(item: PathItem) -> JsonObject:
    path: JsonObject = {each.method: _v3_operation(each) for each in item.operations}
    if item.parameters:
        path["parameters"] = [_v3_parameter(each) for each in item.parameters]
    return path


def _v3_operation(operation: Operation) -> JsonObject:
    rendered = _common(operation)
    if operation.parameters:
        rendered["parameters"] = [_v3_parameter(each) for each in operation.parameters]
    if (body := operation.body) is not None:
        rendered["requestBody"] = _v3_content(body.schema, body.media_types) | (
            {"required": True} if body.required else {}
        )
    rendered["responses"] = {
        code: {"description": told}
        | (_NO_CONTENT if schema is None else _v3_content(schema, operation.produces))
        for code, told, schema in operation.responses
    }
    return rendered


def _v3_content(schema: str, media_types: tuple[str, ...]) -> JsonObject:
    return {"content": {each: {"schema": _schema(schema, V3)} for each in media_types}}


def _v3_parameter(parameter: Parameter) -> JsonObject:
    schema = {"type": parameter.type, "uniqueItems": True}
    return _parameter(parameter) | {"schema": schema}


def _common(operation: Operation) -> JsonObject:
    rendered: JsonObject = {
        "description": operation.description,
        "operationId": operation.operation_id,
        "tags": [operation.tag],
    }
    if operation.action:
        rendered["x-kubernetes-action"] = operation.action
    if operation.kind is not None:
        group, version, kind = operation.kind
        rendered["x-kubernetes-group-version-kind"] = {
            "group": group,
            "version": version,
            "kind": kind,
        }
    return rendered


def _parameter(parameter: Parameter) -> JsonObject:
    rendered: JsonObject = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
    }
    if parameter.place == "path":
        rendered["required"] = True
    return rendered


def _schema(name: str, style: Style) -> JsonObject:
    return style.reference(name) if name else {"type": "string"}

"""Definitions: the package's alterations undone, custom schemas rendered for both versions."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject
from kube.openapi import CustomKind, OpenApi
from kube.openapi.custom import custom_definitions
from kube.openapi.definitions import V3, closure, load_definitions, render_definition

OPENAPI = OpenApi(builtin_registry())
V2_SCHEMAS: dict[str, Any] = json.loads(OPENAPI.v2())["definitions"]
V3_SCHEMAS: dict[str, Any] = json.loads(OPENAPI.v3("apis/apps/v1") or b"")["components"]["schemas"]
CONTAINER = "io.k8s.api.core.v1.Container"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
BUILTIN = load_definitions()
CONFIG_MAP = builtin_registry().lookup("", "v1", "configmaps")
assert CONFIG_MAP is not None
WIDGET = dataclasses.replace(
    CONFIG_MAP,
    group="stable.example.com",
    kind="Widget",
    list_kind="WidgetList",
    schema_name="",
    custom=True,
)


def widget_schema(schema: JsonObject, *, for_v2: bool) -> JsonObject:
    definitions = custom_definitions(WIDGET, CustomKind(schema, "1"), BUILTIN, for_v2=for_v2)
    return definitions["com.example.stable.v1.Widget"]


@pytest.mark.parametrize("schemas", [V2_SCHEMAS, V3_SCHEMAS], ids=["v2", "v3"])
def test_no_type_allows_null(schemas: dict[str, Any]) -> None:
    assert '"null"' not in json.dumps(schemas)


@pytest.mark.parametrize("schemas", [V2_SCHEMAS, V3_SCHEMAS], ids=["v2", "v3"])
def test_api_version_is_not_an_enumeration(schemas: dict[str, Any]) -> None:
    assert "enum" not in schemas[DEPLOYMENT]["properties"]["apiVersion"]


@pytest.mark.parametrize("schemas", [V2_SCHEMAS, V3_SCHEMAS], ids=["v2", "v3"])
def test_patch_keys_and_list_types_are_kept(schemas: dict[str, Any]) -> None:
    env = schemas[CONTAINER]["properties"]["env"]
    assert env["x-kubernetes-patch-merge-key"] == "name"
    assert env["x-kubernetes-patch-strategy"] == "merge"
    assert env["x-kubernetes-list-map-keys"] == ["name"]


def test_v2_reference_stands_beside_its_description() -> None:
    spec = V2_SCHEMAS[DEPLOYMENT]["properties"]["spec"]
    assert spec["$ref"] == "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"
    assert "description" in spec


def test_v3_reference_with_description_is_wrapped() -> None:
    spec = V3_SCHEMAS[DEPLOYMENT]["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}]
    assert "$ref" not in spec


def test_v3_reference_alone_is_bare() -> None:
    items = V3_SCHEMAS[CONTAINER]["properties"]["env"]["items"]
    assert items == {"$ref": "#/components/schemas/io.k8s.api.core.v1.EnvVar"}


def test_unions_are_strings_in_v2_and_unions_in_v3() -> None:
    assert V2_SCHEMAS[INT_OR_STRING]["type"] == "string"
    assert V2_SCHEMAS[INT_OR_STRING]["format"] == "int-or-string"
    assert V2_SCHEMAS[QUANTITY]["type"] == "string"
    assert V3_SCHEMAS[INT_OR_STRING]["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    assert V3_SCHEMAS[QUANTITY]["oneOf"] == [{"type": "string"}, {"type": "number"}]


def test_property_named_like_a_keyword_is_a_property() -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "type": {"type": ["string", "null"]}}}
    assert render_definition("x", schema, V3)["properties"] == {
        "$ref": {"type": "string"},
        "type": {"type": "string"},
    }


def test_rendering_leaves_the_stored_definition_alone() -> None:
    stored: JsonObject = {"properties": {"kind": {"type": ["string", "null"], "enum": ["X"]}}}
    before = json.dumps(stored)
    render_definition("x", stored, V3)
    assert json.dumps(stored) == before


def test_closure_follows_references_through_all_keywords() -> None:
    definitions: dict[str, JsonObject] = {
        "a": {"properties": {"b": {"$ref": "#/$defs/b"}}, "allOf": [{"$ref": "#/$defs/c"}]},
        "b": {"items": {"$ref": "#/$defs/d"}},
        "c": {"additionalProperties": {"$ref": "#/$defs/a"}},
        "d": {"additionalProperties": True},
        "e": {},
    }
    assert closure(["a", "unknown"], definitions) == ["a", "b", "c", "d"]


def test_custom_definition_has_kind_metadata_and_list() -> None:
    custom = {("stable.example.com", "v1", "Widget"): CustomKind({"type": "object"}, "1")}
    openapi = OpenApi(builtin_registry().with_custom([WIDGET]), custom=custom)
    document = json.loads(openapi.v3("apis/stable.example.com/v1") or b"")
    schemas = document["components"]["schemas"]
    widget = schemas["com.example.stable.v1.Widget"]
    assert set(widget["properties"]) == {"apiVersion", "kind", "metadata"}
    assert widget["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "version": "v1", "kind": "Widget"}
    ]
    items = schemas["com.example.stable.v1.WidgetList"]["properties"]["items"]["items"]
    assert items == {"$ref": "#/components/schemas/com.example.stable.v1.Widget"}


def test_custom_schema_keeps_enumerations_of_nested_kinds() -> None:
    nested = {"properties": {"kind": {"type": "string", "enum": ["A"]}}}
    schema = widget_schema({"properties": {"target": nested}}, for_v2=False)
    rendered = render_definition("x", schema, V3)
    assert rendered["properties"]["target"]["properties"]["kind"]["enum"] == ["A"]


@pytest.mark.parametrize("for_v2", [True, False])
def test_custom_kind_without_schema_has_no_fields_at_all(*, for_v2: bool) -> None:
    definitions = custom_definitions(WIDGET, None, BUILTIN, for_v2=for_v2)
    schema = definitions["com.example.stable.v1.Widget"]
    assert set(schema) == {"type", "x-kubernetes-group-version-kind"}
    assert schema["type"] == "object"


def test_v2_definition_that_preserves_unknown_fields_at_its_root_has_no_fields_at_all() -> None:
    given: JsonObject = {
        "type": "object",
        "description": "d",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"spec": {"type": "object"}},
    }
    assert set(widget_schema(given, for_v2=True)) == {"type", "x-kubernetes-group-version-kind"}
    in_v3 = widget_schema(given, for_v2=False)
    assert set(in_v3["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert in_v3["x-kubernetes-preserve-unknown-fields"] is True


def test_v2_definition_of_a_type_that_preserves_unknown_fields_has_no_fields_at_all() -> None:
    kind = CustomKind({"type": "object", "properties": {"a": {}}}, "1", preserves_unknown=True)
    schema = custom_definitions(WIDGET, kind, BUILTIN, for_v2=True)["com.example.stable.v1.Widget"]
    assert set(schema) == {"type", "x-kubernetes-group-version-kind"}


def test_what_every_object_has_is_described_as_in_built_in_kinds() -> None:
    schema = widget_schema({"type": "object"}, for_v2=False)
    described = BUILTIN["io.k8s.api.core.v1.ConfigMap"]["properties"]
    for key in ("apiVersion", "kind", "metadata"):
        assert schema["properties"][key]["description"] == described[key]["description"]


def test_embedded_objects_have_what_every_object_has_and_need_their_type() -> None:
    template: JsonObject = {"type": "object", "x-kubernetes-embedded-resource": True}
    given = {"type": "object", "properties": {"list": {"type": "array", "items": template}}}
    embedded = widget_schema(given, for_v2=True)["properties"]["list"]["items"]
    assert set(embedded["properties"]) == {"apiVersion", "kind", "metadata"}
    assert embedded["required"] == ["kind", "apiVersion"]
    template["x-kubernetes-preserve-unknown-fields"] = True
    assert "properties" not in widget_schema(given, for_v2=True)["properties"]["list"]["items"]


def test_selectable_fields_are_published_with_the_kind_and_its_list() -> None:
    kind = CustomKind({"type": "object"}, "1", selectable=("spec.host",))
    for schema in custom_definitions(WIDGET, kind, BUILTIN, for_v2=False).values():
        assert schema["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.host"}]


def test_v2_definition_does_not_require_what_may_be_null() -> None:
    given: JsonObject = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string"}},
    }
    assert widget_schema(given, for_v2=True)["required"] == ["b"]
    assert widget_schema(given, for_v2=False)["required"] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "integer", "nullable": True, "minimum": 1}, {"minimum": 1}),
        (
            {"x-kubernetes-int-or-string": True, "type": "integer", "anyOf": [{}]},
            {"x-kubernetes-int-or-string": True},
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
            {"x-kubernetes-preserve-unknown-fields": True},
        ),
        ({"type": "array", "items": {"not": {}, "default": 1}}, {"type": "array", "items": {}}),
        ({"type": "array"}, {}),
    ],
    ids=["null", "int-or-string", "unknown fields", "nested", "lists of anything"],
)
def test_v2_definition_says_no_more_than_swagger_can(
    given: JsonObject, expected: JsonObject
) -> None:
    schema = widget_schema({"properties": {"x": given}}, for_v2=True)
    assert schema["properties"]["x"] == expected


def test_custom_schema_is_not_altered_by_rendering() -> None:
    given: JsonObject = {"type": "object", "properties": {"a": {"type": "string"}}}
    before = json.dumps(given)
    widget_schema(given, for_v2=False)
    widget_schema(given, for_v2=True)
    assert json.dumps(given) == before

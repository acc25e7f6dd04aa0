"""What a strict server says to fields that it does not know, or that come twice."""

from __future__ import annotations

from typing import Any, Final

import orjson

from conformance.api import Call
from conformance.checks import check, has, refused
from conformance.custom import Custom, custom_resource, version
from conformance.registry import case
from conformance.resource import APPLY
from conformance.samples import workload
from conformance.stage import Stage
from kube.json_types import JsonObject

_STRICT: Final = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
_CRON: Final = r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"


async def _create_text(stage: Stage, deployment: bytes) -> JsonObject:
    path = stage.of("apps/v1", "deployments", "Deployment").path
    return await stage.api.call(Call("POST", path, deployment, _STRICT))


def _deployment() -> JsonObject:
    return {"apiVersion": "apps/v1", "kind": "Deployment", **workload("my-dep", 3)}


@case(
    "[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed "
    "object [Conformance]"
)
async def typed_duplicates(stage: Stage) -> None:
    """All of them are told at once, in their order."""
    text = orjson.dumps(_deployment()).replace(
        b'"replicas":3', b'"unknownField":"foo","replicas":2,"replicas":3'
    )
    await refused(
        "BadRequest",
        _create_text(stage, text),
        containing='strict decoding error: unknown field "spec.unknownField", '
        'duplicate field "spec.replicas"',
    )


@case(
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object "
    "[Conformance]"
)
async def typed_metadata(stage: Stage) -> None:
    """Metadata is no exception."""
    deployment = _deployment()
    deployment["metadata"]["unknownMeta"] = "foo"
    await refused(
        "BadRequest",
        _create_text(stage, orjson.dumps(deployment)),
        containing='strict decoding error: unknown field "metadata.unknownMeta"',
    )


def _schema(**spec: Any) -> JsonObject:
    port: Any = {
        "containerPort": {"format": "int32", "type": "integer"},
        "hostIP": {"type": "string"},
        "hostPort": {"format": "int32", "type": "integer"},
        "name": {"type": "string"},
        "protocol": {"type": "string"},
    }
    keys = ["containerPort", "protocol"]
    ports = {
        "type": "array",
        "x-kubernetes-list-map-keys": keys,
        "x-kubernetes-list-type": "map",
        "items": {"type": "object", "properties": port, "required": keys},
    }
    more = spec.pop("properties", {})
    properties = {
        "foo": {"type": "string"},
        "cronSpec": {"type": "string", "pattern": _CRON},
        "ports": ports,
        **more,
    }
    return {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties, **spec}},
    }


async def _noxu(stage: Stage, schema: JsonObject | None) -> Custom:
    group = f"{stage.unique}.mygroup.example.com"
    versions = (version("v1beta1", schema), version("v1beta2", schema), version("v0", schema))
    return await custom_resource(stage, group, "Noxu", *versions)


async def _apply(custom: Custom, top: str, spec: str) -> JsonObject:
    """Apply the object "mytest" as YAML text; `top` and `spec` are lines at their places."""
    text = (
        f"\napiVersion: {custom.resource.group_version}\nkind: {custom.kind}\nmetadata:\n"
        f"  name: mytest\n{top}"
        f'spec:\n{spec}  cronSpec: "* * * * */5"\n'
        "  ports:\n  - name: x\n    containerPort: 80\n    protocol: TCP"
    )
    path = f"{custom.resource.path}/mytest"
    call = Call("PATCH", path, text.encode(), _STRICT, content_type=APPLY)
    return await custom.resource.api.call(call)


@case(
    "[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation "
    "schema [Conformance]"
)
async def valid(stage: Stage) -> None:
    """What fits the schema is taken."""
    custom = await _noxu(stage, _schema())
    await _apply(custom, "", "  foo: foo1\n")


@case(
    "[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with "
    "no validation schema [Conformance]"
)
async def no_schema(stage: Stage) -> None:
    """Without a schema all fields are known."""
    custom = await _noxu(stage, None)
    await _apply(custom, "", "  unknown: uk1\n")


@case(
    "[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties "
    "for CRD with validation schema [Conformance]"
)
async def extra(stage: Stage) -> None:
    """A field at the root that the schema does not have is refused."""
    custom = await _noxu(stage, _schema())
    request = _apply(custom, "unknownField: unknown\n", "  foo: foo1\n")
    await refused("", request, containing=".unknownField: field not declared in schema")


@case(
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root "
    "and embedded object of a CR [Conformance]"
)
async def embedded(stage: Stage) -> None:
    """So is one in the metadata of an object within the object."""
    template: Any = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": {"type": "object"},
        },
    }
    keep: Any = {"x-kubernetes-preserve-unknown-fields": True}
    custom = await _noxu(stage, _schema(properties={"template": template}, **keep))
    spec = (
        "  template:\n    apiversion: foo/v1\n    kind: Sub\n    metadata:\n"
        "        unknownSubMeta: unknown\n        name: subobject\n"
        f"        namespace: {stage.namespace}\n  foo: foo1\n"
    )
    error = await refused("", _apply(custom, "  unknownMeta: unknown\n", spec))
    nested = ".spec.template.metadata.unknownSubMeta: field not declared in schema"
    root = ".metadata.unknownMeta: field not declared in schema"
    check(nested in str(error) or root in str(error), f"the refusal names the field: {error}")


@case(
    "[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown "
    "fields [Conformance]"
)
async def duplicates(stage: Stage) -> None:
    """A key that comes twice is told with its line, though unknown fields are welcome."""
    keep: Any = {"x-kubernetes-preserve-unknown-fields": True}
    custom = await _noxu(stage, _schema(**keep))
    top = "  finalizers:\n  - test-finalizer\n"
    request = _apply(custom, top, "  unknown: uk1\n  foo: foo1\n  foo: foo2\n")
    error = await refused("", request)
    has(str(error), 'line 11: key "foo" already set in map', "the refusal")

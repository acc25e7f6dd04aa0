"""Custom objects in the model of types that apply and others walk."""

from __future__ import annotations

from typing import Any

from structural_schemas import EMBEDDED, INTEGER, PRESERVE, STRING, listed, mapped, obj

from kube.managed.compare import compare
from kube.managed.shapes import NewObjects, Shapes
from kube.schema.model import Kind, Type
from kube.structural.custom import CustomSchema

KEYED: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["port", "protocol"],
}
PORTS = listed(obj(port=INTEGER, protocol={**STRING, "default": "TCP"}), **KEYED)


def type_at(spec: Any, **more: Any) -> Type:
    type_ = CustomSchema(obj(spec={**obj(a=spec), **more})).type
    assert type_.struct is not None
    inner = type_.struct.fields["spec"].type.struct
    assert inner is not None
    return inner.fields["a"].type


def test_whole_objects_have_built_in_metadata() -> None:
    type_ = CustomSchema(obj(spec=obj(), metadata={"type": "object"})).type
    assert type_.struct is not None
    assert set(type_.struct.fields) == {"spec", "apiVersion", "kind", "metadata"}
    metadata = type_.struct.fields["metadata"].type
    assert metadata.struct is not None
    assert "ownerReferences" in metadata.struct.fields


def test_scalars_lists_and_maps_keep_what_is_said_of_them() -> None:
    assert type_at(STRING).kind is Kind.STRING
    assert type_at({"x-kubernetes-int-or-string": True}).kind is Kind.INT_OR_STRING
    ports = type_at(PORTS)
    assert (ports.kind, ports.list_type, ports.list_keys) == (
        Kind.LIST,
        "map",
        ("port", "protocol"),
    )
    assert type_at(listed(STRING)).list_type == "atomic"
    made = type_at(mapped(INTEGER, **{"x-kubernetes-map-type": "atomic"}))
    assert (made.kind, made.map_type) == (Kind.MAP, "atomic")
    assert type_at({**obj(b=STRING), "x-kubernetes-map-type": "atomic"}).map_type == "atomic"


def test_unknown_fields_are_kept_below_where_the_schema_says_so() -> None:
    part = type_at({**obj(b=obj(c=STRING)), **PRESERVE})
    assert part.preserve_unknown
    assert part.struct is not None
    assert part.struct.fields["b"].type.preserve_unknown
    assert not type_at(obj(c=STRING)).preserve_unknown
    assert type_at(PRESERVE).kind is Kind.ANY


def test_embedded_resources_have_metadata_too() -> None:
    pod = type_at(EMBEDDED)
    assert pod.embedded
    assert pod.preserve_unknown
    assert pod.struct is not None
    assert set(pod.struct.fields) == {"apiVersion", "kind", "metadata"}


def test_changes_are_named_by_keys_with_their_defaults() -> None:
    type_ = CustomSchema(obj(spec=obj(ports=PORTS))).type
    old = {"spec": {"ports": [{"port": 1, "protocol": "TCP"}]}}
    new = {"spec": {"ports": [{"port": 1}, {"port": 2, "protocol": "UDP"}]}}
    added = compare(type_, old, new).added
    assert list(added["f:spec"]["f:ports"]) == ['k:{"port":2,"protocol":"UDP"}']


def test_what_a_creator_manages_is_told_of_custom_objects() -> None:
    type_ = CustomSchema(obj(spec=obj(a=STRING, b=obj(c=INTEGER)))).type
    assert type_.struct is not None
    made = NewObjects(Shapes(), type_.struct, frozenset())
    managed = made.rest({"apiVersion": "v1", "kind": "K", "spec": {"a": "x", "b": {"c": 1}}})
    assert managed == b'"f:spec":{".":{},"f:a":{},"f:b":{".":{},"f:c":{}}}'

"""Unknown fields: what goes, what stays, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import EMBEDDED, INTEGER, PRESERVE, STRING, listed, mapped, obj, schema_of

from kube.schema.decode import DecodeError
from kube.structural.custom import CustomSchema


def pruned(schema: CustomSchema, spec: Any) -> tuple[Any, list[str]]:
    whole = {"apiVersion": "g.io/v1", "kind": "K", "metadata": {"name": "x"}, "spec": spec}
    unknown = schema.prune(whole)
    assert list(whole)[:3] == ["apiVersion", "kind", "metadata"]
    return whole["spec"], unknown


def test_unknown_fields_go_and_are_told_in_order() -> None:
    schema = schema_of(a=STRING, list=listed(obj(b=INTEGER)))
    spec = {"z": 1, "a": "x", "list": [{"b": 1}, {"b": 2, "c": {"d": 3}}]}
    assert pruned(schema, spec) == (
        {"a": "x", "list": [{"b": 1}, {"b": 2}]},
        ["spec.list[1].c", "spec.z"],
    )


def test_unknown_root_fields_go_but_type_and_metadata_stay() -> None:
    whole = {"apiVersion": "v1", "kind": "K", "metadata": {"anything": 1}, "data": 1, "spec": {}}
    assert CustomSchema(obj(spec=obj())).prune(whole) == ["data"]
    assert whole == {"apiVersion": "v1", "kind": "K", "metadata": {"anything": 1}, "spec": {}}


def test_root_type_and_metadata_stay_without_any_schema() -> None:
    whole = {"kind": "K", "metadata": {}, "spec": {"a": 1}}
    assert CustomSchema(None).prune(whole) == ["spec"]
    assert whole == {"kind": "K", "metadata": {}}


def test_values_of_maps_are_pruned_by_their_schema() -> None:
    schema = schema_of(map=mapped(obj(a=STRING)))
    assert pruned(schema, {"map": {"x.y": {"a": "1", "b": "2"}}}) == (
        {"map": {"x.y": {"a": "1"}}},
        ["spec.map.x.y.b"],
    )


def test_maps_of_anything_keep_keys_and_scalars_but_no_fields_within() -> None:
    spec = {"map": {"k": 1, "o": {"a": 1}, "l": [{"b": 2}, [3]]}}
    assert pruned(schema_of(map={**obj(), "additionalProperties": True}), spec) == (
        {"map": {"k": 1, "o": {}, "l": [{}, [3]]}},
        ["spec.map.l[0].b", "spec.map.o.a"],
    )


def test_preserved_objects_keep_all_but_prune_below_named_fields() -> None:
    part = {**obj(known=obj(a=STRING)), **PRESERVE}
    spec = {"p": {"other": {"x": 1}, "known": {"a": "1", "b": "2"}}}
    assert pruned(schema_of(p=part), spec) == (
        {"p": {"other": {"x": 1}, "known": {"a": "1"}}},
        ["spec.p.known.b"],
    )


def test_items_of_preserved_lists_keep_what_they_do_not_name() -> None:
    part = {**listed(obj(known=obj())), **PRESERVE}
    spec = {"p": [{"other": 1, "known": {"gone": 1}}]}
    assert pruned(schema_of(p=part), spec) == (
        {"p": [{"other": 1, "known": {}}]},
        ["spec.p[0].known.gone"],
    )


def test_an_object_where_a_scalar_belongs_loses_its_fields() -> None:
    assert pruned(schema_of(a=STRING), {"a": {"b": 1}}) == ({"a": {}}, ["spec.a.b"])


def test_definitions_that_preserve_unknown_fields_prune_nothing() -> None:
    whole = {"spec": {"a": 1}}
    assert CustomSchema(obj(), preserve_unknown=True).prune(whole) == []
    assert whole == {"spec": {"a": 1}}


def test_metadata_of_embedded_resources_is_decoded_and_its_unknown_fields_told() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "nope": 1},
        "spec": {"a": 1},
    }
    assert pruned(schema_of(pod=EMBEDDED), {"pod": pod}) == (
        {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}}},
        ["spec.pod.metadata.nope"],
    )


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        (
            {"metadata": {"name": 1}},
            'spec.pod.metadata: Invalid value: {"name":1}: json: cannot unmarshal number into Go '
            "struct field ObjectMeta.name of type string",
        ),
        (
            {"metadata": "x"},
            'spec.pod.metadata: Invalid value: "x": json: cannot unmarshal string into Go value of '
            "type v1.ObjectMeta",
        ),
        ({"kind": 1}, "spec.pod.kind: Invalid value: 1: must be a string"),
    ],
)
def test_embedded_metadata_of_the_wrong_type_is_refused(pod: Any, message: str) -> None:
    with pytest.raises(DecodeError) as refused:
        schema_of(pod=EMBEDDED).prune({"spec": {"pod": pod}})
    assert str(refused.value) == message


def test_stored_embedded_metadata_of_the_wrong_type_is_dropped() -> None:
    pod = {"kind": 1, "metadata": {"name": 1, "namespace": "n", "nope": 1}}
    whole = {"spec": {"pod": pod}}
    schema_of(pod=EMBEDDED).prune(whole, drop_invalid=True)
    assert whole == {"spec": {"pod": {"metadata": {"namespace": "n"}}}}


def test_lists_nested_without_end_are_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(DecodeError, match="exceeded max depth"):
        schema_of(a=STRING).prune({"spec": {"a": deep}})


def test_pruning_again_finds_nothing() -> None:
    schema = schema_of(a=obj(b=listed(STRING)), m=mapped(obj(c=INTEGER)))
    spec = {"a": {"b": [{"x": 1}], "y": 1}, "m": {"k": {"c": 1, "d": [1]}}}
    once, _ = pruned(schema, spec)
    assert pruned(schema, once) == (once, [])

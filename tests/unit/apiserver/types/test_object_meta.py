"""Metadata, selectors, owners and conditions: upstream's rules and paths."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.types import meta
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def good(**more: Any) -> dict[str, Any]:
    return {"name": "web", "namespace": "default", "resourceVersion": "1", **more}


def test_good_metadata_has_no_faults() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1"}
    full = good(
        labels={"app": "web"},
        annotations={"Example.com/Note": "x"},
        ownerReferences=[owner | {"controller": True}],
        finalizers=["example.com/hold"],
        generateName="we-",
    )
    assert meta.validate_object_meta(full, namespaced=True) == []
    assert meta.validate_object_meta_update(full, full) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"namespace": ""}, "metadata.namespace: Required value"),
        (
            {"generation": -1},
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"annotations": {"a": "x" * (256 * 1024)}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            {"labels": {"a": "v" * 64}},
            f'metadata.labels: Invalid value: "{"v" * 64}": must be no more than 63 bytes',
        ),
        (
            {"managedFields": [{"operation": "Merge"}]},
            'metadata.managedFields[0].operation: Unsupported value: "Merge": '
            'supported values: "Apply", "Update"',
        ),
    ],
)
def test_fault_is_reported_at_its_path(change: dict[str, Any], error: str) -> None:
    assert texts(meta.validate_object_meta(good(**change), namespaced=True)) == [error]


def test_namespace_is_refused_on_cluster_types() -> None:
    assert texts(meta.validate_object_meta(good(), namespaced=False)) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_second_controller_is_refused() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": True}
    errors = meta.validate_owner_references([owner, owner | {"name": "b"}], "owners")
    assert [error.detail for error in errors] == [
        'Only one reference can have Controller set to true. Found "true" in references for '
        "Pod/a and Pod/b"
    ]


def test_owner_must_be_whole_and_no_event() -> None:
    errors = meta.validate_owner_references([{"apiVersion": "v1", "kind": "Event"}], "o")
    assert texts(errors)[:2] == [
        "o[0].name: Required value: must not be empty",
        "o[0].uid: Required value: must not be empty",
    ]
    assert errors[2].detail == "/v1, Kind=Event is disallowed from being an owner"


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ],
)
def test_identity_is_immutable(field: str) -> None:
    old = good(**{field: "old"})
    assert texts(meta.validate_object_meta_update(good(**{field: "new"}), old)) == [
        f'metadata.{field}: Invalid value: "new": field is immutable'
    ]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("labels", {"a": "v" * 64}),
        ("annotations", {"a b": ""}),
        ("ownerReferences", [{"kind": "A"}]),
        ("managedFields", [{"manager": "m"}]),
    ],
)
def test_whatever_an_update_changes_is_checked(field: str, bad: Any) -> None:
    for old in (good(), good(**{field: None})):
        errors = meta.validate_object_meta_update(good(**{field: bad}), old)
        assert errors
        assert all(error.path.startswith(f"metadata.{field}") for error in errors)


def test_update_needs_a_resource_version() -> None:
    errors = meta.validate_object_meta_update(good(resourceVersion=""), good())
    assert texts(errors) == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update'
    ]


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = good(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["a.b/c"])
    new = old | {"finalizers": ["a.b/c", "a.b/d"]}
    assert texts(meta.validate_object_meta_update(new, old)) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
        'deleted, found new finalizers []string{"a.b/d"}'
    ]


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        (
            {"key": "a", "operator": "In"},
            "s.matchExpressions[0].values: Required value: "
            "must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            "s.matchExpressions[0].values: Forbidden: "
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        (
            {"key": "a", "operator": "Near"},
            's.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        ),
    ],
)
def test_selector_expression_is_checked(expression: dict[str, Any], error: str) -> None:
    assert texts(meta.validate_label_selector({"matchExpressions": [expression]}, "s")) == [error]


def test_conditions_must_be_whole_and_distinct() -> None:
    one = {"type": "Ready", "status": "True", "lastTransitionTime": "t", "reason": "Ok"}
    assert meta.validate_conditions([one], "c") == []
    assert texts(meta.validate_conditions([one, one | {"status": "Maybe"}], "c")) == [
        'c[1]: Duplicate value: "Ready"',
        'c[1].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
    ]


def test_unprintable_field_manager_is_refused() -> None:
    assert texts(meta.validate_field_manager("a\x07")) == [
        'fieldManager: Invalid value: "a\\a": invalid character U+0007 (at position 1)'
    ]

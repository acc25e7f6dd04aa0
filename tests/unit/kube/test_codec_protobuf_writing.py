"""Protobuf bodies: what is written, and that it is read back."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from kube import codec_protobuf
from kube.protobuf.numbers import numbers_of
from kube.protobuf.reader import message_of
from kube.protobuf.writer import write_message
from kube.schema.compile import builtin_schemas

CRD = "apiextensions.k8s.io/v1"
# Fields of the definitions that no message of upstream's has a number for yet.
UNNUMBERED = {"compatibilityGroups", "derivedAttributes", "runningInUserNamespace"}
SAMPLE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"app": "web", "": ""},
        "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
        "ownerReferences": [{"name": "o", "controller": True}],
    },
    "spec": {
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 0},
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            }
        ],
        "ephemeralContainers": [{"name": "e", "targetContainerName": "c", "tty": False}],
        "securityContext": {"supplementalGroups": [1, 2**40], "runAsUser": -1},
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
    },
}


def decode_or_refuse(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        codec_protobuf.decode(body)


@given(some.data())
@settings(max_examples=200, deadline=None)
def test_damaged_bodies_are_refused_or_read_but_never_crash(data: some.DataObject) -> None:
    body = bytearray(codec_protobuf.encode(SAMPLE))
    for _ in range(data.draw(some.integers(1, 4))):
        body[data.draw(some.integers(4, len(body) - 1))] = data.draw(some.integers(0, 255))
    decode_or_refuse(bytes(body[: data.draw(some.integers(4, len(body)))]))


OTHERS = [
    SAMPLE,
    {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": [{}]},
    {"apiVersion": "v1", "kind": "Status", "code": 404, "details": {"causes": [{"field": "a"}]}},
    {"apiVersion": "v1", "kind": "Secret", "data": {"a": "AP8=", "b": ""}},
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"extra": {"a": ["b", "c"], "d": [""]}},
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["a"], "operations": ["*"]}]}
        },
    },
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "spec": {"renewTime": "2026-01-02T03:04:05.000006Z", "leaseDurationSeconds": 15},
    },
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"minAvailable": "50%", "maxUnavailable": 1},
    },
    {
        "apiVersion": CRD,
        "kind": "CustomResourceDefinition",
        "spec": {
            "versions": [
                {
                    "schema": {
                        "openAPIV3Schema": {
                            "properties": {"a": {"items": {"type": "string"}, "maximum": 1.5}},
                            "additionalProperties": {"$ref": "r"},
                            "additionalItems": False,
                            "items": [{"type": "x"}],
                            "dependencies": {"a": ["b"], "c": {"type": "y"}},
                            "enum": [1, "a"],
                            "x-kubernetes-int-or-string": True,
                        }
                    }
                }
            ]
        },
    },
]


@pytest.mark.parametrize("obj", OTHERS, ids=lambda obj: str(obj["kind"]))
def test_objects_come_back_as_they_were_written(obj: dict[str, Any]) -> None:
    assert codec_protobuf.decode(codec_protobuf.encode(obj)) == obj


TEXTS = some.text(some.characters(codec="utf-8"), max_size=8)
METADATA = some.fixed_dictionaries(
    {},
    optional={
        "name": TEXTS,
        "generation": some.integers(-(2**63), 2**63 - 1),
        "labels": some.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4),
        "finalizers": some.lists(TEXTS, min_size=1, max_size=4),
    },
)
CONFIG_MAPS = some.fixed_dictionaries(
    {"apiVersion": some.just("v1"), "kind": some.just("ConfigMap"), "metadata": METADATA},
    optional={
        "immutable": some.booleans(),
        "data": some.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4),
    },
)


@given(CONFIG_MAPS)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_is_read_back(obj: dict[str, Any]) -> None:
    assert codec_protobuf.decode(codec_protobuf.encode(obj)) == obj


def test_a_written_body_has_the_bytes_that_go_writes() -> None:
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}}
    assert codec_protobuf.encode(scale) == (
        b"k8s\0\n\x17\n\x0eautoscaling/v1\x12\x05Scale\x12\x04\x12\x02\x08\x03\x1a\0\x22\0"
    )


def test_nulls_and_fields_without_a_number_are_not_written() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": None, "nonsense": 1}
    assert codec_protobuf.decode(codec_protobuf.encode(obj)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
    }


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "data": 1},
        {"apiVersion": "v1", "kind": "ConfigMap", "immutable": "yes"},
        {"apiVersion": "v1", "kind": "Secret", "data": {"a": "no base64"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"creationTimestamp": "soon"}},
        {"apiVersion": "example.com/v1", "kind": "Foo"},
    ],
)
def test_what_fits_no_message_is_not_written(obj: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec_protobuf.encode(obj)


def test_every_definition_has_a_reader_and_a_writer_and_a_number_for_each_field() -> None:
    for name in builtin_schemas():
        assert message_of(name) is not None
        write_message(name, {})
        numbers = numbers_of(name)
        if numbers:
            missing = builtin_schemas().struct(name).fields.keys() - numbers.keys()
            assert missing <= {"apiVersion", "kind", *UNNUMBERED}, name
        assert len(set(numbers.values())) == len(numbers), name

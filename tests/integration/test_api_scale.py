"""The scale subresource of all scalable types: reads, updates, patches, and what is refused."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    UNKNOWN_UID,
    Collection,
    Json,
    check_status,
    collection,
    deployment,
    named,
)
from tests.integration.cluster import Cluster

STALE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
SCALABLE = [
    ("v1", "replicationcontrollers"),
    ("apps/v1", "deployments"),
    ("apps/v1", "replicasets"),
    ("apps/v1", "statefulsets"),
]


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Cluster:
    """Nobody but the test writes a status."""
    return bare_cluster


@pytest.fixture
def deployments(cluster: Cluster, namespace: str) -> Collection:
    """Deployments of a new namespace."""
    return collection(cluster, namespace, "deployments", "apps/v1")


def _scalable(plural: str) -> Json:
    body = deployment("a", replicas=2)
    if plural == "replicationcontrollers":
        body["spec"]["selector"] = {"app": "a"}
    return body


@pytest.mark.parametrize(("version", "plural"), SCALABLE)
def test_scale_is_read_updated_and_patched(
    cluster: Cluster, namespace: str, version: str, plural: str
) -> None:
    workloads = collection(cluster, namespace, plural, version)
    made = workloads.made(_scalable(plural))
    scale = workloads.get("a/scale").json
    kept = ("name", "namespace", "uid", "creationTimestamp")
    # Its controller writes the status meanwhile.
    assert scale["metadata"].pop("resourceVersion")
    assert scale["status"].pop("replicas") in range(3)
    assert scale == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: made["metadata"][key] for key in kept},
        "spec": {"replicas": 2},
        "status": {"selector": "app=a"},
    }
    scale["spec"]["replicas"] = 3
    assert workloads.put("a/scale", scale).json["spec"] == {"replicas": 3}
    for number, (content_type, patch) in enumerate(
        [
            (MERGE, {"spec": {"replicas": 4}}),
            (STRATEGIC, {"spec": {"replicas": 5}}),
            (JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": 6}]),
        ],
        start=4,
    ):
        patched = workloads.patch("a/scale", patch, content_type=content_type).json
        assert patched["spec"] == {"replicas": number}
    now = workloads.get("a").json
    assert now["spec"] == {**made["spec"], "replicas": 6}
    assert now["metadata"]["generation"] == 5


def test_scale_to_zero_has_no_replicas_written(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    assert deployments.put("a/scale", named("a", spec={})).json["spec"] == {}
    assert deployments.get("a").json["spec"]["replicas"] == 0


def test_a_stale_scale_is_a_conflict(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    scale = deployments.get("a/scale").json
    deployments.patch("a", {"metadata": {"labels": {"k": "v"}}})
    scale["spec"]["replicas"] = 5
    message = f'Operation cannot be fulfilled on deployments.apps "a": {STALE}'
    check_status(deployments.put("a/scale", scale), 409, "Conflict", message)


def test_a_scale_of_another_uid_is_a_conflict(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    scale = {"metadata": {"name": "a", "uid": UNKNOWN_UID}, "spec": {"replicas": 5}}
    answer = deployments.put("a/scale", scale)
    assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert f"Precondition failed: UID in precondition: {UNKNOWN_UID}" in answer.json["message"]


def test_a_negative_scale_is_invalid(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    message = (
        'Scale.autoscaling "a" is invalid: spec.replicas: Invalid value: -1: '
        "must be greater than or equal to 0"
    )
    wanted = {"spec": {"replicas": -1}}
    for answer in (
        deployments.put("a/scale", named("a", **wanted)),
        deployments.patch("a/scale", wanted),
    ):
        check_status(answer, 422, "Invalid", message)


def test_a_scale_takes_no_object_of_another_kind(deployments: Collection) -> None:
    made = deployments.made(deployment("a"))
    message = (
        'Deployment in version "v1" cannot be handled as a Scale: converting (v1.Deployment) to '
        "(autoscaling.Scale): unknown conversion"
    )
    check_status(deployments.put("a/scale", made), 400, "BadRequest", message)
    assert deployments.get("a").json == made


def test_a_scale_that_cannot_be_decoded_is_named_a_scale(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    answer = deployments.put("a/scale", named("a", spec={"replicas": "x"}))
    assert answer.code == 400
    assert answer.json["message"].startswith(
        'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string'
    )
    patched = deployments.patch("a/scale", {"spec": {"replicas": "x"}})
    assert (patched.code, patched.json["details"]["causes"][0]["field"]) == (422, "patch")


def test_unknown_fields_of_a_scale_are_strictly_refused(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    wanted = {"spec": {"replicas": 1, "foo": 2}}
    strict = "?fieldValidation=Strict"
    message = (
        'Scale in version "v1" cannot be handled as a Scale: strict decoding error: '
        'unknown field "spec.foo"'
    )
    updated = deployments.put("a/scale", named("a", **wanted), strict)
    check_status(updated, 400, "BadRequest", message)
    patched = deployments.patch("a/scale", wanted, strict)
    assert patched.code == 422
    assert 'strict decoding error: unknown field "spec.foo"' in patched.json["message"]


def test_a_dry_run_of_a_scale_changes_nothing(deployments: Collection) -> None:
    made = deployments.made(deployment("a"))
    patch = {"spec": {"replicas": 9}}
    shown = deployments.patch("a/scale", patch, "?dryRun=All").json
    assert shown["spec"] == {"replicas": 9}
    assert shown["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert deployments.get("a").json == made


def test_the_scale_of_what_is_not_there_is_not_found(deployments: Collection) -> None:
    message = 'deployments.apps "a" not found'
    check_status(deployments.get("a/scale"), 404, "NotFound", message)
    check_status(deployments.patch("a/scale", {}), 404, "NotFound", message)
    check_status(deployments.put("a/scale", named("a")), 404, "NotFound", message)

"""Status of all kinds of types, finalize of namespaces, and subresources that are not there."""

from __future__ import annotations

from typing import Any, Final

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
    pod,
)
from tests.integration.cluster import Cluster

STALE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
NO_METHOD = "the server does not allow this method on the requested resource"
NOT_THERE = "the server could not find the requested resource"


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Cluster:
    """Nobody but the test writes a status."""
    return bare_cluster


@pytest.fixture
def deployments(cluster: Cluster, namespace: str) -> Collection:
    """Deployments of a new namespace."""
    return collection(cluster, namespace, "deployments", "apps/v1")


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """Pods of a new namespace."""
    return collection(cluster, namespace, "pods")


def test_a_status_update_changes_the_status_alone(deployments: Collection) -> None:
    made = deployments.made(deployment("a"))
    wanted = {**made, "status": {"replicas": 3}}
    wanted["spec"] = {**made["spec"], "replicas": 9}
    updated = deployments.put("a/status", wanted)
    assert updated.code == 200
    assert updated.json["status"] == {"replicas": 3}
    assert updated.json["spec"] == made["spec"]
    assert updated.json["metadata"]["generation"] == 1
    assert deployments.get("a/status").json == deployments.get("a").json == updated.json


def test_a_main_update_keeps_the_status(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    deployments.patch("a/status", {"status": {"replicas": 3}})
    current = deployments.get("a").json
    current["status"] = {"replicas": 7}
    current["spec"]["replicas"] = 2
    assert deployments.put("a", current).json["status"] == {"replicas": 3}


def test_a_status_update_without_a_spec_is_taken(deployments: Collection) -> None:
    made = deployments.made(deployment("a"))
    updated = deployments.put("a/status", named("a", status={"replicas": 1}))
    assert (updated.code, updated.json["spec"]) == (200, made["spec"])


def test_a_status_update_of_a_pod_changes_labels_but_no_owners(pods: Collection) -> None:
    made = pods.made(pod("a"))
    made["metadata"]["labels"] = {"k": "v"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": UNKNOWN_UID}
    made["metadata"]["ownerReferences"] = [owner]
    made["status"] = {"phase": "Running"}
    updated = pods.put("a/status", made).json
    assert updated["status"]["phase"] == "Running"
    assert updated["metadata"]["labels"] == {"k": "v"}
    assert "ownerReferences" not in updated["metadata"]


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets", "daemonsets"])
def test_a_status_update_keeps_the_labels_of_deployments_only(
    cluster: Cluster, namespace: str, plural: str
) -> None:
    workloads = collection(cluster, namespace, plural, "apps/v1")
    body = deployment("a")
    if plural == "daemonsets":
        del body["spec"]["replicas"]
    made = workloads.made(body)
    made["metadata"]["labels"] = {"k": "v"}
    updated = workloads.put("a/status", made)
    assert updated.code == 200
    labels = updated.json["metadata"].get("labels")
    assert labels == (None if plural == "deployments" else {"k": "v"})


_RULE: Final = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
}
STATUS_ALONE: Final[list[tuple[str, str, str, Json]]] = [
    (
        "storage.k8s.io/v1",
        "volumeattachments",
        "status-alone",
        {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    ),
    (
        "apiregistration.k8s.io/v1",
        "apiservices",
        "v1.example.com",
        {
            "group": "example.com",
            "version": "v1",
            "groupPriorityMinimum": 1,
            "versionPriority": 1,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "x", "name": "y"},
        },
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "status-alone",
        {
            "validations": [{"expression": "true"}],
            "matchConstraints": {"resourceRules": [_RULE]},
        },
    ),
]
CHANGES: Final = {
    "labels": {"k": "v"},
    "annotations": {"k": "v"},
    "finalizers": ["example.com/x"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": UNKNOWN_UID}],
}


@pytest.mark.parametrize(("version", "plural", "name", "spec"), STATUS_ALONE)
def test_a_status_update_of_some_types_changes_no_metadata(
    cluster: Cluster, version: str, plural: str, name: str, spec: Json
) -> None:
    objects = collection(cluster, "", plural, version)
    made = objects.made(named(name, spec=spec))
    answer = objects.patch(f"{name}/status", {"metadata": CHANGES})
    assert (answer.code, answer.json["metadata"]) == (200, made["metadata"])
    objects.delete(name)


def test_a_status_update_of_most_types_changes_metadata(cluster: Cluster) -> None:
    nodes = collection(cluster, "", "nodes")
    nodes.made(named("metadata-too"))
    changed = nodes.patch("metadata-too/status", {"metadata": CHANGES}).json["metadata"]
    assert {key: changed[key] for key in CHANGES} == CHANGES
    nodes.patch("metadata-too", {"metadata": {"finalizers": None}})
    nodes.delete("metadata-too")


def test_a_stale_status_update_is_a_conflict(pods: Collection) -> None:
    made = pods.made(pod("a"))
    pods.patch("a", {"metadata": {"labels": {"k": "v"}}})
    answer = pods.put("a/status", made)
    check_status(answer, 409, "Conflict", f'Operation cannot be fulfilled on pods "a": {STALE}')


def test_a_status_update_of_what_is_not_there_is_not_found(pods: Collection) -> None:
    answer = pods.put("a/status", named("a"))
    check_status(answer, 404, "NotFound", 'pods "a" not found')


CONDITION = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (MERGE, {"status": {"phase": "Running", "conditions": [CONDITION]}, "spec": {"x": 1}}),
        (STRATEGIC, {"status": {"phase": "Running", "conditions": [CONDITION]}}),
        (
            JSON_PATCH,
            [
                {"op": "add", "path": "/status/conditions", "value": [CONDITION]},
                {"op": "replace", "path": "/status/phase", "value": "Running"},
            ],
        ),
    ],
)
def test_a_status_takes_all_kinds_of_patches(
    pods: Collection, content_type: str, patch: Any
) -> None:
    before = pods.made(pod("a"))
    patched = pods.patch("a/status", patch, content_type=content_type).json
    assert patched["status"]["phase"] == "Running"
    assert [one["type"] for one in patched["status"]["conditions"]] == ["Ready"]
    assert patched["spec"] == before["spec"]


def test_a_strategic_patch_merges_conditions_by_type(pods: Collection) -> None:
    pods.made(pod("a"))
    pods.patch("a/status", {"status": {"conditions": [CONDITION]}}, content_type=STRATEGIC)
    more = {"status": {"conditions": [{"type": "Other", "status": "False"}]}}
    merged = pods.patch("a/status", more, content_type=STRATEGIC).json["status"]["conditions"]
    assert {one["type"] for one in merged} == {"Ready", "Other"}
    replaced = pods.patch("a/status", more, content_type=MERGE).json["status"]["conditions"]
    assert [one["type"] for one in replaced] == ["Other"]


def test_a_bad_status_is_invalid(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    answer = deployments.patch("a/status", {"status": {"replicas": -1}})
    assert (answer.code, answer.json["reason"]) == (422, "Invalid")
    assert answer.json["details"]["causes"][0]["field"] == "status.replicas"


def test_a_dry_run_of_a_status_changes_nothing(pods: Collection) -> None:
    before = pods.made(pod("a"))
    shown = pods.patch("a/status", {"status": {"phase": "Running"}}, "?dryRun=All")
    assert shown.json["status"]["phase"] == "Running"
    assert pods.get("a").json == before


def test_finalize_changes_the_finalizers_alone(cluster: Cluster, namespace: str) -> None:
    namespaces = collection(cluster, "", "namespaces")
    before = namespaces.get(namespace).json
    body = named(namespace, spec={"finalizers": ["kubernetes", "example.com/x"]})
    body["metadata"]["labels"] = {"k": "v"}
    body["status"] = {"phase": "Terminating"}
    updated = namespaces.put(f"{namespace}/finalize", body).json
    assert updated["spec"] == {"finalizers": ["kubernetes", "example.com/x"]}
    assert updated["status"] == {"phase": "Active"}
    # A main update cannot take them away.
    kept = namespaces.put(namespace, {**updated, "spec": {}}).json
    assert kept["spec"] == updated["spec"]
    namespaces.put(f"{namespace}/finalize", before)


def test_finalize_refuses_what_is_no_finalizer(cluster: Cluster, namespace: str) -> None:
    body = named(namespace, spec={"finalizers": ["nope"]})
    answer = collection(cluster, "", "namespaces").put(f"{namespace}/finalize", body)
    message = (
        f'Namespace "{namespace}" is invalid: spec.finalizers[0]: Invalid value: "nope": '
        "name is neither a standard finalizer name nor is it fully qualified"
    )
    check_status(answer, 422, "Invalid", message)


def test_a_deleted_namespace_goes_when_finalize_takes_its_last_finalizer(cluster: Cluster) -> None:
    namespaces = collection(cluster, "", "namespaces")
    namespaces.made(named("finalized"))
    held = {"finalizers": ["example.com/x"]}
    namespaces.put("finalized/finalize", named("finalized", spec=held))
    assert namespaces.delete("finalized").json["status"]["phase"] == "Terminating"
    assert namespaces.get("finalized").code == 200
    assert namespaces.put("finalized/finalize", named("finalized", spec={})).code == 200
    assert namespaces.get("finalized").code == 404


def test_unknown_subresources_are_not_found(cluster: Cluster, deployments: Collection) -> None:
    deployments.made(deployment("a"))
    for answer in (
        deployments.get("a/nope"),
        deployments.get("nope/nope"),
        deployments.put("a/binding", {}),
        collection(cluster, "", "nodes").get("a/scale"),
    ):
        assert check_status(answer, 404, "NotFound", NOT_THERE) == {}
        assert answer.json["details"] == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/apis/apps/v1/namespaces/x/deployments/a/status"),
        ("POST", "/apis/apps/v1/namespaces/x/deployments/a/scale"),
        ("POST", "/apis/apps/v1/namespaces/x/deployments/a"),
        ("PUT", "/apis/apps/v1/namespaces/x/deployments"),
        ("PATCH", "/apis/apps/v1/namespaces/x/deployments"),
        ("GET", "/api/v1/namespaces/x/pods/a/binding"),
        ("GET", "/api/v1/namespaces/x/pods/a/eviction"),
        ("GET", "/api/v1/namespaces/x/serviceaccounts/a/token"),
        ("GET", "/api/v1/namespaces/x/finalize"),
        ("PATCH", "/api/v1/namespaces/x/finalize"),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/namespaces/x/pods/a/log"),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews"),
    ],
)
def test_a_verb_that_is_not_served_is_not_allowed(cluster: Cluster, method: str, path: str) -> None:
    answer = cluster.call(method, path, None if method == "GET" else {})
    assert check_status(answer, 405, "MethodNotAllowed", NO_METHOD) == {}
    assert answer.json["details"] == {}


def test_a_job_without_labels_has_those_of_its_pods_from_the_start(
    cluster: Cluster, namespace: str
) -> None:
    """Defaults are applied to what is read back, when the selector has been generated."""
    jobs = collection(cluster, namespace, "jobs", "batch/v1")
    template = {"spec": {**pod("x")["spec"], "restartPolicy": "Never"}}
    made = jobs.made(named("a", spec={"template": template}))
    labels = made["metadata"]["labels"]
    assert labels == made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == "a"
    assert jobs.names("?labelSelector=job-name%3Da") == ["a"]
    assert jobs.patch("a/status", {"status": {"active": 1}}).json["metadata"]["labels"] == labels

"""Rules of update and patch: revision, generation, immutable fields, dry run, kinds of patches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.api_calls import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    UNKNOWN_UID,
    Collection,
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


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


@pytest.fixture
def deployments(cluster: Cluster, namespace: str) -> Collection:
    """Deployments of a new namespace."""
    return collection(cluster, namespace, "deployments", "apps/v1")


def test_update_replaces_the_whole_object(config_maps: Collection) -> None:
    obj = config_maps.made(named("a", data={"k": "v", "l": "w"}))
    before = obj["metadata"]["resourceVersion"]
    obj["data"] = {"k": "x"}
    updated = config_maps.put("a", obj)
    assert updated.code == 200
    assert updated.json["data"] == {"k": "x"}
    assert int(updated.json["metadata"]["resourceVersion"]) > int(before)
    assert config_maps.get("a").json == updated.json


def test_update_that_changes_nothing_keeps_the_revision(config_maps: Collection) -> None:
    obj = config_maps.made(named("a", data={"k": "v"}))
    assert config_maps.put("a", obj).json == obj


def test_stale_update_is_a_conflict(config_maps: Collection) -> None:
    stale = config_maps.made(named("a"))
    config_maps.patch("a", {"data": {"k": "v"}})
    answer = config_maps.put("a", {**stale, "data": {"k": "w"}})
    message = f'Operation cannot be fulfilled on configmaps "a": {STALE}'
    details = check_status(answer, 409, "Conflict", message)
    assert details == {"name": "a", "kind": "configmaps"}


def test_stale_update_of_a_group_names_the_group(deployments: Collection) -> None:
    stale = deployments.made(deployment("a"))
    deployments.patch("a", {"spec": {"replicas": 3}})
    stale["spec"]["replicas"] = 2
    message = f'Operation cannot be fulfilled on deployments.apps "a": {STALE}'
    details = check_status(deployments.put("a", stale), 409, "Conflict", message)
    assert details == {"name": "a", "group": "apps", "kind": "deployments"}


def test_update_without_a_revision_goes_where_the_type_allows_it(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    assert config_maps.put("a", named("a", data={"k": "v"})).json["data"] == {"k": "v"}


@pytest.mark.parametrize(
    ("version", "plural", "spec"),
    [
        ("coordination.k8s.io/v1", "leases", {}),
        ("policy/v1", "poddisruptionbudgets", {"minAvailable": 1}),
    ],
)
def test_update_without_a_revision_is_refused_where_the_type_needs_it(
    cluster: Cluster, namespace: str, version: str, plural: str, spec: dict[str, Any]
) -> None:
    objects = collection(cluster, namespace, plural, version)
    objects.made(named("a", spec=spec))
    answer = objects.put("a", named("a", spec=spec))
    group = version.partition("/")[0]
    message = (
        f'{plural}.{group} "a" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )
    check_status(answer, 422, "Invalid", message)


def test_update_of_another_uid_is_a_conflict(config_maps: Collection) -> None:
    obj = config_maps.made(named("a"))
    uid = obj["metadata"]["uid"]
    obj["metadata"]["uid"] = UNKNOWN_UID
    answer = config_maps.put("a", obj)
    assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert (
        f"Precondition failed: UID in precondition: {UNKNOWN_UID}, UID in object meta: {uid}"
        in answer.json["message"]
    )


def test_update_of_what_is_not_there_is_not_found(config_maps: Collection) -> None:
    answer = config_maps.put("a", named("a"))
    check_status(answer, 404, "NotFound", 'configmaps "a" not found')


def test_update_creates_a_lease_that_is_not_there(cluster: Cluster, namespace: str) -> None:
    leases = collection(cluster, namespace, "leases", "coordination.k8s.io/v1")
    assert leases.put("a", named("a", spec={})).code == 201
    assert leases.get("a").code == 200


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {},
            "the name of the object (a based on URL) was undeterminable: name must be provided",
        ),
        (
            {"name": "b"},
            "the name of the object (b) does not match the name on the URL (a)",
        ),
    ],
    ids=["none", "another"],
)
def test_update_names_the_object_of_its_url(
    config_maps: Collection, metadata: dict[str, Any], message: str
) -> None:
    config_maps.made(named("a"))
    check_status(config_maps.put("a", {"metadata": metadata}), 400, "BadRequest", message)


def test_update_in_another_namespace_is_refused(config_maps: Collection, namespace: str) -> None:
    config_maps.made(named("a"))
    message = (
        "the namespace of the provided object does not match the namespace sent on the request"
    )
    obj = {"metadata": {"name": "a", "namespace": "other"}}
    answer = config_maps.put("a", obj)
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")
    assert answer.json["message"] in (
        message,
        f"the namespace of the object (other) does not match the namespace on the request "
        f"({namespace})",
    )


def test_server_owned_metadata_cannot_be_changed(config_maps: Collection) -> None:
    obj = config_maps.made(named("a"))
    born = obj["metadata"]["creationTimestamp"]
    changed = config_maps.patch(
        "a",
        {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"x": "y"}}},
    )
    assert changed.json["metadata"]["creationTimestamp"] == born


def test_generation_counts_changes_of_the_spec_only(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    labelled = deployments.patch("a", {"metadata": {"labels": {"x": "y"}}})
    assert labelled.json["metadata"]["generation"] == 1
    scaled = deployments.patch("a", {"spec": {"replicas": 4}})
    assert scaled.json["metadata"]["generation"] == 2


def test_immutable_config_map_stays_as_it_is(config_maps: Collection) -> None:
    config_maps.made(named("a", data={"k": "v"}, immutable=True))
    answer = config_maps.patch("a", {"data": {"k": "w"}})
    message = (
        'ConfigMap "a" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    )
    check_status(answer, 422, "Invalid", message)


def test_deployment_selector_is_immutable(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    labels = {"app": "b"}
    body = {
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}},
        }
    }
    message = (
        'Deployment.apps "a" is invalid: spec.selector: Invalid value: '
        '{"matchLabels":{"app":"b"}}: field is immutable'
    )
    check_status(deployments.patch("a", body), 422, "Invalid", message)


def test_pod_spec_cannot_be_changed_but_for_images(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    pods.made(pod("a"))
    image = {"spec": {"containers": [{"name": "main", "image": "example.com/main:2"}]}}
    assert pods.patch("a", image, content_type=STRATEGIC).code == 200
    answer = pods.patch("a", {"spec": {"hostNetwork": True}})
    assert answer.code == 422
    assert (
        "spec: Forbidden: pod updates may not change fields other than" in (answer.json["message"])
    )


def test_dry_run_update_and_patch_store_nothing(config_maps: Collection) -> None:
    obj = config_maps.made(named("a", data={"k": "v"}))
    changed = {**obj, "data": {"k": "w"}}
    assert config_maps.put("a", changed, "?dryRun=All").json["data"] == {"k": "w"}
    patched = config_maps.patch("a", {"data": {"k": "x"}}, "?dryRun=All")
    assert patched.json["data"] == {"k": "x"}
    assert config_maps.get("a").json == obj


def test_merge_patch_of_null_removes_a_field(config_maps: Collection) -> None:
    config_maps.made(named("a", data={"k": "v", "l": "w"}))
    assert config_maps.patch("a", {"data": {"k": None}}).json["data"] == {"l": "w"}


def test_strategic_patch_merges_lists_by_their_keys(deployments: Collection) -> None:
    deployments.made(deployment("a"))
    container = {"name": "side", "image": "example.com/side:1"}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    merged = deployments.patch("a", body, content_type=STRATEGIC)
    containers = merged.json["spec"]["template"]["spec"]["containers"]
    assert sorted(one["name"] for one in containers) == ["main", "side"]
    replaced = deployments.patch("a", body)
    containers = replaced.json["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in containers] == ["side"]


def test_json_patch_tests_before_it_writes(config_maps: Collection) -> None:
    obj = config_maps.made(named("a", data={"k": "v"}))
    write = {"op": "replace", "path": "/data/k", "value": "w"}
    wrong = [{"op": "test", "path": "/data/k", "value": "x"}, write]
    answer = config_maps.patch("a", wrong, content_type=JSON_PATCH)
    assert (answer.code, answer.json["reason"]) == (422, "Invalid")
    assert config_maps.get("a").json == obj
    right = [{"op": "test", "path": "/data/k", "value": "v"}, write]
    assert config_maps.patch("a", right, content_type=JSON_PATCH).json["data"] == {"k": "w"}


def test_patch_with_a_revision_is_checked_against_it(config_maps: Collection) -> None:
    stale = config_maps.made(named("a"))["metadata"]["resourceVersion"]
    config_maps.patch("a", {"data": {"k": "v"}})
    body = {"metadata": {"resourceVersion": stale}, "data": {"k": "w"}}
    message = f'Operation cannot be fulfilled on configmaps "a": {STALE}'
    check_status(config_maps.patch("a", body), 409, "Conflict", message)


def test_patch_of_what_is_not_there_is_not_found(config_maps: Collection) -> None:
    answer = config_maps.patch("a", {"data": {"k": "v"}})
    check_status(answer, 404, "NotFound", 'configmaps "a" not found')


def test_patch_of_an_unknown_media_type_is_refused(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    answer = config_maps.patch("a", {}, content_type="application/json")
    assert (answer.code, answer.json["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json["message"].startswith(
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, "
        "application/strategic-merge-patch+json"
    )


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", MERGE),
        (b"[]", MERGE),
        (b"{}", JSON_PATCH),
        (b'[{"op":"jump","path":"/data"}]', JSON_PATCH),
        (b'{"data":[1]}', MERGE),
        (b'{"data":{"k":1}}', STRATEGIC),
        (b"[1]", STRATEGIC),
    ],
    ids=repr,
)
def test_what_is_no_patch_is_the_fault_of_the_client(
    config_maps: Collection, body: bytes, content_type: str
) -> None:
    obj = config_maps.made(named("a"))
    answer = config_maps.patch("a", body, content_type=content_type)
    assert answer.code in (400, 422), answer.body
    assert answer.json["reason"] in ("BadRequest", "Invalid")
    assert config_maps.get("a").json == obj


def test_many_patches_at_once_lose_nothing(config_maps: Collection) -> None:
    config_maps.made(named("a", data={}))

    def patch(number: int) -> int:
        return config_maps.patch("a", {"data": {f"k{number}": "v"}}).code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(patch, range(40))) == {200}
    assert len(config_maps.get("a").json["data"]) == 40

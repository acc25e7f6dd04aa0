"""Rules of delete: grace, finalizers, propagation, preconditions, collections, namespaces."""

from __future__ import annotations

import orjson
import pytest

from kube import codec_cbor
from tests.integration.api_calls import (
    UNKNOWN_UID,
    Collection,
    check_status,
    collection,
    deployment,
    labelled,
    named,
    pod,
)
from tests.integration.cluster import Cluster

HELD = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """Pods of a new namespace."""
    return collection(cluster, namespace, "pods")


def test_delete_answers_with_a_status_that_names_the_object(config_maps: Collection) -> None:
    obj = config_maps.made(named("a"))
    answer = config_maps.delete("a")
    assert answer.code == 200
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": obj["metadata"]["uid"]},
    }
    assert config_maps.get("a").code == 404


def test_delete_of_what_is_not_there_is_not_found(config_maps: Collection) -> None:
    answer = config_maps.delete("a")
    details = check_status(answer, 404, "NotFound", 'configmaps "a" not found')
    assert details == {"name": "a", "kind": "configmaps"}


def test_dry_run_delete_deletes_nothing(config_maps: Collection) -> None:
    obj = config_maps.made(named("a"))
    assert config_maps.delete("a", query="?dryRun=All").code == 200
    assert config_maps.delete("a", {"dryRun": ["All"]}).code == 200
    assert config_maps.get("a").json == obj


def test_finalizers_hold_an_object_until_the_last_is_gone(config_maps: Collection) -> None:
    config_maps.made(HELD)
    deleted = config_maps.delete("a")
    metadata = deleted.json["metadata"]
    assert deleted.code == 200
    assert (deleted.json["kind"], metadata["deletionGracePeriodSeconds"]) == ("ConfigMap", 0)
    assert metadata["deletionTimestamp"]
    assert config_maps.get("a").json == deleted.json
    freed = config_maps.patch("a", {"metadata": {"finalizers": None}})
    assert freed.code == 200
    assert config_maps.get("a").code == 404


def test_no_finalizer_can_be_added_to_what_is_being_deleted(config_maps: Collection) -> None:
    config_maps.made(HELD)
    config_maps.delete("a")
    body = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    answer = config_maps.patch("a", body)
    message = (
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added '
        'if the object is being deleted, found new finalizers []string{"example.com/more"}'
    )
    check_status(answer, 422, "Invalid", message)


def test_create_of_what_is_being_deleted_says_so(config_maps: Collection) -> None:
    config_maps.made(HELD)
    config_maps.delete("a")
    message = 'object is being deleted: configmaps "a" already exists'
    check_status(config_maps.create(named("a")), 409, "AlreadyExists", message)


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Orphan", ["orphan"]), ("Foreground", ["foregroundDeletion"])],
)
def test_propagation_is_handed_to_the_garbage_collector(
    cluster: Cluster, namespace: str, policy: str, finalizers: list[str]
) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    deployments.made(deployment("a"))
    deleted = deployments.delete("a", {"propagationPolicy": policy})
    assert deleted.code == 200
    assert deleted.json["metadata"]["finalizers"] == finalizers
    assert deleted.json["metadata"]["generation"] == 2


def test_propagation_in_the_background_needs_no_finalizer(cluster: Cluster, namespace: str) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    deployments.made(deployment("a"))
    assert deployments.delete("a", query="?propagationPolicy=Background").code == 200
    assert deployments.get("a").code == 404


def test_an_unknown_propagation_is_refused(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    message = (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Some": '
        'supported values: "Background", "Foreground", "Orphan", "nil"'
    )
    answer = config_maps.delete("a", {"propagationPolicy": "Some"})
    assert (answer.code, answer.json["reason"]) == (422, "Invalid")
    assert answer.json["message"].startswith(message.partition("supported")[0])


@pytest.mark.parametrize(
    ("preconditions", "text"),
    [
        (
            {"uid": UNKNOWN_UID},
            f"the UID in the precondition ({UNKNOWN_UID}) does not match the UID in record "
            "({uid}). The object might have been deleted and then recreated",
        ),
        (
            {"resourceVersion": "1"},
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion in "
            "record ({resourceVersion}). The object might have been modified",
        ),
    ],
    ids=["uid", "resourceVersion"],
)
def test_a_precondition_that_fails_is_a_conflict(
    config_maps: Collection, preconditions: dict[str, str], text: str
) -> None:
    obj = config_maps.made(named("a"))
    answer = config_maps.delete("a", {"preconditions": preconditions})
    why = text.format(**obj["metadata"])
    message = f'Operation cannot be fulfilled on ConfigMap "a": {why}'
    check_status(answer, 409, "Conflict", message)
    assert config_maps.get("a").json == obj


def test_preconditions_that_hold_let_the_delete_pass(config_maps: Collection) -> None:
    metadata = config_maps.made(named("a"))["metadata"]
    wanted = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    assert config_maps.delete("a", {"preconditions": wanted}).code == 200
    assert config_maps.get("a").code == 404


def test_a_pod_on_a_node_gets_its_grace(pods: Collection) -> None:
    pods.made(pod("a", node="n"))
    deleted = pods.delete("a")
    metadata = deleted.json["metadata"]
    assert (deleted.code, metadata["deletionGracePeriodSeconds"]) == (200, 30)
    assert metadata["deletionTimestamp"] > metadata["creationTimestamp"]
    assert pods.get("a").json == deleted.json


def test_a_later_delete_can_only_shorten_the_grace(pods: Collection) -> None:
    pods.made(pod("a", node="n"))
    pods.delete("a", {"gracePeriodSeconds": 20})
    longer = pods.delete("a", {"gracePeriodSeconds": 40})
    assert longer.json["metadata"]["deletionGracePeriodSeconds"] == 20
    shorter = pods.delete("a", query="?gracePeriodSeconds=5")
    assert shorter.json["metadata"]["deletionGracePeriodSeconds"] == 5


def test_a_pod_is_gone_at_once_with_no_grace(pods: Collection) -> None:
    pods.made(pod("a", node="n"))
    pods.delete("a")
    answer = pods.delete("a", {"gracePeriodSeconds": 0})
    assert (answer.code, answer.json["kind"]) == (200, "Pod")
    assert pods.get("a").code == 404


def test_a_pod_that_runs_nowhere_needs_no_grace(pods: Collection) -> None:
    pods.made(pod("a"))
    assert pods.delete("a").code == 200
    assert pods.get("a").code == 404


def test_a_pod_that_has_finished_needs_no_grace(pods: Collection) -> None:
    pods.made(pod("a", node="n"))
    assert pods.patch("a/status", {"status": {"phase": "Succeeded"}}).code == 200
    assert pods.delete("a").code == 200
    assert pods.get("a").code == 404


def test_grace_and_finalizers_hold_one_after_the_other(pods: Collection) -> None:
    obj = pod("a", node="n")
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    pods.made(obj)
    pods.delete("a")
    pods.delete("a", {"gracePeriodSeconds": 0})
    assert pods.get("a").json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert pods.patch("a", {"metadata": {"finalizers": None}}).code == 200
    assert pods.get("a").code == 404


def test_a_pod_without_grace_of_its_own_gets_what_is_asked_for(
    cluster: Cluster, namespace: str
) -> None:
    pods = collection(cluster, namespace, "pods")
    obj = pod("a", node="n")
    obj["spec"]["terminationGracePeriodSeconds"] = 0
    pods.made(obj)
    answer = pods.delete("a", {"gracePeriodSeconds": 20})
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 20
    pods.delete("a", {"gracePeriodSeconds": 0})


def test_the_first_delete_of_a_namespace_settles_what_becomes_of_its_dependents(
    cluster: Cluster, namespace: str
) -> None:
    namespaces = collection(cluster, "", "namespaces")
    held = collection(cluster, namespace, "configmaps")
    held.made({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    namespaces.delete(namespace)
    again = namespaces.delete(namespace, {"propagationPolicy": "Orphan"})
    assert "finalizers" not in again.json["metadata"]
    held.patch("a", {"metadata": {"finalizers": None}})


def test_delete_collection_takes_what_the_selector_takes(config_maps: Collection) -> None:
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        config_maps.made(labelled(name, {"colour": colour}))
    answer = config_maps.delete(query="?labelSelector=colour%3Dred")
    assert (answer.code, answer.json["kind"]) == (200, "ConfigMapList")
    assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "c"]
    assert config_maps.names("?labelSelector=colour") == ["b"]


@pytest.mark.parametrize(
    ("query", "left"), [("", 0), ("?limit=30", 5), ("?labelSelector=colour%3Dred", 0)]
)
@pytest.mark.parametrize("accept", ["application/json", "application/cbor"])
def test_what_delete_collection_cannot_keep_is_read_again_for_its_answer(
    cluster: Cluster, namespace: str, query: str, left: int, accept: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    names = [f"s{number:02}" for number in range(35)]
    for name in names:
        data = {"a": "x" * 100_000}
        secrets.made(labelled(name, {"colour": "red"}, stringData=data))
    headers = {"Accept": accept}
    listed = secrets.list(query, headers=headers)
    gone = cluster.call("DELETE", secrets.path + query, headers=headers)
    assert gone.code == 200
    decode = codec_cbor.decode if accept.endswith("cbor") else orjson.loads
    before, after = decode(listed.body), decode(gone.body)
    assert len(gone.body) > 2 << 20
    assert after["items"] == before["items"]
    for key in ("remainingItemCount", "resourceVersion"):
        assert after["metadata"].get(key) == before["metadata"].get(key)
    assert bool(after["metadata"].get("continue")) == bool(left)
    assert len(secrets.names()) == left


def test_delete_collection_of_nothing_is_a_success(config_maps: Collection) -> None:
    answer = config_maps.delete(query="?labelSelector=colour%3Dred")
    assert (answer.code, answer.json["items"]) == (200, [])


def test_dry_run_delete_collection_deletes_nothing(config_maps: Collection) -> None:
    config_maps.made(labelled("a", {"colour": "red"}))
    assert config_maps.delete(query="?labelSelector=colour&dryRun=All").code == 200
    assert config_maps.names("?labelSelector=colour") == ["a"]


def test_a_deleted_namespace_is_terminating_until_it_is_finalized(cluster: Cluster) -> None:
    namespaces = collection(cluster, "", "namespaces")
    namespaces.made(named("going"))
    deleted = namespaces.delete("going")
    assert deleted.json["status"]["phase"] == "Terminating"
    assert deleted.json["spec"] == {"finalizers": ["kubernetes"]}
    config_maps = collection(cluster, "going", "configmaps")
    message = (
        'configmaps "a" is forbidden: unable to create new content in namespace going because it '
        "is being terminated"
    )
    details = check_status(config_maps.create(named("a")), 403, "Forbidden", message)
    assert details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace going is being terminated",
            "field": "metadata.namespace",
        }
    ]
    body = {**deleted.json, "spec": {"finalizers": []}}
    assert namespaces.put("going/finalize", body).code == 200
    assert namespaces.get("going").code == 404


def test_the_namespaces_of_the_system_cannot_be_deleted(cluster: Cluster) -> None:
    for name in ("default", "kube-system", "kube-public"):
        answer = collection(cluster, "", "namespaces").delete(name)
        message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        check_status(answer, 403, "Forbidden", message)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"gracePeriodSeconds":"x"}'], ids=repr)
def test_what_are_no_delete_options_is_a_bad_request(config_maps: Collection, body: bytes) -> None:
    obj = config_maps.made(named("a"))
    answer = config_maps.cluster.call("DELETE", f"{config_maps.path}/a", body)
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")
    assert config_maps.get("a").json == obj

"""What becomes of dependents: by each rule of propagation, and by who their owners are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.api_calls import (
    UNKNOWN_UID,
    Collection,
    Json,
    check_status,
    collection,
    deployment,
    named,
)
from tests.integration.cluster import Cluster

PATIENCE_S = 30.0
FINALIZER = "example.com/hold"


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """The ConfigMaps of a namespace."""
    return collection(cluster, namespace, "configmaps")


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """The Secrets of a namespace."""
    return collection(cluster, namespace, "secrets")


def _until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` finds, as soon as it finds something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
    return found


def _gone(within: Collection, *names: str) -> None:
    for name in names:
        _until(lambda name=name: within.get(name).code == 404, f"{name} is still there")


def _by(*owners: Json, blocks: bool = True, **more: Any) -> list[Json]:
    """Return references to owners, as made by a controller."""
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
            **more,
        }
        for owner in owners
    ]


def _owned(name: str, references: list[Json], **more: Any) -> Json:
    return {"metadata": {"name": name, "ownerReferences": references, **more}}


def _policy(name: str) -> Json:
    return {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": name}


def _owners(within: Collection, name: str) -> list[str]:
    answer = within.get(name)
    assert answer.code == 200, answer.body
    return [one["name"] for one in answer.json["metadata"].get("ownerReferences") or ()]


def _settled(within: Collection, name: str) -> Json:
    """Return an object's metadata once the collector has surely looked at the namespace.

    What is created now, and owned by what never was, is collected when it has come so far.
    """
    absent = {"apiVersion": "v1", "kind": "Pod", "name": "absent", "uid": UNKNOWN_UID}
    namespace = within.path.split("/namespaces/")[1].split("/")[0]
    probes = collection(within.cluster, namespace, "configmaps")
    probe = probes.made(_owned(f"probe-{time.monotonic_ns()}", [absent]))
    _gone(probes, probe["metadata"]["name"])
    answer = within.get(name)
    assert answer.code == 200, answer.body
    metadata: Json = answer.json["metadata"]
    return metadata


# Background ---------------------------------------------------------------------------------


def test_in_the_background_the_owner_goes_at_once_and_its_dependents_after_it(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    child = secrets.made(_owned("child", _by(owner)))
    secrets.made(_owned("grandchild", _by(child)))
    assert config_maps.delete("owner", _policy("Background")).code == 200
    assert config_maps.get("owner").code == 404
    _gone(secrets, "child", "grandchild")


def test_without_a_policy_dependents_go_too(config_maps: Collection, secrets: Collection) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("child", _by(owner, blocks=False)))
    config_maps.delete("owner")
    _gone(secrets, "child")


def test_a_dependent_with_a_finalizer_waits_for_it(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("child", _by(owner), finalizers=[FINALIZER]))
    config_maps.delete("owner")
    _until(
        lambda: secrets.get("child").json["metadata"].get("deletionTimestamp"), "it is not deleted"
    )
    secrets.patch("child", {"metadata": {"finalizers": None}})
    _gone(secrets, "child")


def test_an_object_whose_owner_never_was_is_deleted(config_maps: Collection) -> None:
    absent = {"apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": UNKNOWN_UID}
    config_maps.made(_owned("child", [absent]))
    _gone(config_maps, "child")


def test_an_owner_replaced_by_another_of_its_name_is_none(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    wrong = _by(owner)
    wrong[0]["uid"] = UNKNOWN_UID
    secrets.made(_owned("child", wrong))
    _gone(secrets, "child")
    assert config_maps.get("owner").code == 200


def test_an_object_is_kept_by_one_owner_and_loses_its_references_to_those_gone(
    config_maps: Collection, secrets: Collection
) -> None:
    one, two = config_maps.made(named("one")), config_maps.made(named("two"))
    secrets.made(_owned("child", _by(one, two)))
    config_maps.delete("one")
    _until(lambda: _owners(secrets, "child") == ["two"], "it still names one")
    config_maps.delete("two")
    _gone(secrets, "child")


def test_a_name_that_no_object_can_have_leads_nowhere_else(
    cluster: Cluster, config_maps: Collection, namespace: str
) -> None:
    victim = config_maps.made(named("victim"))
    for name in ("../configmaps/victim", "..", "victim?x=1", "a/b", "%2e%2e", "victim#x"):
        reference = _by(victim, name=name)
        config_maps.made(_owned("child", reference))
        _gone(config_maps, "child")
    assert config_maps.get("victim").code == 200
    assert collection(cluster, "", "namespaces").get(namespace).code == 200


def test_a_kind_that_is_not_served_keeps_its_dependents(config_maps: Collection) -> None:
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": UNKNOWN_UID}
    config_maps.made(_owned("child", [unknown]))
    assert _settled(config_maps, "child")["ownerReferences"] == [unknown]


# Foreground ---------------------------------------------------------------------------------


def test_in_the_foreground_the_owner_waits_for_what_blocks_it(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("held", _by(owner), finalizers=[FINALIZER]))
    secrets.made(_owned("free", _by(owner)))
    answer = config_maps.delete("owner", _policy("Foreground"))
    assert answer.code == 200
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    _gone(secrets, "free")
    _until(lambda: secrets.get("held").json["metadata"].get("deletionTimestamp"), "not deleted")
    assert config_maps.get("owner").json["metadata"]["deletionTimestamp"]
    secrets.patch("held", {"metadata": {"finalizers": None}})
    _gone(secrets, "held")
    _gone(config_maps, "owner")


def test_in_the_foreground_what_does_not_block_is_not_waited_for(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("held", _by(owner, blocks=False), finalizers=[FINALIZER]))
    config_maps.delete("owner", _policy("Foreground"))
    _gone(config_maps, "owner")
    assert secrets.get("held").json["metadata"]["deletionTimestamp"]
    secrets.patch("held", {"metadata": {"finalizers": None}})


def test_in_the_foreground_dependents_with_dependents_wait_for_theirs(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    child = config_maps.made(_owned("child", _by(owner)))
    secrets.made(_owned("grandchild", _by(child), finalizers=[FINALIZER]))
    config_maps.delete("owner", _policy("Foreground"))
    _until(
        lambda: config_maps.get("child").json["metadata"].get("finalizers"), "child does not wait"
    )
    assert config_maps.get("child").json["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert config_maps.get("owner").code == 200
    secrets.patch("grandchild", {"metadata": {"finalizers": None}})
    _gone(config_maps, "child", "owner")


def test_a_dependent_of_another_owner_loses_the_reference_to_the_one_that_waits(
    config_maps: Collection, secrets: Collection
) -> None:
    one, two = config_maps.made(named("one")), config_maps.made(named("two"))
    secrets.made(_owned("child", _by(one, two)))
    config_maps.delete("one", _policy("Foreground"))
    _gone(config_maps, "one")
    assert _owners(secrets, "child") == ["two"]


def test_a_circle_of_owners_deleted_in_the_foreground_ends(config_maps: Collection) -> None:
    objects = [config_maps.made(named(name)) for name in "abc"]
    for number, name in enumerate("abc"):
        owner = objects[number - 1]
        config_maps.patch(name, {"metadata": {"ownerReferences": _by(owner)}})
    config_maps.delete("a", _policy("Foreground"))
    _gone(config_maps, *"abc")


def test_a_circle_of_owners_goes_as_a_whole_when_one_is_deleted(config_maps: Collection) -> None:
    one, two = config_maps.made(named("one")), config_maps.made(named("two"))
    config_maps.patch("one", {"metadata": {"ownerReferences": _by(two)}})
    config_maps.patch("two", {"metadata": {"ownerReferences": _by(one)}})
    config_maps.delete("one", _policy("Background"))
    _gone(config_maps, "one", "two")


# Orphan -------------------------------------------------------------------------------------


def test_orphans_lose_their_reference_before_their_owner_goes(
    config_maps: Collection, secrets: Collection
) -> None:
    owner, other = config_maps.made(named("owner")), config_maps.made(named("other"))
    for number in range(30):
        secrets.made(_owned(f"child-{number}", _by(owner, other)))
    answer = config_maps.delete("owner", _policy("Orphan"))
    assert answer.json["metadata"]["finalizers"] == ["orphan"]
    _gone(config_maps, "owner")
    for number in range(30):
        assert _owners(secrets, f"child-{number}") == ["other"]


def test_orphan_dependents_true_is_the_old_form_of_it(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("child", _by(owner)))
    config_maps.delete("owner", {"orphanDependents": True})
    _gone(config_maps, "owner")
    assert "ownerReferences" not in _settled(secrets, "child")


def test_a_finalizer_set_beforehand_says_how_dependents_are_treated(
    config_maps: Collection, secrets: Collection
) -> None:
    root = config_maps.made(named("root"))
    owner = config_maps.made(_owned("owner", _by(root), finalizers=["orphan"]))
    secrets.made(_owned("child", _by(owner)))
    config_maps.delete("root")
    _gone(config_maps, "root", "owner")
    assert "ownerReferences" not in _settled(secrets, "child")


# Namespaces ---------------------------------------------------------------------------------


def test_an_owner_in_another_namespace_is_none_and_an_event_says_so(
    cluster: Cluster, config_maps: Collection, namespace: str
) -> None:
    far = collection(cluster, "default", "configmaps")
    name = f"far-{namespace}"
    owner = far.made(named(name))
    config_maps.made(_owned("child", _by(owner)))
    _gone(config_maps, "child")
    assert far.get(name).code == 200
    events = collection(cluster, namespace, "events")
    found = _until(
        lambda: [
            event
            for event in events.list().json["items"]
            if event["reason"] == "OwnerRefInvalidNamespace"
        ],
        "no event",
    )
    uid = owner["metadata"]["uid"]
    identity = f"[v1/ConfigMap, namespace: {namespace}, name: {name}, uid: {uid}]"
    assert found[0]["message"] == f'ownerRef {identity} does not exist in namespace "{namespace}"'
    assert found[0]["type"] == "Warning"
    assert found[0]["involvedObject"]["name"] == "child"
    assert found[0]["source"]["component"] == "garbage-collector-controller"
    far.delete(name)


def test_an_object_of_the_cluster_named_by_one_in_a_namespace_is_its_owner(
    cluster: Cluster, config_maps: Collection, namespace: str
) -> None:
    roles = collection(cluster, "", "clusterroles", "rbac.authorization.k8s.io/v1")
    name = f"owner-{namespace}"
    owner = roles.made(named(name))
    config_maps.made(_owned("child", _by(owner)))
    assert _settled(config_maps, "child")["ownerReferences"]
    roles.delete(name)
    _gone(config_maps, "child")


def test_an_object_of_the_cluster_that_names_an_owner_in_a_namespace_is_kept(
    cluster: Cluster, config_maps: Collection, namespace: str
) -> None:
    owner = config_maps.made(named("owner"))
    roles = collection(cluster, "", "clusterroles", "rbac.authorization.k8s.io/v1")
    name = f"kept-{namespace}"
    roles.made(_owned(name, _by(owner)))
    config_maps.delete("owner")
    _settled(config_maps, "kube-root-ca.crt")
    assert roles.get(name).code == 200
    roles.delete(name)


# kubectl ------------------------------------------------------------------------------------


@pytest.mark.kubectl
@pytest.mark.parametrize("cascade", ["foreground", "background", "orphan"])
def test_kubectl_delete_cascades_as_asked(cluster: Cluster, namespace: str, cascade: str) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    replica_sets = collection(cluster, namespace, "replicasets", "apps/v1")
    owner = deployments.made(deployment("web", replicas=0))
    spec = {key: owner["spec"][key] for key in ("selector", "template")}
    replica_sets.made({**_owned("web-1", _by(owner)), "spec": {"replicas": 0, **spec}})
    cluster.kubectl("-n", namespace, "delete", "deployment", "web", f"--cascade={cascade}")
    assert deployments.get("web").code == 404
    if cascade == "orphan":
        assert "ownerReferences" not in _settled(replica_sets, "web-1")
    else:
        _gone(replica_sets, "web-1")


# The API's side -----------------------------------------------------------------------------


def test_no_finalizer_can_be_added_to_what_is_being_deleted(config_maps: Collection) -> None:
    config_maps.made({"metadata": {"name": "a", "finalizers": [FINALIZER]}})
    config_maps.delete("a")
    refused = config_maps.patch("a", {"metadata": {"finalizers": [FINALIZER, "x.io/new"]}})
    check_status(
        refused,
        422,
        "Invalid",
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added '
        'if the object is being deleted, found new finalizers []string{"x.io/new"}',
    )
    config_maps.patch("a", {"metadata": {"finalizers": None}})


def test_both_ways_to_say_what_becomes_of_dependents_are_one_too_many(
    config_maps: Collection,
) -> None:
    config_maps.made(named("a"))
    refused = config_maps.delete("a", {"orphanDependents": True, "propagationPolicy": "Orphan"})
    check_status(
        refused,
        422,
        "Invalid",
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
        "orphanDependents and deletionPropagation cannot be both set",
    )


def test_the_collectors_finalizer_follows_the_last_policy_that_was_asked_for(
    config_maps: Collection,
) -> None:
    config_maps.made({"metadata": {"name": "a", "finalizers": [FINALIZER, "orphan"]}})
    answer = config_maps.delete("a", _policy("Background"))
    assert answer.json["metadata"]["finalizers"] == [FINALIZER]
    config_maps.patch("a", {"metadata": {"finalizers": None}})


def test_a_dry_run_changes_neither_the_object_nor_its_dependents(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("child", _by(owner)))
    answer = config_maps.delete("owner", {**_policy("Foreground"), "dryRun": ["All"]})
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    _settled(secrets, "child")
    assert config_maps.get("owner").json == owner


def test_delete_collection_passes_its_policy_on(
    config_maps: Collection, secrets: Collection
) -> None:
    owner = config_maps.made(named("owner"))
    secrets.made(_owned("child", _by(owner)))
    answer = config_maps.delete(
        options=_policy("Orphan"), query="?fieldSelector=metadata.name=owner"
    )
    assert [one["metadata"]["name"] for one in answer.json["items"]] == ["owner"]
    _gone(config_maps, "owner")
    assert "ownerReferences" not in _settled(secrets, "child")

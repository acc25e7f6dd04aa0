"""What the controllers do: namespaces are emptied, and get what pods count on."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.integration.api_calls import (
    Collection,
    Json,
    check_status,
    collection,
    deployment,
    named,
    pod,
)
from tests.integration.cluster import Cluster

PATIENCE_S = 30.0
FINALIZER = "example.com/hold"
ONE_IS_HELD = {
    "NamespaceContentRemaining": (
        "Some resources are remaining: configmaps. has 1 resource instances"
    ),
    "NamespaceFinalizersRemaining": (
        f"Some content in the namespace has finalizers remaining: {FINALIZER} in 1 resource "
        "instances"
    ),
}
ROOT_CA = "kube-root-ca.crt"
FINE = {
    "NamespaceDeletionDiscoveryFailure": "All resources successfully discovered",
    "NamespaceDeletionGroupVersionParsingFailure": "All legacy kube types successfully parsed",
    "NamespaceDeletionContentFailure": (
        "All content successfully deleted, may be waiting on finalization"
    ),
    "NamespaceContentRemaining": "All content successfully removed",
    "NamespaceFinalizersRemaining": "All content-preserving finalizers finished",
}
_numbers = itertools.count(1)


@pytest.fixture
def namespaces(cluster: Cluster) -> Collection:
    """All namespaces."""
    return collection(cluster, "", "namespaces")


def _until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` finds, as soon as it finds something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
    return found


def _wait_until_gone(namespaces: Collection, name: str) -> None:
    _until(lambda: namespaces.get(name).code == 404, f"{name} is still there")


def _conditions(namespaces: Collection, name: str, key: str = "message") -> dict[str, str]:
    """Return a namespace's conditions: what `key` says of those that hold, and of the others."""
    status = namespaces.get(name).json["status"]
    return {item["type"]: item[key] for item in status.get("conditions") or ()}


def _wait_for_conditions(namespaces: Collection, name: str, **differing: str) -> None:
    wanted = {**FINE, **differing}
    _until(
        lambda: _conditions(namespaces, name) == wanted,
        f"not {differing} but {_conditions(namespaces, name)}",
    )
    states = _conditions(namespaces, name, "status")
    assert states == {kind: "True" if kind in differing else "False" for kind in FINE}


def _held(name: str, **more: Any) -> Json:
    return {"metadata": {"name": name, "finalizers": [FINALIZER]}, **more}


# Namespaces ---------------------------------------------------------------------------------


def test_a_deleted_namespace_takes_all_its_content_along(
    cluster: Cluster, namespace: str, namespaces: Collection
) -> None:
    contents: list[tuple[str, str, Json]] = [
        ("configmaps", "v1", named("a")),
        ("secrets", "v1", named("a")),
        ("pods", "v1", pod("a")),
        ("services", "v1", named("a", spec={"ports": [{"port": 80}]})),
        ("deployments", "apps/v1", deployment("a")),
        ("leases", "coordination.k8s.io/v1", named("a")),
        ("roles", "rbac.authorization.k8s.io/v1", named("a")),
        ("events", "v1", {**named("a"), "involvedObject": {"namespace": namespace}}),
    ]
    filled = []
    for plural, version, obj in contents:
        within = collection(cluster, namespace, plural, version)
        within.made(obj)
        filled.append(within)
    uid = namespaces.get(namespace).json["metadata"]["uid"]
    deleted = namespaces.delete(namespace).json
    assert deleted["status"]["phase"] == "Terminating"
    assert deleted["spec"]["finalizers"] == ["kubernetes"]
    _wait_until_gone(namespaces, namespace)
    assert namespaces.made(named(namespace))["metadata"]["uid"] != uid
    # Only a lookup by name tells: the new namespace is filled with what each has.
    assert {within.get("a").code for within in filled} == {404}


def test_a_finalizer_of_an_object_holds_its_namespace_and_conditions_say_so(
    cluster: Cluster, namespace: str, namespaces: Collection
) -> None:
    config_maps = collection(cluster, namespace, "configmaps")
    roles = collection(cluster, namespace, "roles", "rbac.authorization.k8s.io/v1")
    for name in ("a", "b"):
        config_maps.made(_held(name))
    roles.made(_held("a"))
    config_maps.made(named("free"))
    namespaces.delete(namespace)
    _wait_for_conditions(
        namespaces,
        namespace,
        NamespaceContentRemaining=(
            "Some resources are remaining: configmaps. has 2 resource instances, "
            "roles.rbac.authorization.k8s.io has 1 resource instances"
        ),
        NamespaceFinalizersRemaining=(
            "Some content in the namespace has finalizers remaining: "
            f"{FINALIZER} in 3 resource instances"
        ),
    )
    assert set(config_maps.names()) == {"a", "b"}
    assert config_maps.get("a").json["metadata"]["deletionTimestamp"]
    refused = config_maps.create(named("late"))
    details = check_status(
        refused,
        403,
        "Forbidden",
        f'configmaps "late" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated",
    )
    assert [cause["reason"] for cause in details["causes"]] == ["NamespaceTerminating"]
    for within, name in ((config_maps, "a"), (roles, "a")):
        assert within.patch(name, {"metadata": {"finalizers": None}}).code == 200
    _wait_for_conditions(
        namespaces,
        namespace,
        **ONE_IS_HELD,
    )
    assert config_maps.patch("b", {"metadata": {"finalizers": None}}).code == 200
    _wait_until_gone(namespaces, namespace)


def test_a_finalizer_of_the_namespace_itself_holds_it_when_it_is_empty(
    namespaces: Collection,
) -> None:
    name = f"held-{next(_numbers)}"
    namespaces.made(_held(name))
    namespaces.delete(name)
    left = _until(
        lambda: "finalizers" not in (spec := namespaces.get(name).json["spec"]) and [spec],
        "the content is not finalized",
    )
    assert left == [{}]
    assert _conditions(namespaces, name) == FINE
    assert namespaces.get(name).json["status"]["phase"] == "Terminating"
    assert namespaces.patch(name, {"metadata": {"finalizers": None}}).code == 200
    assert namespaces.get(name).code == 404


def test_a_finalizer_in_the_namespaces_spec_holds_it_until_it_is_finalized(
    namespaces: Collection,
) -> None:
    name = f"held-{next(_numbers)}"
    own = "example.com/own"
    made = namespaces.made({**named(name), "spec": {"finalizers": [own]}})
    assert made["spec"]["finalizers"] == [own, "kubernetes"]
    namespaces.delete(name)
    left = _until(
        lambda: (found := namespaces.get(name).json)["spec"].get("finalizers") == [own] and [found],
        "ours is not removed",
    )
    # A plain update cannot touch them.
    assert namespaces.patch(name, {"spec": {"finalizers": []}}).json["spec"]["finalizers"] == [own]
    assert namespaces.put(f"{name}/finalize", {**named(name), "spec": {}}).code == 200
    assert namespaces.get(name).code == 404
    assert left[0]["status"]["phase"] == "Terminating"


def test_a_pod_that_still_runs_holds_its_namespace_and_what_it_uses(
    cluster: Cluster, namespace: str, namespaces: Collection
) -> None:
    node = f"node-{next(_numbers)}"
    nodes, pods = collection(cluster, "", "nodes"), collection(cluster, namespace, "pods")
    secrets = collection(cluster, namespace, "secrets")
    nodes.made(named(node))
    pods.made(pod("a", node))
    secrets.made(named("used"))
    namespaces.delete(namespace)
    _wait_for_conditions(
        namespaces,
        namespace,
        NamespaceContentRemaining="Some resources are remaining: pods. has 1 resource instances",
    )
    assert pods.get("a").json["metadata"]["deletionGracePeriodSeconds"] == 30
    assert "deletionTimestamp" not in secrets.get("used").json["metadata"]
    # The kubelet says that it has ended.
    assert pods.delete("a", {"gracePeriodSeconds": 0}).code == 200
    _wait_until_gone(namespaces, namespace)
    assert nodes.delete(node).code == 200


def test_a_pod_whose_node_is_gone_does_not_hold_its_namespace(
    cluster: Cluster, namespace: str, namespaces: Collection
) -> None:
    node = f"node-{next(_numbers)}"
    nodes, pods = collection(cluster, "", "nodes"), collection(cluster, namespace, "pods")
    nodes.made(named(node))
    pods.made(pod("a", node))
    pods.made(pod("b", "was-never-there"))
    namespaces.delete(namespace)
    _until(lambda: pods.names() == ["a"], "only the pod on a node is to be left")
    assert nodes.delete(node).code == 200
    _wait_until_gone(namespaces, namespace)


def test_many_namespaces_deleted_at_once_all_go(cluster: Cluster, namespaces: Collection) -> None:
    names = [f"many-{next(_numbers)}" for _ in range(20)]
    for name in names:
        namespaces.made(named(name))
        collection(cluster, name, "configmaps").made(named("a"))
    with ThreadPoolExecutor(8) as pool:
        assert {answer.code for answer in pool.map(namespaces.delete, names)} == {200}
    for name in names:
        _wait_until_gone(namespaces, name)


# What every namespace has -------------------------------------------------------------------


def _appears(within: Collection, name: str, other_than: str = "") -> Json:
    """Return an object once it is there, with another uid than the one named."""

    def look() -> Json | None:
        answer = within.get(name)
        if answer.code != 200 or answer.json["metadata"]["uid"] == other_than:
            return None
        found: Json = answer.json
        return found

    found: Json = _until(look, f"{name} does not appear")
    return found


def _certificates(cluster: Cluster) -> str:
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text())
    text = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    return base64.b64decode(text).decode()


def test_each_namespace_gets_a_default_service_account_and_gets_it_back(
    cluster: Cluster, namespace: str
) -> None:
    accounts = collection(cluster, namespace, "serviceaccounts")
    first = _appears(accounts, "default")
    assert first.keys() == {"kind", "apiVersion", "metadata"}
    uid = first["metadata"]["uid"]
    assert accounts.delete("default").code == 200
    _appears(accounts, "default", other_than=uid)


def test_each_namespace_gets_the_clusters_certificates_and_gets_them_back(
    cluster: Cluster, namespace: str
) -> None:
    config_maps = collection(cluster, namespace, "configmaps")
    first = _appears(config_maps, ROOT_CA)
    assert first["data"] == {"ca.crt": _certificates(cluster)}
    assert first["metadata"]["annotations"].keys() == {"kubernetes.io/description"}
    assert config_maps.delete(ROOT_CA).code == 200
    again = _appears(config_maps, ROOT_CA, other_than=first["metadata"]["uid"])
    assert again["data"] == first["data"]


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"ca.crt": "wrong"}},
        {"data": {"more": "x"}},
        {"data": None},
        {"data": None, "binaryData": {"ca.crt": "AAAA"}},
        {"metadata": {"annotations": None}},
    ],
)
def test_changed_certificates_are_put_right(cluster: Cluster, namespace: str, change: Json) -> None:
    config_maps = collection(cluster, namespace, "configmaps")
    first = _appears(config_maps, ROOT_CA)
    assert config_maps.patch(ROOT_CA, change).code == 200

    def is_right() -> bool:
        found = config_maps.get(ROOT_CA).json
        annotations = found["metadata"].get("annotations")
        return bool(
            found["data"] == first["data"] and annotations == first["metadata"]["annotations"]
            if "data" in found
            else False
        )

    _until(is_right, f"not put right: {config_maps.get(ROOT_CA).json}")


def test_other_annotations_and_labels_of_the_certificates_are_left_alone(
    cluster: Cluster, namespace: str
) -> None:
    config_maps = collection(cluster, namespace, "configmaps")
    first = _appears(config_maps, ROOT_CA)
    mine = {"annotations": {"mine": "x"}, "labels": {"mine": "y"}}
    config_maps.patch(ROOT_CA, {"metadata": mine, "data": {"ca.crt": "wrong"}})
    _until(
        lambda: config_maps.get(ROOT_CA).json["data"] == first["data"], "the data is not put right"
    )
    metadata = config_maps.get(ROOT_CA).json["metadata"]
    assert (metadata["annotations"]["mine"], metadata["labels"]) == ("x", {"mine": "y"})


def test_the_system_namespaces_have_them_as_well(cluster: Cluster) -> None:
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        _appears(collection(cluster, name, "serviceaccounts"), "default")
        _appears(collection(cluster, name, "configmaps"), ROOT_CA)


def test_a_namespace_being_deleted_gets_nothing_back(
    cluster: Cluster, namespace: str, namespaces: Collection
) -> None:
    accounts = collection(cluster, namespace, "serviceaccounts")
    _appears(accounts, "default")
    collection(cluster, namespace, "configmaps").made(_held("a"))
    namespaces.delete(namespace)
    _until(lambda: accounts.names() == [], "the service account is not deleted")
    _wait_for_conditions(
        namespaces,
        namespace,
        **ONE_IS_HELD,
    )
    assert accounts.names() == []
    released = {"metadata": {"finalizers": None}}
    assert collection(cluster, namespace, "configmaps").patch("a", released).code == 200
    _wait_until_gone(namespaces, namespace)


def test_a_quota_is_counted_and_gives_back_what_is_gone(cluster: Cluster) -> None:
    space = f"quota-{next(_numbers)}"
    cluster.make_namespace(space)
    maps = collection(cluster, space, "configmaps")
    quotas = collection(cluster, space, "resourcequotas")
    hard = {"count/configmaps": "2"}
    assert quotas.create(named("q", spec={"hard": hard})).code == 201

    def used() -> Any:
        return (quotas.get("q").json["status"].get("used") or {}).get("count/configmaps")

    _until(lambda: used() == "1", "the namespace's own ConfigMap is not counted")
    assert maps.create(named("a")).code == 201
    assert used() == "2"
    assert maps.create(named("b")).code == 403
    assert maps.delete("a").code == 200
    _until(lambda: used() == "1", "what is gone is still charged")
    assert maps.create(named("b")).code == 201
    assert quotas.delete("q").code == 200
    assert maps.create(named("c")).code == 201


def test_a_claim_goes_when_no_pod_uses_it(cluster: Cluster) -> None:
    space = f"claims-{next(_numbers)}"
    cluster.make_namespace(space)
    claims = collection(cluster, space, "persistentvolumeclaims")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert claims.create(named("c", spec=spec)).code == 201
    assert claims.delete("c").code == 200
    _until(lambda: claims.get("c").code == 404, "the claim is still there")

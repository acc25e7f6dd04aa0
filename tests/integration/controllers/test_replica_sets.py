"""ReplicaSets and ReplicationControllers: as many pods as are wanted, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import PlayedKubelet, until

LABELS = {"app": "web"}
KINDS = [("replicasets", "apps/v1"), ("replicationcontrollers", "v1")]


@pytest.fixture(params=KINDS, ids=[kind for kind, _ in KINDS])
def owners(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Collection:
    """The namespace's owners of one of the two types."""
    return collection(cluster, namespace, *request.param)


@pytest.fixture
def kubelet(cluster: Cluster, namespace: str) -> PlayedKubelet:
    """Who runs the namespace's pods."""
    return PlayedKubelet(cluster, namespace)


def owner(owners: Collection, replicas: int, **spec: Any) -> Json:
    """Return an owner named web, of the collection's type."""
    selector: Json = {"matchLabels": LABELS} if "replicasets" in owners.path else LABELS
    template = {
        "metadata": {"labels": LABELS, "annotations": {"a": "b"}, "finalizers": []},
        "spec": {"containers": [{"name": "main", "image": "example.com/web:1"}]},
    }
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


def status_of(owners: Collection) -> Json:
    """Return the owner's status."""
    status: Json = owners.get("web").json["status"]
    return status


def owned_by(pod: Json) -> str:
    """Return the name of a pod's controller."""
    references = pod["metadata"].get("ownerReferences") or ()
    return next((one["name"] for one in references if one.get("controller")), "")


def test_there_are_as_many_pods_as_are_wanted_and_the_status_says_so(
    owners: Collection, kubelet: PlayedKubelet
) -> None:
    owners.made(owner(owners, 3))
    kubelet.until(lambda: status_of(owners).get("availableReplicas") == 3, "not three")
    assert status_of(owners)["fullyLabeledReplicas"] == 3
    owners.patch("web", {"spec": {"replicas": 1}})
    kubelet.until(lambda: len(kubelet.names()) == 1, "not one")
    until(lambda: status_of(owners)["observedGeneration"] == 2, "not seen")
    until(lambda: status_of(owners)["replicas"] == 1, "the status does not tell")
    owners.patch("web", {"spec": {"replicas": 0}})
    kubelet.until(lambda: not kubelet.names(), "not none")
    until(lambda: status_of(owners).get("readyReplicas", 0) == 0, "the status does not tell")


@pytest.mark.parametrize("end", ["deleted", "Failed", "Succeeded"])
def test_a_pod_that_is_lost_is_replaced(
    owners: Collection, kubelet: PlayedKubelet, end: str
) -> None:
    owners.made(owner(owners, 2))
    kubelet.until(lambda: status_of(owners).get("readyReplicas") == 2, "not ready")
    before = set(kubelet.names())
    lost = min(before)
    if end == "deleted":
        kubelet.pods.delete(lost)
    else:
        kubelet.ready(lost, phase=end, is_ready=False)
    until(lambda: set(kubelet.names()) - before, "not replaced")
    kubelet.until(lambda: status_of(owners).get("readyReplicas") == 2, "not ready again")
    assert len(set(kubelet.names()) - before) == 1


def test_pods_are_adopted_released_and_left_to_others(
    owners: Collection, kubelet: PlayedKubelet
) -> None:
    container = {"name": "main", "image": "example.com/web:1"}
    lonely = {"metadata": {"name": "lonely", "labels": LABELS}, "spec": {"containers": [container]}}
    kubelet.pods.made(lonely)
    owners.made(owner(owners, 2))
    until(lambda: owned_by(kubelet.pods.get("lonely").json) == "web", "not adopted")
    until(lambda: len(kubelet.names()) == 2, "not filled up")
    kubelet.pods.patch("lonely", {"metadata": {"labels": {"app": "other"}}})
    until(lambda: owned_by(kubelet.pods.get("lonely").json) == "", "not released")
    until(lambda: len(kubelet.names()) == 3, "not replaced")
    kubelet.pods.patch("lonely", {"metadata": {"labels": LABELS}})
    # One too many: it is adopted, and one of the three goes.
    until(lambda: len(kubelet.names()) == 2, "not one too many")


def test_what_goes_first_is_what_does_the_least(owners: Collection, kubelet: PlayedKubelet) -> None:
    owners.made(owner(owners, 3))
    kubelet.until(lambda: status_of(owners).get("readyReplicas") == 3, "not ready")
    cheap, broken, kept = kubelet.names()
    cost = "controller.kubernetes.io/pod-deletion-cost"
    kubelet.pods.patch(cheap, {"metadata": {"annotations": {cost: "-5"}}})
    kubelet.ready(broken, is_ready=False)
    until(lambda: status_of(owners)["readyReplicas"] == 2, "not seen")
    owners.patch("web", {"spec": {"replicas": 2}})
    kubelet.until(lambda: kubelet.names() == sorted([cheap, kept]), "not the broken one")
    owners.patch("web", {"spec": {"replicas": 1}})
    kubelet.until(lambda: kubelet.names() == [kept], "not the cheap one")


def test_pods_that_cannot_be_made_are_a_condition_until_they_can(
    owners: Collection, kubelet: PlayedKubelet
) -> None:
    refused = owner(owners, 2)
    # Templates' finalizers are not looked at, pods' are.
    refused["spec"]["template"]["metadata"]["finalizers"] = ["no name"]
    owners.made(refused)

    def failures() -> list[Json]:
        conditions: list[Json] = status_of(owners).get("conditions") or []
        return [one for one in conditions if one["type"] == "ReplicaFailure"]

    (failure,) = until(failures, "no condition")
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert "metadata.finalizers" in failure["message"]
    assert not kubelet.names()
    mended = {"spec": {"template": {"metadata": {"finalizers": None}}}}
    assert owners.patch("web", mended).code == 200
    until(lambda: len(kubelet.names()) == 2, "not tried again")
    until(lambda: not failures(), "the condition stays")


def test_an_owner_that_is_deleted_makes_no_more_pods(
    owners: Collection, kubelet: PlayedKubelet
) -> None:
    owners.made(owner(owners, 2))
    until(lambda: len(kubelet.names()) == 2, "not made")
    before = set(kubelet.names())
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    owners.patch("web", held)
    owners.delete("web", {"propagationPolicy": "Background"})
    kubelet.pods.delete(min(before))
    until(lambda: status_of(owners)["replicas"] == 1, "the status does not tell")
    assert set(kubelet.names()) < before
    owners.patch("web", {"metadata": {"finalizers": None}})

"""Deployments: what they roll out, hold, share, take back and tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import STRATEGIC, Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import BROKEN, PlayedKubelet, until

LABELS = {"app": "web"}
WEB1, WEB2, WEB3 = (f"example.com/web:{number}" for number in (1, 2, 3))
ROLLBACK = "deprecated.deployment.rollback.to"


@pytest.fixture
def deployments(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's Deployments."""
    return collection(cluster, namespace, "deployments", "apps/v1")


@pytest.fixture
def sets(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's ReplicaSets."""
    return collection(cluster, namespace, "replicasets", "apps/v1")


@pytest.fixture
def kubelet(cluster: Cluster, namespace: str) -> PlayedKubelet:
    """Who runs the namespace's pods."""
    return PlayedKubelet(cluster, namespace)


def deployment(replicas: int, image: str = WEB1, **spec: Any) -> Json:
    """Return a Deployment named web."""
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    selector = {"matchLabels": LABELS}
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


def set_image(deployments: Collection, image: str) -> None:
    """Ask for another template."""
    spec = {"containers": [{"name": "main", "image": image}]}
    answer = deployments.patch("web", {"spec": {"template": {"spec": spec}}}, "", STRATEGIC)
    assert answer.code == 200


def conditions(deployments: Collection) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    status = deployments.get("web").json["status"]
    return {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions") or ()}


def is_done(deployments: Collection, replicas: int) -> bool:
    """Tell whether so many pods are there, all new and available."""
    found = deployments.get("web").json
    status = found["status"]
    names = ("replicas", "updatedReplicas", "availableReplicas")
    return status.get("observedGeneration") == found["metadata"]["generation"] and all(
        status.get(name, 0) == replicas for name in names
    )


def sizes(sets: Collection) -> dict[str, int]:
    """Return how many replicas the ReplicaSet of each image wants."""
    return {
        one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"]
        for one in sets.list().json["items"]
    }


def test_a_rolling_update_stays_within_its_bounds(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 1}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    deployments.made(deployment(4, strategy=strategy))
    kubelet.until(lambda: is_done(deployments, 4), "not done")
    set_image(deployments, WEB2)
    most, least = 0, 9

    def updated() -> bool:
        nonlocal most, least
        most = max(most, sum(sizes(sets).values()))
        status = deployments.get("web").json["status"]
        least = min(least, status.get("availableReplicas", 0))
        return is_done(deployments, 4)

    kubelet.until(updated, "not updated")
    assert (most, least) == (5, 3)
    assert sizes(sets) == {WEB1: 0, WEB2: 4}
    until(
        lambda: conditions(deployments)["Progressing"] == ("True", "NewReplicaSetAvailable"),
        "progress does not end",
    )
    assert conditions(deployments)["Available"] == ("True", "MinimumReplicasAvailable")


def test_recreating_waits_until_the_last_old_pod_is_gone(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    deployments.made(deployment(2, strategy={"type": "Recreate"}))
    kubelet.until(lambda: is_done(deployments, 2), "not done")
    old = kubelet.names()
    set_image(deployments, WEB2)
    until(lambda: sizes(sets)[WEB1] == 0, "not scaled down")
    until(
        lambda: all("deletionTimestamp" in pod["metadata"] for pod in kubelet.all()), "not deleted"
    )
    kubelet.finish(old[0])
    until(lambda: kubelet.names() == old[1:], "not gone")
    assert sizes(sets).get(WEB2, 0) == 0
    kubelet.finish(old[1])
    kubelet.until(lambda: is_done(deployments, 2), "not made anew")


def test_a_paused_deployment_is_scaled_but_not_rolled_out(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    deployments.made(deployment(1))
    kubelet.until(lambda: is_done(deployments, 1), "not done")
    deployments.patch("web", {"spec": {"paused": True}})
    set_image(deployments, WEB2)
    deployments.patch("web", {"spec": {"replicas": 3}})
    kubelet.until(lambda: sizes(sets) == {WEB1: 3}, "not scaled")
    assert conditions(deployments)["Progressing"] == ("Unknown", "DeploymentPaused")
    deployments.patch("web", {"spec": {"paused": None}})
    kubelet.until(lambda: is_done(deployments, 3) and sizes(sets)[WEB2] == 3, "not rolled out")


def test_scaling_in_the_middle_of_an_update_is_shared(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    rolling = {"maxSurge": 3, "maxUnavailable": 2}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    deployments.made(deployment(10, strategy=strategy))
    kubelet.until(lambda: is_done(deployments, 10), "not done")
    set_image(deployments, BROKEN)
    kubelet.until(lambda: sizes(sets) == {WEB1: 8, BROKEN: 5}, "not in the middle")
    deployments.patch("web", {"spec": {"replicas": 30}})
    # 33 in all, as many more of each as there were: the documentation's example.
    kubelet.until(lambda: sizes(sets) == {WEB1: 20, BROKEN: 13}, "not shared")


@pytest.mark.parametrize(("revision", "image"), [("1", WEB1), ("0", WEB2)])
def test_an_annotation_asks_for_an_earlier_template(
    deployments: Collection,
    sets: Collection,
    kubelet: PlayedKubelet,
    revision: str,
    image: str,
) -> None:
    deployments.made(deployment(1))
    kubelet.until(lambda: is_done(deployments, 1), "not done")
    for number in (WEB2, WEB3):
        set_image(deployments, number)
        kubelet.until(lambda number=number: sizes(sets).get(number) == 1, "not updated")
        kubelet.until(lambda: is_done(deployments, 1), "not updated")
    deployments.patch("web", {"metadata": {"annotations": {ROLLBACK: revision}}})
    kubelet.until(lambda: sizes(sets)[image] == 1 and is_done(deployments, 1), "not rolled back")
    annotations = deployments.get("web").json["metadata"]["annotations"]
    assert ROLLBACK not in annotations
    assert annotations["deployment.kubernetes.io/revision"] == "4"


def test_a_revision_that_is_not_there_is_told_and_given_up(
    deployments: Collection, kubelet: PlayedKubelet, cluster: Cluster, namespace: str
) -> None:
    deployments.made(deployment(1))
    kubelet.until(lambda: is_done(deployments, 1), "not done")
    deployments.patch("web", {"metadata": {"annotations": {ROLLBACK: "7"}}})
    events = collection(cluster, namespace, "events")
    told = ("DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to.")
    until(
        lambda: told in {(one["reason"], one["message"]) for one in events.list().json["items"]},
        "not told",
    )
    assert ROLLBACK not in deployments.get("web").json["metadata"]["annotations"]


def test_a_name_that_is_taken_makes_the_next_one_differ(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    deployments.made(deployment(1))
    kubelet.until(lambda: is_done(deployments, 1), "not done")
    taken = sets.list().json["items"][0]
    deployments.delete("web", {"propagationPolicy": "Orphan"})
    until(lambda: deployments.get("web").code == 404, "not gone")
    until(lambda: "ownerReferences" not in sets.list().json["items"][0]["metadata"], "not freed")
    # Of the same name, but of another template, and not selected.
    sets.delete(taken["metadata"]["name"], {"propagationPolicy": "Background"})
    until(lambda: not sets.names(), "not gone")
    labels = {"app": "other"}
    spec = taken["spec"]
    spec["selector"], spec["template"]["metadata"]["labels"] = {"matchLabels": labels}, labels
    sets.made({"metadata": {"name": taken["metadata"]["name"]}, "spec": spec})
    deployments.made(deployment(1))
    kubelet.until(lambda: is_done(deployments, 1), "not made")
    assert deployments.get("web").json["status"]["collisionCount"] == 1


def test_progress_that_does_not_come_in_time_is_told(
    deployments: Collection, kubelet: PlayedKubelet
) -> None:
    deployments.made(deployment(1, BROKEN, progressDeadlineSeconds=1))
    kubelet.until(
        lambda: conditions(deployments).get("Progressing") == ("False", "ProgressDeadlineExceeded"),
        "not told",
    )
    set_image(deployments, WEB1)
    kubelet.until(lambda: is_done(deployments, 1), "not mended")


def test_only_so_many_old_sets_are_kept(
    deployments: Collection, sets: Collection, kubelet: PlayedKubelet
) -> None:
    deployments.made(deployment(1, revisionHistoryLimit=1))
    kubelet.until(lambda: is_done(deployments, 1), "not done")
    for image in (WEB2, WEB3):
        set_image(deployments, image)
        kubelet.until(
            lambda image=image: sizes(sets).get(image) == 1 and is_done(deployments, 1), "not done"
        )
    kubelet.until(lambda: sizes(sets) == {WEB2: 0, WEB3: 1}, "the oldest is kept")

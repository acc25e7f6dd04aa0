"""StatefulSets as upstream's end-to-end tests of them have it, without containers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import BROKEN, PlayedKubelet, until

LABELS = {"app": "web"}
WEB1, WEB2 = "example.com/web:1", "example.com/web:2"


@pytest.fixture
def sets(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's StatefulSets."""
    return collection(cluster, namespace, "statefulsets", "apps/v1")


@pytest.fixture
def claims(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's claims."""
    return collection(cluster, namespace, "persistentvolumeclaims")


@pytest.fixture
def kubelet(cluster: Cluster, namespace: str) -> PlayedKubelet:
    """Who runs the namespace's pods."""
    return PlayedKubelet(cluster, namespace)


def stateful_set(replicas: int, image: str = WEB1, **spec: Any) -> Json:
    """Return a set named web."""
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "serviceName": "web",
            "selector": {"matchLabels": LABELS},
            "template": template,
            **spec,
        },
    }


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def status_of(sets: Collection) -> Json:
    """Return the set's status."""
    status: Json = sets.get("web").json["status"]
    return status


def is_ready(sets: Collection, replicas: int) -> bool:
    """Tell whether the set is done with what is asked for."""
    found = sets.get("web").json
    status = found["status"]
    wanted = found["metadata"]["generation"]
    return (
        status.get("observedGeneration", 0) >= wanted
        and status.get("readyReplicas", 0) == replicas == status["replicas"]
        and status["currentRevision"] == status["updateRevision"]
    )


def image_patch(image: str) -> Json:
    """Return the patch of another template."""
    container = {"name": "main", "image": image}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def scale(sets: Collection, replicas: int) -> None:
    """Ask for another number of pods."""
    assert sets.patch("web", {"spec": {"replicas": replicas}}).code == 200


def images(kubelet: PlayedKubelet) -> dict[str, str]:
    """Return the pods' images by name."""
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in kubelet.all()}


def uid_of(kubelet: PlayedKubelet, name: str) -> str:
    """Return the uid of a pod, "" if it is not there."""
    found = kubelet.pods.get(name)
    return str(found.json["metadata"]["uid"]) if found.code == 200 else ""


def test_pods_are_made_in_order_each_when_the_one_before_is_ready(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(3))
    for count in (1, 2, 3):
        names = [f"web-{number}" for number in range(count)]
        until(lambda names=names: kubelet.names() == names, f"not {names}")
        last = kubelet.pods.get(names[-1]).json
        kubelet.bind(last)
        kubelet.ready(names[-1])
    until(lambda: is_ready(sets, 3), "not ready")
    pod = kubelet.pods.get("web-2").json
    revision = status_of(sets)["currentRevision"]
    assert pod["metadata"]["generateName"] == "web-"
    assert pod["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "2",
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": "web-2",
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-2", "web")


def test_an_ordered_set_neither_grows_nor_shrinks_while_a_pod_is_not_ready(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(3))
    kubelet.until(lambda: is_ready(sets, 3), "not ready")
    kubelet.ready("web-0", is_ready=False)
    until(lambda: status_of(sets).get("readyReplicas") == 2, "the status does not tell")
    scale(sets, 1)
    until(lambda: status_of(sets)["observedGeneration"] == 2, "not seen")
    scale(sets, 5)
    until(lambda: status_of(sets)["observedGeneration"] == 3, "not seen")
    assert kubelet.names() == ["web-0", "web-1", "web-2"]
    kubelet.ready("web-0")
    kubelet.until(lambda: is_ready(sets, 5), "does not grow")
    scale(sets, 1)
    seen: list[list[str]] = []

    def shrunk() -> bool:
        names = kubelet.names()
        if not seen or seen[-1] != names:
            seen.append(names)
        return is_ready(sets, 1)

    kubelet.until(shrunk, "does not shrink")
    assert all(names == [f"web-{at}" for at in range(len(names))] for names in seen)


def test_a_parallel_set_makes_and_deletes_all_at_once(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(4, podManagementPolicy="Parallel"))
    until(lambda: len(kubelet.names()) == 4, "not all at once")
    scale(sets, 0)
    until(lambda: not kubelet.names(), "not all gone")
    until(lambda: status_of(sets)["replicas"] == 0, "the status does not tell")


def test_ordinals_start_where_they_are_to(sets: Collection, kubelet: PlayedKubelet) -> None:
    sets.made(stateful_set(2, ordinals={"start": 5}))
    kubelet.until(lambda: is_ready(sets, 2), "not ready")
    assert kubelet.names() == ["web-5", "web-6"]
    sets.patch("web", {"spec": {"ordinals": {"start": 6}}})
    kubelet.until(lambda: kubelet.names() == ["web-6", "web-7"], "not moved")


def test_a_rolling_update_goes_from_the_last_pod_down_and_its_revision_becomes_current(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(3))
    kubelet.until(lambda: is_ready(sets, 3), "not ready")
    before = status_of(sets)["currentRevision"]
    sets.patch("web", image_patch(WEB2), content_type="application/strategic-merge-patch+json")
    orders: list[list[str]] = []

    def updated() -> bool:
        old = [name for name, image in images(kubelet).items() if image == WEB1]
        if not orders or orders[-1] != sorted(old):
            orders.append(sorted(old))
        return is_ready(sets, 3) and not old

    kubelet.until(updated, "not updated")
    full = ["web-0", "web-1", "web-2"]
    assert all(old == full[: len(old)] for old in orders), orders
    status = status_of(sets)
    assert status["currentRevision"] == status["updateRevision"] != before
    assert status["currentReplicas"] == status["updatedReplicas"] == 3


def test_a_partition_holds_pods_back_and_a_deleted_one_comes_back_as_it_was(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    sets.made(stateful_set(3, updateStrategy=rolling))
    kubelet.until(lambda: is_ready(sets, 3), "not ready")
    sets.patch("web", image_patch(WEB2), content_type="application/strategic-merge-patch+json")

    def is_partial() -> bool:
        return images(kubelet) == {"web-0": WEB1, "web-1": WEB1, "web-2": WEB2} and (
            status_of(sets).get("readyReplicas") == 3
        )

    kubelet.until(is_partial, "the canary is not there")
    for name in ("web-0", "web-2"):
        uid = uid_of(kubelet, name)
        kubelet.pods.delete(name)
        kubelet.until(lambda name=name, uid=uid: uid_of(kubelet, name) not in ("", uid), "no new")
        kubelet.until(is_partial, "it came back as another")
    until(lambda: status_of(sets).get("updatedReplicas") == 1, "counts are wrong")
    status = status_of(sets)
    assert status["currentRevision"] != status["updateRevision"]
    assert status["currentReplicas"] == 2
    sets.patch("web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    kubelet.until(lambda: is_ready(sets, 3), "not rolled out")
    assert set(images(kubelet).values()) == {WEB2}


def test_pods_of_on_delete_change_when_they_are_deleted(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(2, updateStrategy={"type": "OnDelete"}))
    kubelet.until(lambda: is_ready(sets, 2), "not ready")
    sets.patch("web", image_patch(WEB2), content_type="application/strategic-merge-patch+json")
    until(lambda: status_of(sets)["observedGeneration"] == 2, "not seen")
    assert set(images(kubelet).values()) == {WEB1}
    kubelet.pods.delete("web-1")
    kubelet.until(
        lambda: images(kubelet) == {"web-0": WEB1, "web-1": WEB2}, "not made by the new template"
    )


def test_an_update_takes_as_many_pods_at_a_time_as_may_be_missing(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    sets.made(stateful_set(4, podManagementPolicy="Parallel", updateStrategy=rolling))
    kubelet.until(lambda: is_ready(sets, 4), "not ready")
    sets.patch("web", image_patch(WEB2), content_type="application/strategic-merge-patch+json")

    def deleting() -> list[str]:
        return sorted(
            pod["metadata"]["name"]
            for pod in kubelet.all()
            if "deletionTimestamp" in pod["metadata"]
        )

    until(lambda: deleting() == ["web-2", "web-3"], "not two at a time")
    until(lambda: status_of(sets).get("currentReplicas") == 2, "the status does not tell")
    assert deleting() == ["web-2", "web-3"]
    kubelet.until(lambda: is_ready(sets, 4), "not updated")


def test_a_broken_update_is_rolled_back_when_its_pod_is_deleted(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(2))
    kubelet.until(lambda: is_ready(sets, 2), "not ready")
    first = status_of(sets)["currentRevision"]
    sets.patch("web", image_patch(BROKEN), content_type="application/strategic-merge-patch+json")
    kubelet.until(lambda: images(kubelet).get("web-1") == BROKEN, "not tried")
    sets.patch("web", image_patch(WEB1), content_type="application/strategic-merge-patch+json")
    until(lambda: status_of(sets)["updateRevision"] == first, "the old revision is not found")
    until(lambda: status_of(sets)["observedGeneration"] == 3, "not seen")
    # An ordered set waits for the broken pod (kubernetes issue 67250): somebody has to delete it.
    assert images(kubelet) == {"web-0": WEB1, "web-1": BROKEN}
    kubelet.pods.delete("web-1")
    kubelet.until(lambda: is_ready(sets, 2), "not mended")
    assert status_of(sets)["currentRevision"] == first


def test_a_parallel_set_replaces_broken_pods_by_what_mends_them(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(3, BROKEN, podManagementPolicy="Parallel"))
    kubelet.until(lambda: len(kubelet.names()) == 3, "not made")
    sets.patch("web", image_patch(WEB1), content_type="application/strategic-merge-patch+json")
    kubelet.until(lambda: is_ready(sets, 3), "the broken pods keep the update from coming")


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_made_anew(
    sets: Collection, kubelet: PlayedKubelet, phase: str
) -> None:
    sets.made(stateful_set(1))
    kubelet.until(lambda: is_ready(sets, 1), "not ready")
    uid = uid_of(kubelet, "web-0")
    kubelet.ready("web-0", phase=phase, is_ready=False)
    kubelet.until(
        lambda: uid_of(kubelet, "web-0") not in ("", uid) and is_ready(sets, 1),
        "not made anew",
    )


def test_a_set_takes_over_orphans_of_its_names_and_lets_others_go(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(1))
    kubelet.until(lambda: is_ready(sets, 1), "not ready")

    def owners() -> list[Json]:
        found: list[Json] = kubelet.pods.get("web-0").json["metadata"].get("ownerReferences") or []
        return found

    kubelet.pods.patch("web-0", {"metadata": {"ownerReferences": None}})
    until(owners, "not adopted")
    kubelet.pods.patch("web-0", {"metadata": {"labels": {"app": "other"}}})
    until(lambda: not owners(), "not released")
    kubelet.pods.patch("web-0", {"metadata": {"labels": {"app": "web"}}})
    until(owners, "not adopted again")


def test_each_pod_has_claims_of_its_own_that_outlive_it(
    sets: Collection, kubelet: PlayedKubelet, claims: Collection
) -> None:
    sets.made(stateful_set(2, volumeClaimTemplates=[CLAIM]))
    kubelet.until(lambda: is_ready(sets, 2), "not ready")
    assert sorted(claims.names()) == ["data-web-0", "data-web-1"]
    claim = claims.get("data-web-1").json
    assert claim["metadata"]["labels"] == LABELS
    assert "ownerReferences" not in claim["metadata"]
    volume = kubelet.pods.get("web-1").json["spec"]["volumes"][0]
    assert volume["name"] == "data"
    assert volume["persistentVolumeClaim"]["claimName"] == "data-web-1"
    scale(sets, 0)
    kubelet.until(lambda: not kubelet.names(), "not gone")
    assert sorted(claims.names()) == ["data-web-0", "data-web-1"]


def test_claims_go_with_the_pods_that_are_too_many_or_with_the_set(
    sets: Collection, kubelet: PlayedKubelet, claims: Collection
) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    made = stateful_set(
        2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy
    )
    sets.made(made)
    kubelet.until(lambda: is_ready(sets, 2), "not ready")

    def owner(name: str) -> str:
        references = claims.get(name).json["metadata"].get("ownerReferences") or [{}]
        return str(references[0].get("kind"))

    assert (owner("data-web-0"), owner("data-web-1")) == ("StatefulSet", "StatefulSet")
    # The finalizer that upstream protects claims in use with is not what is tested.
    scale(sets, 1)
    kubelet.until(lambda: kubelet.names() == ["web-0"], "not scaled down")

    def left() -> list[str]:
        for name in claims.names():
            found = claims.get(name)
            if found.code == 200 and "deletionTimestamp" in found.json["metadata"]:
                claims.patch(name, {"metadata": {"finalizers": None}})
        return claims.names()

    kubelet.until(lambda: left() == ["data-web-0"], "its claim did not go along")
    scale(sets, 2)
    kubelet.until(lambda: is_ready(sets, 2), "not back")
    sets.delete("web")
    kubelet.until(lambda: not left(), "the set's claims did not go along")


def test_a_change_of_the_policy_reaches_the_claims_that_are_there(
    sets: Collection, kubelet: PlayedKubelet, claims: Collection
) -> None:
    sets.made(stateful_set(1, volumeClaimTemplates=[CLAIM]))
    kubelet.until(lambda: is_ready(sets, 1), "not ready")

    def owners() -> list[Json]:
        found: list[Json] = claims.get("data-web-0").json["metadata"].get("ownerReferences") or []
        return found

    for policy in ("Delete", "Retain"):
        change = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": policy}}
        sets.patch("web", {"spec": change})
        until(lambda policy=policy: bool(owners()) == (policy == "Delete"), f"not {policy}")


def test_a_lost_claim_of_a_pod_that_waits_is_made_again(
    sets: Collection, kubelet: PlayedKubelet, claims: Collection
) -> None:
    sets.made(stateful_set(1, volumeClaimTemplates=[CLAIM]))
    until(kubelet.names, "not made")
    uid = claims.get("data-web-0").json["metadata"]["uid"]
    claims.patch("data-web-0", {"metadata": {"finalizers": None}})
    claims.delete("data-web-0")
    kubelet.pods.patch("web-0", {"metadata": {"annotations": {"a": "b"}}})
    found = until(
        lambda: (answer := claims.get("data-web-0")).code == 200 and answer.json, "not made again"
    )
    assert found["metadata"]["uid"] != uid


def test_a_pod_counts_as_available_when_it_has_been_ready_for_long_enough(
    sets: Collection, kubelet: PlayedKubelet
) -> None:
    sets.made(stateful_set(2, minReadySeconds=3))
    kubelet.until(lambda: status_of(sets).get("readyReplicas") == 1, "not ready")
    assert status_of(sets)["availableReplicas"] == 0
    assert kubelet.names() == ["web-0"]
    kubelet.until(lambda: status_of(sets)["availableReplicas"] == 2, "not available")


def test_only_so_many_old_revisions_are_remembered(
    sets: Collection, kubelet: PlayedKubelet, cluster: Cluster, namespace: str
) -> None:
    sets.made(stateful_set(1, revisionHistoryLimit=1))
    kubelet.until(lambda: is_ready(sets, 1), "not ready")
    for number in (2, 3, 4):
        patch = image_patch(f"example.com/web:{number}")
        sets.patch("web", patch, content_type="application/strategic-merge-patch+json")
        kubelet.until(lambda: is_ready(sets, 1), "not updated")
    revisions = collection(cluster, namespace, "controllerrevisions", "apps/v1")
    until(lambda: len(revisions.names()) == 2, "the oldest are not forgotten")
    assert sorted(one["revision"] for one in revisions.list().json["items"]) == [3, 4]


def test_what_a_set_does_is_told_as_events(
    sets: Collection, kubelet: PlayedKubelet, cluster: Cluster, namespace: str
) -> None:
    sets.made(stateful_set(1, volumeClaimTemplates=[CLAIM]))
    kubelet.until(lambda: is_ready(sets, 1), "not ready")
    scale(sets, 0)
    kubelet.until(lambda: not kubelet.names(), "not gone")
    events = collection(cluster, namespace, "events")
    wanted = {
        ("SuccessfulCreate", "create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful"),
        ("SuccessfulDelete", "delete Pod web-0 in StatefulSet web successful"),
    }
    until(
        lambda: wanted <= {(one["reason"], one["message"]) for one in events.list().json["items"]},
        "not told",
    )

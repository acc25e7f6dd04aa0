"""DaemonSets as upstream's end-to-end tests of them have it, without containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api_calls import STRATEGIC, Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.played_kubelet import PlayedKubelet, target_of, until

LABELS = {"app": "agent"}
AGENT1, AGENT2 = "example.com/agent:1", "example.com/agent:2"
FLEET = "example.com/fleet"


class Fleet:
    """Nodes that only one test's daemons are to run on."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.nodes = collection(cluster, "", "nodes")
        self.name = name

    def add(self, number: int, *taints: Json, **labels: str) -> str:
        """Add a node and return its name."""
        name = f"{self.name}-{number}"
        metadata = {"name": name, "labels": {FLEET: self.name, **labels}}
        self.nodes.made({"metadata": metadata, "spec": {"taints": list(taints)}})
        return name

    def taint(self, name: str, *taints: Json) -> None:
        """Give a node these taints."""
        assert self.nodes.patch(name, {"spec": {"taints": list(taints)}}).code == 200

    def label(self, name: str, **labels: str | None) -> None:
        """Give a node labels, or take them away."""
        assert self.nodes.patch(name, {"metadata": {"labels": labels}}).code == 200


@pytest.fixture
def fleet(cluster: Cluster, namespace: str) -> Iterator[Fleet]:
    """The test's nodes: two at the start."""
    made = Fleet(cluster, namespace)
    for number in (1, 2):
        made.add(number)
    yield made
    for name in made.nodes.names(f"?labelSelector={FLEET}={namespace}"):
        made.nodes.delete(name)


@pytest.fixture
def sets(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's DaemonSets."""
    return collection(cluster, namespace, "daemonsets", "apps/v1")


@pytest.fixture
def kubelet(cluster: Cluster, namespace: str) -> PlayedKubelet:
    """Who runs the namespace's pods."""
    return PlayedKubelet(cluster, namespace)


def daemon_set(fleet: Fleet, *, pod: Json | None = None, **spec: Any) -> Json:
    """Return a set for the fleet named agent; `pod` goes into its pods' spec."""
    containers = [{"name": "main", "image": AGENT1}]
    template = {
        "metadata": {"labels": LABELS},
        "spec": {
            "containers": containers,
            "nodeSelector": {FLEET: fleet.name},
            **(pod or {}),
        },
    }
    return {
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec},
    }


def status_of(sets: Collection) -> Json:
    """Return the set's status."""
    status: Json = sets.get("agent").json["status"]
    return status


def is_done(sets: Collection, count: int) -> bool:
    """Tell whether so many daemons are there, new and available."""
    found = sets.get("agent").json
    status = found["status"]
    names = ("desiredNumberScheduled", "numberAvailable", "updatedNumberScheduled")
    return status.get("observedGeneration") == found["metadata"]["generation"] and all(
        status.get(name, 0) == count for name in names
    )


def nodes_of(kubelet: PlayedKubelet) -> list[str]:
    """Return the nodes that the living pods are for, in order."""
    return sorted(
        pod["spec"].get("nodeName") or target_of(pod)
        for pod in kubelet.all()
        if "deletionTimestamp" not in pod["metadata"]
    )


def update(sets: Collection, image: str = AGENT2) -> None:
    """Ask for another template."""
    spec = {"containers": [{"name": "main", "image": image}]}
    assert sets.patch("agent", {"spec": {"template": {"spec": spec}}}, "", STRATEGIC).code == 200


def images(kubelet: PlayedKubelet) -> set[str]:
    """Return the images of the pods."""
    return {pod["spec"]["containers"][0]["image"] for pod in kubelet.all()}


def no(effect: str, key: str = "example.com/away") -> Json:
    """Return a taint."""
    return {"key": key, "value": "yes", "effect": effect}


def test_each_node_gets_a_pod_that_names_it_and_tolerates_what_daemons_do(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    preferred = {
        "weight": 1,
        "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
    }
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}
    sets.made(daemon_set(fleet, pod={"affinity": affinity}))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    assert nodes_of(kubelet) == [f"{fleet.name}-1", f"{fleet.name}-2"]
    pod = kubelet.all()[0]
    found = pod["spec"]["affinity"]["nodeAffinity"]
    rule = {"key": "metadata.name", "operator": "In", "values": [pod["spec"]["nodeName"]]}
    assert found == {
        "preferredDuringSchedulingIgnoredDuringExecution": [preferred],
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [rule]}]
        },
    }
    tolerated = {
        (one["key"].removeprefix("node.kubernetes.io/"), one["operator"], one["effect"])
        for one in pod["spec"]["tolerations"]
    }
    assert tolerated == {
        ("not-ready", "Exists", "NoExecute"),
        ("unreachable", "Exists", "NoExecute"),
        ("disk-pressure", "Exists", "NoSchedule"),
        ("memory-pressure", "Exists", "NoSchedule"),
        ("pid-pressure", "Exists", "NoSchedule"),
        ("unschedulable", "Exists", "NoSchedule"),
    }
    labels = pod["metadata"]["labels"]
    assert labels["pod-template-generation"] == "1"
    assert pod["metadata"]["name"].startswith("agent-")
    revision = collection(sets.cluster, fleet.name, "controllerrevisions", "apps/v1").list().json
    (one,) = revision["items"]
    assert one["metadata"]["name"] == f"agent-{labels['controller-revision-hash']}"


def test_pods_come_and_go_with_nodes_and_their_labels(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    blue = {"nodeSelector": {FLEET: fleet.name, "color": "blue"}}
    sets.made(daemon_set(fleet, pod=blue))
    until(lambda: status_of(sets).get("observedGeneration") == 1, "not seen")
    assert status_of(sets)["desiredNumberScheduled"] == 0
    first = f"{fleet.name}-1"
    fleet.label(first, color="blue")
    kubelet.until(lambda: is_done(sets, 1) and nodes_of(kubelet) == [first], "not made")
    third = fleet.add(3, color="blue")
    kubelet.until(lambda: is_done(sets, 2) and nodes_of(kubelet) == [first, third], "not made")
    fleet.label(first, color="green")
    kubelet.until(lambda: is_done(sets, 1) and nodes_of(kubelet) == [third], "not deleted")
    fleet.nodes.delete(third)
    until(lambda: status_of(sets)["desiredNumberScheduled"] == 0, "still counted")


def test_node_affinity_decides_like_a_selector(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    rule = {"key": "color", "operator": "In", "values": ["blue", "red"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    sets.made(daemon_set(fleet, pod={"affinity": affinity}))
    third = fleet.add(3, color="red")
    kubelet.until(lambda: is_done(sets, 1) and nodes_of(kubelet) == [third], "not made")


def test_taints_keep_pods_away_and_some_drive_them_off(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    first, second = (f"{fleet.name}-{number}" for number in (1, 2))
    fleet.taint(first, no("NoSchedule"))
    fleet.taint(second, no("NoSchedule", "node.kubernetes.io/unschedulable"))
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 1) and nodes_of(kubelet) == [second], "not made")
    fleet.taint(second, no("NoSchedule"))
    until(lambda: status_of(sets)["numberMisscheduled"] == 1, "not counted")
    assert nodes_of(kubelet) == [second]
    fleet.taint(second, no("NoExecute"))
    kubelet.until(lambda: not kubelet.names(), "not driven off")
    fleet.taint(first)
    kubelet.until(lambda: is_done(sets, 1) and nodes_of(kubelet) == [first], "not made")


@pytest.mark.parametrize(
    ("phase", "reason", "text"),
    [
        ("Failed", "FailedDaemonPod", "will try to kill it"),
        ("Succeeded", "SucceededDaemonPod", "will try to delete it"),
    ],
)
def test_a_pod_that_ended_is_made_anew_which_is_told(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet, phase: str, reason: str, text: str
) -> None:
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    name = kubelet.names()[0]
    node = kubelet.pods.get(name).json["spec"]["nodeName"]
    kubelet.ready(name, phase=phase, is_ready=False)
    kubelet.until(lambda: name not in kubelet.names() and is_done(sets, 2), "not made anew")
    events = collection(sets.cluster, fleet.name, "events")
    message = f"Found {phase.lower()} daemon pod {fleet.name}/{name} on node {node}, {text}"
    until(
        lambda: (
            (reason, message)
            in {(one["reason"], one["message"]) for one in events.list().json["items"]}
        ),
        "not told",
    )


def test_a_rolling_update_takes_one_node_after_the_other(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    fleet.add(3)
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 3), "not done")
    update(sets)
    available = []

    def updated() -> bool:
        available.append(status_of(sets).get("numberAvailable", 0))
        return is_done(sets, 3) and images(kubelet) == {AGENT2}

    kubelet.until(updated, "not updated")
    assert min(available) >= 2
    revisions = collection(sets.cluster, fleet.name, "controllerrevisions", "apps/v1")
    assert sorted(one["revision"] for one in revisions.list().json["items"]) == [1, 2]
    update(sets, AGENT1)
    kubelet.until(lambda: is_done(sets, 3) and images(kubelet) == {AGENT1}, "not rolled back")
    assert sorted(one["revision"] for one in revisions.list().json["items"]) == [2, 3]


def test_with_a_surge_the_new_pod_is_available_before_the_old_one_goes(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    sets.made(daemon_set(fleet, updateStrategy=strategy))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    update(sets)
    until(lambda: len(kubelet.names()) == 3, "no surge")
    least, most = 9, 0

    def updated() -> bool:
        nonlocal least, most
        pods = kubelet.all()
        working = {
            pod["spec"].get("nodeName")
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any(one["status"] == "True" for one in pod["status"].get("conditions") or ())
        }
        least, most = min(least, len(working)), max(most, len(pods))
        return is_done(sets, 2) and images(kubelet) == {AGENT2}

    kubelet.until(updated, "not updated")
    assert (least, most) == (2, 3)


def test_pods_of_on_delete_change_when_they_are_deleted(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    sets.made(daemon_set(fleet, updateStrategy={"type": "OnDelete"}))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    update(sets)
    until(lambda: status_of(sets).get("observedGeneration") == 2, "not seen")
    assert status_of(sets).get("updatedNumberScheduled", 0) == 0
    assert images(kubelet) == {AGENT1}
    for name in kubelet.names():
        kubelet.pods.delete(name)
    kubelet.until(lambda: is_done(sets, 2) and images(kubelet) == {AGENT2}, "not made anew")


def test_an_update_that_does_not_work_stops_and_goes_back(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    fleet.add(3)
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 3), "not done")
    kept = set(kubelet.names())
    update(sets, "example.com/broken:1")
    kubelet.until(lambda: "example.com/broken:1" in images(kubelet), "not tried")
    until(lambda: status_of(sets).get("updatedNumberScheduled") == 1, "not counted")
    assert status_of(sets)["numberUnavailable"] == 1
    assert len(kept & set(kubelet.names())) == 2
    update(sets, AGENT1)
    kubelet.until(lambda: is_done(sets, 3), "not rolled back")
    assert len(kept & set(kubelet.names())) == 2  # those that worked were not restarted


def test_a_set_takes_over_orphans_and_their_revisions(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    names = kubelet.names()
    revisions = collection(sets.cluster, fleet.name, "controllerrevisions", "apps/v1")
    sets.delete("agent", {"propagationPolicy": "Orphan"})
    until(lambda: sets.get("agent").code == 404, "not gone")
    uid = sets.made(daemon_set(fleet))["metadata"]["uid"]

    def owners() -> set[str]:
        found = [*kubelet.all(), *revisions.list().json["items"]]
        return {
            reference["uid"]
            for one in found
            for reference in one["metadata"].get("ownerReferences") or [{"uid": ""}]
        }

    kubelet.until(lambda: owners() == {uid} and is_done(sets, 2), "not adopted")
    assert kubelet.names() == names
    assert len(revisions.names()) == 1


def test_a_pod_for_a_node_that_is_gone_is_deleted_though_it_was_never_placed(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    sets.made(daemon_set(fleet))
    until(lambda: len(kubelet.names()) == 2, "not made")
    fleet.nodes.delete(f"{fleet.name}-1")
    until(lambda: nodes_of(kubelet) == [f"{fleet.name}-2"], "not deleted")


def test_a_revision_that_somebody_deletes_is_made_again(
    sets: Collection, kubelet: PlayedKubelet, fleet: Fleet
) -> None:
    sets.made(daemon_set(fleet))
    kubelet.until(lambda: is_done(sets, 2), "not done")
    revisions = collection(sets.cluster, fleet.name, "controllerrevisions", "apps/v1")
    (name,) = revisions.names()
    uid = revisions.get(name).json["metadata"]["uid"]
    revisions.delete(name)
    found = until(
        lambda: (answer := revisions.get(name)).code == 200 and answer.json, "not made again"
    )
    assert found["metadata"]["uid"] != uid

"""Disruption budgets and autoscalers at a real server; tests play the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import (
    STRATEGIC,
    Collection,
    Json,
    collection,
    deployment,
    named,
    pod,
)
from tests.integration.cluster import Cluster
from tests.integration.controllers.test_endpoints import ready_status, until


class Pods:
    """A namespace with pods and budgets."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.node = f"node-of-{namespace}"
        collection(cluster, "", "nodes").made(named(self.node))
        self.pods = collection(cluster, namespace, "pods")
        self.budgets = collection(cluster, namespace, "poddisruptionbudgets", "policy/v1")

    def of(self, plural: str, version: str) -> Collection:
        """Return another collection of the namespace."""
        return collection(self.cluster, self.namespace, plural, version)

    def run(self, name: str, *, ready: bool = True) -> None:
        """Be the kubelet of a pod that is there."""
        body = ready_status("10.203.0.1", ready=ready)
        assert self.pods.patch(f"{name}/status", body, content_type=STRATEGIC).code == 200

    def add(self, name: str, *, ready: bool = True) -> None:
        """Make a pod that runs."""
        self.pods.made(pod(name, self.node, app="web"))
        self.run(name, ready=ready)

    def budget(self, name: str, **spec: Any) -> None:
        """Make a budget of the pods app=web."""
        selector = {"matchLabels": {"app": "web"}}
        self.budgets.made(named(name, spec={"selector": selector, **spec}))

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a budget's healthy, desired, expected and allowed."""
        status = self.budgets.get(name).json["status"]
        if "observedGeneration" not in status:
            return ()
        keys = ("currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed")
        return tuple(status[key] for key in keys)

    def wait(self, name: str, *counts: int) -> None:
        """Return when a budget counts so."""
        until(lambda: self.counts(name) == counts, f"{self.counts(name)} is not {counts}")

    def evict(self, name: str) -> int:
        """Ask for a pod's eviction; return the status code."""
        body = {"metadata": {"name": name}, "apiVersion": "policy/v1", "kind": "Eviction"}
        return self.cluster.call("POST", f"{self.pods.path}/{name}/eviction", body).code

    def reasons(self, of: str) -> dict[str, str]:
        """Return reasons and texts of the events about an object."""
        events = self.of("events", "v1").list().json["items"]
        return {
            one["reason"]: one["message"] for one in events if one["involvedObject"]["name"] == of
        }


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Pods:
    """A namespace with pods and budgets."""
    return Pods(cluster, namespace)


def test_a_budget_counts_its_healthy_pods_and_says_how_many_may_go(pods: Pods) -> None:
    pods.budget("b", minAvailable=1)
    pods.wait("b", 0, 1, 0, 0)
    for name in ("p", "q", "r"):
        pods.add(name, ready=name != "r")
    pods.wait("b", 2, 1, 3, 1)
    status = pods.budgets.get("b").json["status"]
    condition = status["conditions"][0]
    assert (condition["type"], condition["status"]) == ("DisruptionAllowed", "True")
    assert condition["reason"] == "SufficientPods"
    pods.run("q", ready=False)
    pods.wait("b", 1, 1, 3, 0)
    assert pods.budgets.get("b").json["status"]["conditions"][0]["reason"] == "InsufficientPods"


def test_a_share_is_one_of_what_the_owners_of_the_pods_want(pods: Pods) -> None:
    pods.budget("b", maxUnavailable="30%")
    apps = pods.of("deployments", "apps/v1")
    apps.made(deployment("web", 10))
    until(lambda: len(pods.pods.names()) == 10, "no pods")
    pods.wait("b", 0, 7, 10, 0)
    for name in pods.pods.names()[:8]:
        pods.run(name)
    pods.wait("b", 8, 7, 10, 1)


def test_pods_that_nobody_controls_are_told_of_where_a_share_is_wanted(pods: Pods) -> None:
    pods.budget("b", maxUnavailable=1)
    pods.add("p")
    until(lambda: "UnmanagedPods" in pods.reasons("b"), f"{pods.reasons('b')}")
    assert (
        "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,}"
        in (pods.reasons("b")["UnmanagedPods"])
    )
    pods.wait("b", 1, 0, 0, 0)


def test_an_owner_that_has_no_scale_allows_nothing_and_the_condition_says_so(pods: Pods) -> None:
    revisions = pods.of("controllerrevisions", "apps/v1")
    owner = revisions.made(named("owner", revision=1, data={"a": "b"}))
    reference = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    body = pod("p", pods.node, app="web")
    body["metadata"]["ownerReferences"] = [reference]
    pods.pods.made(body)
    pods.run("p")
    pods.budget("b", maxUnavailable=1)

    def condition() -> Json:
        found = pods.budgets.get("b").json["status"].get("conditions") or ()
        return next(iter(found), {})

    until(lambda: condition().get("reason") == "SyncFailed", f"{condition()}")
    text = "controllerrevisions.apps does not implement the scale subresource"
    assert condition()["message"] == text
    until(lambda: "CalculateExpectedPodCountFailed" in pods.reasons("b"), "not told")
    assert pods.counts("b")[-1:] in ((), (0,))


def test_evictions_take_what_is_allowed_and_no_more(pods: Pods) -> None:
    pods.budget("b", minAvailable=2)
    for name in ("p", "q", "r"):
        pods.add(name)
    pods.wait("b", 3, 2, 3, 1)
    assert pods.evict("p") == 201
    assert pods.evict("q") == 429
    pods.wait("b", 2, 2, 3, 0)
    pods.pods.delete("p", {"gracePeriodSeconds": 0})
    pods.add("s")
    pods.wait("b", 3, 2, 3, 1)
    assert not pods.budgets.get("b").json["status"].get("disruptedPods")
    assert pods.evict("q") == 201


def test_kubectl_drain_waits_for_the_budget(pods: Pods) -> None:
    pods.budget("b", minAvailable=1)
    for name in ("p", "q"):
        pods.add(name)
    pods.wait("b", 2, 1, 2, 1)
    drain = ("drain", pods.node, "--force", "--grace-period=30", "--timeout=2s")
    stopped = pods.cluster.kubectl(*drain, check=False)
    assert stopped.returncode != 0
    assert "would violate the pod's disruption budget" in stopped.stderr
    going = [
        name
        for name in pods.pods.names()
        if "deletionTimestamp" in pods.pods.get(name).json["metadata"]
    ]
    assert len(going) == 1


def test_a_budget_is_counted_after_the_controllers_were_killed(pods: Pods) -> None:
    pods.budget("b", minAvailable=1)
    pods.add("p")
    pods.wait("b", 1, 1, 1, 0)
    pods.cluster.kill("controllers")
    pods.add("q")
    pods.wait("b", 2, 1, 2, 1)
    pods.cluster.kill("controllers")
    assert pods.evict("q") == 201
    pods.wait("b", 1, 1, 2, 0)


def test_a_stale_announcement_of_a_disruption_is_taken_back(pods: Pods) -> None:
    pods.add("p")
    announced = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "soon",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    body = {"status": {"conditions": [announced]}}
    assert pods.pods.patch("p/status", body, content_type=STRATEGIC).code == 200

    def condition() -> Json:
        found = pods.pods.get("p").json["status"]["conditions"]
        return next(one for one in found if one["type"] == "DisruptionTarget")

    until(lambda: condition()["status"] == "False", f"{condition()}")
    assert not condition().get("reason")
    assert not condition().get("message")


# Autoscalers ------------------------------------------------------------------------------------


def autoscaler(kind: str = "Deployment", name: str = "web", **spec: Any) -> Json:
    """Return an autoscaler of a Deployment."""
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return named("hpa", spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4, **spec})


def conditions(scalers: Collection) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and text of an autoscaler's conditions."""
    status = scalers.get("hpa").json.get("status") or {}
    return {
        one["type"]: (one["status"], one["reason"], one["message"])
        for one in status.get("conditions") or ()
    }


@pytest.mark.parametrize(
    ("replicas", "wanted", "why"),
    [
        (1, 2, "New size: 2; reason: Current number of replicas below Spec.MinReplicas"),
        (6, 4, "New size: 4; reason: Current number of replicas above Spec.MaxReplicas"),
    ],
)
def test_a_target_is_brought_within_the_limits(
    pods: Pods, replicas: int, wanted: int, why: str
) -> None:
    apps = pods.of("deployments", "apps/v1")
    apps.made(deployment("web", replicas))
    scalers = pods.of("horizontalpodautoscalers", "autoscaling/v2")
    scalers.made(autoscaler())
    until(lambda: apps.get("web").json["spec"]["replicas"] == wanted, "not scaled")
    until(lambda: pods.reasons("hpa").get("SuccessfulRescale") == why, f"{pods.reasons('hpa')}")
    until(lambda: conditions(scalers).get("AbleToScale", ("",))[0] == "True", "no condition")
    able = "the HPA controller was able to update the target scale to"
    assert conditions(scalers)["AbleToScale"] == ("True", "SucceededRescale", f"{able} {wanted}")
    status = scalers.get("hpa").json["status"]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (replicas, wanted)
    assert status["lastScaleTime"]


def test_a_target_that_is_not_there_cannot_be_scaled(pods: Pods) -> None:
    scalers = pods.of("horizontalpodautoscalers", "autoscaling/v2")
    scalers.made(autoscaler())
    until(lambda: conditions(scalers), "no condition")
    assert conditions(scalers)["AbleToScale"] == (
        "False",
        "FailedGetScale",
        "the HPA controller was unable to get the target's current scale: "
        'deployments.apps "web" not found',
    )
    until(lambda: "FailedGetScale" in pods.reasons("hpa"), "not told")


def test_a_kind_that_nobody_knows_cannot_be_scaled(pods: Pods) -> None:
    scalers = pods.of("horizontalpodautoscalers", "autoscaling/v2")
    scalers.made(autoscaler("Nonsense"))
    until(lambda: conditions(scalers), "no condition")
    assert conditions(scalers)["AbleToScale"][2].endswith(
        'no matches for kind "Nonsense" in group "apps"'
    )


def test_without_metrics_nothing_is_scaled_and_the_condition_says_why(pods: Pods) -> None:
    apps = pods.of("deployments", "apps/v1")
    apps.made(deployment("web", 2))
    until(lambda: len(pods.pods.names()) == 2, "no pods")
    scalers = pods.of("horizontalpodautoscalers", "autoscaling/v2")
    scalers.made(autoscaler())
    until(lambda: "ScalingActive" in conditions(scalers), "no condition")
    assert conditions(scalers)["ScalingActive"] == (
        "False",
        "FailedGetResourceMetric",
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to "
        "get metrics for resource cpu: unable to fetch metrics from resource metrics API: the "
        "server could not find the requested resource (get pods.metrics.k8s.io)",
    )
    until(lambda: "FailedComputeMetricsReplicas" in pods.reasons("hpa"), "not told")
    assert apps.get("web").json["spec"]["replicas"] == 2


def test_a_target_of_no_replicas_is_not_scaled(pods: Pods) -> None:
    apps = pods.of("deployments", "apps/v1")
    apps.made(deployment("web", 0))
    scalers = pods.of("horizontalpodautoscalers", "autoscaling/v2")
    scalers.made(autoscaler())
    until(lambda: "ScalingActive" in conditions(scalers), "no condition")
    assert conditions(scalers)["ScalingActive"] == (
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
    )
    assert apps.get("web").json["spec"]["replicas"] == 0

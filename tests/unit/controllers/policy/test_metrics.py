"""What is asked of the metrics APIs, and what their answers come to (metrics/client_test.go)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from controllers.discovery import Collection
from controllers.policy.metric_sources import MetricFailed, MetricSources, Target
from controllers.policy.metrics import MetricsClient, NoMetrics, PodMetric
from controllers.policy.replicas import Tolerances
from controllers.policy.scales import Scales
from kube import times
from kube.client import ApiClient
from kube.status import StatusError

AT = times.format_seconds(1_800_000_000)


class FakeClient:
    """Answers by path; what it has no answer for it does not serve."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers["answers"]
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def request(
        self, _method: str, path: str, *, query: Any = None, timeout_s: float = 0
    ) -> Any:
        """Answer a request."""
        assert timeout_s > 0
        self.asked.append((path, dict(query or {})))
        if path not in self.answers:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        return self.answers[path]


class FakeScales:
    """Knows one type."""

    async def find(self, group: str, _kind: str, version: str = "") -> list[Collection]:
        """Return services."""
        return [Collection(group, version, "services", "Service")]


def client_of(answers: dict[str, Any]) -> tuple[FakeClient, MetricsClient]:
    """Return a client of metrics, and what it asks."""
    fake = FakeClient(answers=answers)
    return fake, MetricsClient(cast("ApiClient", fake))


def pod_metrics(name: str, *cpu: str) -> dict[str, Any]:
    """Return what metrics.k8s.io says of a pod of so many containers."""
    containers = [{"name": f"c{n}", "usage": {"cpu": one}} for n, one in enumerate(cpu)]
    metadata = {"name": name, "namespace": "n"}
    return {"metadata": metadata, "timestamp": AT, "window": "30s", "containers": containers}


PODS = "/apis/metrics.k8s.io/v1beta1/namespaces/n/pods"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/n"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/n"


def test_a_pods_use_is_the_sum_of_its_containers_if_all_are_known() -> None:
    items = [pod_metrics("a", "100m", "200m"), pod_metrics("b", "1"), pod_metrics("c")]
    items[1]["containers"].append({"name": "c1", "usage": {}})
    fake, metrics = client_of({PODS: {"items": items}})
    found = asyncio.run(metrics.resource("cpu", "n", "app=web"))
    assert found == {"a": PodMetric(300, 1_800_000_000.0, 30.0)}
    assert fake.asked == [(PODS, {"labelSelector": "app=web"})]


def test_the_use_of_a_container_must_be_told_for_each_pod() -> None:
    items = [pod_metrics("a", "100m", "200m"), pod_metrics("b", "1")]
    _, metrics = client_of({PODS: {"items": items[:1]}})
    found = asyncio.run(metrics.resource("cpu", "n", "app=web", "c1"))
    assert found["a"].value == 200
    _, metrics = client_of({PODS: {"items": items}})
    with pytest.raises(NoMetrics, match="container c1 not present in metrics for pod n/b"):
        asyncio.run(metrics.resource("cpu", "n", "app=web", "c1"))


def test_no_items_and_no_api_are_told_apart() -> None:
    _, metrics = client_of({PODS: {"items": []}})
    with pytest.raises(NoMetrics, match="no metrics returned from resource"):
        asyncio.run(metrics.resource("cpu", "n", "app=web"))
    _, metrics = client_of({})
    text = (
        "unable to fetch metrics from resource metrics API: the server could not find the "
        "requested resource (get pods.metrics.k8s.io)"
    )
    with pytest.raises(NoMetrics) as caught:
        asyncio.run(metrics.resource("cpu", "n", "app=web"))
    assert str(caught.value) == text


def test_custom_metrics_are_asked_for_in_the_older_version_where_there_is_no_newer() -> None:
    path = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/n/pods/*/qps"
    items = [{"describedObject": {"name": "a"}, "value": "10", "windowSeconds": 5}]
    fake, metrics = client_of({path: {"items": items}})
    found = asyncio.run(metrics.of_pods("qps", "n", "app=web", "x=y"))
    assert found == {"a": PodMetric(10_000, 0.0, 5.0)}
    query = {"labelSelector": "app=web", "metricLabelSelector": "x=y"}
    assert fake.asked[-1] == (path, query)


def target(pods: int = 2, wanted: int = 2) -> Target:
    """Return a target of pods that request a CPU each."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    found = [
        {
            "metadata": {"name": f"p{n}"},
            "spec": {"containers": [{"name": "c0", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {
                "phase": "Running",
                "startTime": "2020-01-01T00:00:00Z",
                "conditions": [ready],
            },
        }
        for n in range(pods)
    ]
    return Target("n", "app=web", found, wanted, wanted, Tolerances(), 1_800_000_000.0)


def find(answers: dict[str, Any], spec: dict[str, Any]) -> Any:
    """Return what a metric asks for."""
    _, metrics = client_of(answers)
    sources = MetricSources(metrics, cast("Scales", FakeScales()))
    return asyncio.run(sources.find(spec, target()))


CPU = {PODS: {"items": [pod_metrics("p0", "1"), pod_metrics("p1", "500m")]}}
SHARE = {"type": "Utilization", "averageUtilization": 50}
QPS = {"name": "qps"}
ITEM = {"describedObject": {"name": "p0"}, "value": "20"}


@pytest.mark.parametrize(
    ("answers", "spec", "wanted", "name", "current"),
    [
        (
            CPU,
            {"type": "Resource", "resource": {"name": "cpu", "target": SHARE}},
            3,
            "cpu resource utilization (percentage of request)",
            {"averageUtilization": 75, "averageValue": "750m"},
        ),
        (
            CPU,
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "AverageValue", "averageValue": "250m"},
                },
            },
            6,
            "cpu resource",
            {"averageValue": "750m"},
        ),
        (
            CPU,
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "container": "c0", "target": SHARE},
            },
            3,
            "cpu container resource utilization (percentage of request)",
            {"averageUtilization": 75, "averageValue": "750m"},
        ),
        (
            {
                f"{CUSTOM}/pods/*/qps": {
                    "items": [ITEM, {"describedObject": {"name": "p1"}, "value": "20"}]
                }
            },
            {
                "type": "Pods",
                "pods": {"metric": QPS, "target": {"type": "AverageValue", "averageValue": "10"}},
            },
            4,
            "pods metric qps",
            {"averageValue": "20"},
        ),
        (
            {f"{CUSTOM}/services/web/qps": {"items": [ITEM]}},
            {
                "type": "Object",
                "object": {
                    "metric": QPS,
                    "describedObject": {"kind": "Service", "name": "web", "apiVersion": "v1"},
                    "target": {"type": "Value", "value": "10"},
                },
            },
            4,
            "Service metric qps",
            {"value": "20"},
        ),
        (
            {f"{CUSTOM}/metrics/qps": {"items": [ITEM]}},
            {
                "type": "Object",
                "object": {
                    "metric": QPS,
                    "describedObject": {"kind": "Namespace", "name": "n", "apiVersion": "v1"},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                },
            },
            4,
            "external metric qps(nil)",
            {"averageValue": "10"},
        ),
        (
            {f"{EXTERNAL}/qps": {"items": [{"value": "15"}, {"value": "15"}]}},
            {
                "type": "External",
                "external": {"metric": QPS, "target": {"type": "Value", "value": "10"}},
            },
            6,
            "external metric qps(nil)",
            {"value": "30"},
        ),
        (
            {f"{EXTERNAL}/qps": {"items": [{"value": "30"}]}},
            {
                "type": "External",
                "external": {
                    "metric": QPS,
                    "target": {"type": "AverageValue", "averageValue": "10"},
                },
            },
            3,
            "external metric qps(nil)",
            {"averageValue": "15"},
        ),
    ],
)
def test_each_kind_of_metric_asks_for_replicas_and_says_what_is(
    answers: dict[str, Any],
    spec: dict[str, Any],
    wanted: int,
    name: str,
    current: dict[str, Any],
) -> None:
    found = find(answers, spec)
    key = next(iter(set(spec) - {"type"}))
    assert (found.replicas, found.name) == (wanted, name)
    assert (found.status["type"], found.status[key]["current"]) == (spec["type"], current)


@pytest.mark.parametrize(
    ("spec", "reason", "told"),
    [
        (
            {"type": "Resource", "resource": {"name": "cpu", "target": SHARE}},
            "FailedGetResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: ",
        ),
        (
            {
                "type": "External",
                "external": {"metric": QPS, "target": {"type": "Value", "value": "10"}},
            },
            "FailedGetExternalMetric",
            "unable to get external metric n/qps/nil: unable to fetch metrics from external ",
        ),
        (
            {
                "type": "Pods",
                "pods": {"metric": QPS, "target": {"type": "AverageValue", "averageValue": "1"}},
            },
            "FailedGetPodsMetric",
            "unable to get metric qps: unable to fetch metrics from custom metrics API: ",
        ),
    ],
)
def test_a_metric_that_is_not_to_be_had_says_so_in_upstreams_words(
    spec: dict[str, Any], reason: str, told: str
) -> None:
    with pytest.raises(MetricFailed) as caught:
        find({}, spec)
    assert caught.value.reason == reason
    assert caught.value.told.startswith(told)


@pytest.mark.parametrize("answer", [{"items": [{}]}, {"items": [7]}, {"items": [{"value": "x"}]}])
def test_whatever_a_metrics_server_answers_is_a_metric_or_a_failure(answer: Any) -> None:
    target_of = {"type": "Value", "value": "10"}
    spec = {"type": "External", "external": {"metric": QPS, "target": target_of}}
    with pytest.raises(MetricFailed):
        find({f"{EXTERNAL}/qps": answer}, spec)

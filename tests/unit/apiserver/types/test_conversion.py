"""Versions with another shape than the stored one: nothing is lost on the way and back."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from apiserver.types import autoscaling_v1, conversion
from kube.builtin_kinds import builtin_registry
from kube.kinds import ResourceInfo


def info(group: str, version: str, plural: str) -> ResourceInfo:
    found = builtin_registry().lookup(group, version, plural)
    assert found is not None
    return found


def cpu(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


METRICS = [
    cpu(60),
    {
        "type": "Pods",
        "pods": {
            "metric": {"name": "qps", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "10"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "web"},
            "metric": {"name": "hits"},
            "target": {"type": "Value", "value": "5"},
        },
    },
    {
        "type": "External",
        "external": {
            "metric": {"name": "queue"},
            "target": {"type": "AverageValue", "averageValue": "3"},
        },
    },
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "memory",
            "container": "app",
            "target": {"type": "Utilization", "averageUtilization": 70},
        },
    },
]


def stored() -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "annotations": {"mine": "kept"}},
        "spec": {
            "maxReplicas": 5,
            "metrics": copy.deepcopy(METRICS),
            "behavior": {"scaleDown": {"selectPolicy": "Max"}},
        },
        "status": {
            "currentReplicas": 1,
            "desiredReplicas": 2,
            "currentMetrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "current": {"averageUtilization": 55, "averageValue": "100m"},
                    },
                }
            ],
            "conditions": [{"type": "ScalingActive", "status": "True"}],
        },
    }


def test_autoscaler_survives_its_v1_shape() -> None:
    v1 = info("autoscaling", "v1", "horizontalpodautoscalers")
    shown = conversion.from_storage(v1, stored())
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"] == {"maxReplicas": 5, "targetCPUUtilizationPercentage": 60}
    assert shown["status"]["currentCPUUtilizationPercentage"] == 55
    assert set(shown["metadata"]["annotations"]) == {
        "mine",
        autoscaling_v1.METRICS,
        autoscaling_v1.BEHAVIOR,
        autoscaling_v1.CONDITIONS,
        autoscaling_v1.CURRENT_METRICS,
    }
    assert conversion.to_storage(v1, shown) == stored()


def test_v1_annotation_spells_metrics_as_upstream_does() -> None:
    shown = autoscaling_v1.from_v2(stored())
    metrics = orjson.loads(shown["metadata"]["annotations"][autoscaling_v1.METRICS])
    assert metrics[0] == {
        "type": "Pods",
        "pods": {
            "metricName": "qps",
            "targetAverageValue": "10",
            "selector": {"matchLabels": {"a": "b"}},
        },
    }
    assert metrics[1]["object"] == {
        "metricName": "hits",
        "target": {"kind": "Service", "name": "web"},
        "targetValue": "5",
    }


def test_v1_autoscaler_without_target_gets_the_default() -> None:
    assert autoscaling_v1.to_v2({"spec": {"maxReplicas": 1}})["spec"]["metrics"] == [cpu(80)]


def test_showing_an_autoscaler_leaves_the_stored_one_alone() -> None:
    obj = stored()
    autoscaling_v1.from_v2(obj)
    assert obj == stored()


def test_damaged_annotation_counts_as_absent() -> None:
    meta = {"annotations": {autoscaling_v1.METRICS: "{"}}
    obj = {"metadata": meta, "spec": {"targetCPUUtilizationPercentage": 50}}
    assert autoscaling_v1.to_v2(obj)["spec"]["metrics"] == [cpu(50)]


def test_event_changes_names_between_its_groups() -> None:
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "a"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "note": "hello",
        "regarding": {"kind": "Pod", "name": "web"},
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
        "deprecatedCount": 3,
    }
    events = info("events.k8s.io", "v1", "events")
    core = conversion.to_storage(events, dict(new))
    assert core["apiVersion"] == "v1"
    assert core["message"] == "hello"
    assert core["involvedObject"] == {"kind": "Pod", "name": "web"}
    assert core["reportingComponent"] == "example.com/c"
    assert core["count"] == 3
    back = conversion.from_storage(events, core)
    assert new.items() <= back.items()


def test_core_event_is_shown_by_the_newer_names() -> None:
    core = {"apiVersion": "v1", "message": "m", "source": {"component": "kubelet"}, "count": 1}
    shown = conversion.from_storage(info("events.k8s.io", "v1", "events"), core)
    assert shown == {
        "apiVersion": "events.k8s.io/v1",
        "note": "m",
        "deprecatedSource": {"component": "kubelet"},
        "deprecatedCount": 1,
    }


def test_only_the_newer_event_version_is_strict() -> None:
    assert conversion.version_checks(info("events.k8s.io", "v1", "events")) is not None
    assert conversion.version_checks(info("", "v1", "events")) is None


@pytest.mark.parametrize(
    ("plural", "spec", "shaped"),
    [
        (
            "resourceclaims",
            {"devices": {"requests": [{"name": "a", "deviceClassName": "c", "count": 2}]}},
            {
                "devices": {
                    "requests": [{"name": "a", "exactly": {"deviceClassName": "c", "count": 2}}]
                }
            },
        ),
        (
            "resourceclaims",
            {"devices": {"requests": [{"name": "a", "firstAvailable": [{"name": "b"}]}]}},
            {"devices": {"requests": [{"name": "a", "firstAvailable": [{"name": "b"}]}]}},
        ),
        (
            "resourceclaimtemplates",
            {"spec": {"devices": {"requests": [{"name": "a", "deviceClassName": "c"}]}}},
            {
                "spec": {
                    "devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]}
                }
            },
        ),
        (
            "resourceslices",
            {"devices": [{"name": "a", "basic": {"capacity": {"memory": {"value": "1Gi"}}}}]},
            {"devices": [{"name": "a", "capacity": {"memory": {"value": "1Gi"}}}]},
        ),
    ],
)
def test_early_device_shapes_become_v1_and_back(
    plural: str, spec: dict[str, Any], shaped: dict[str, Any]
) -> None:
    beta = info("resource.k8s.io", "v1beta1", plural)
    obj = conversion.to_storage(beta, {"spec": copy.deepcopy(spec)})
    assert obj == {"apiVersion": "resource.k8s.io/v1", "spec": shaped}
    assert conversion.from_storage(beta, obj)["spec"] == spec


def test_version_of_the_same_shape_changes_its_name_only() -> None:
    obj = {"apiVersion": "resource.k8s.io/v1beta2", "spec": {}}
    beta = info("resource.k8s.io", "v1beta2", "resourceclaims")
    assert conversion.to_storage(beta, obj) is obj
    assert obj["apiVersion"] == "resource.k8s.io/v1"

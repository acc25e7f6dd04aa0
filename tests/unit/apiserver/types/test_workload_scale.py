"""Scales of workloads, and the selectors that they show."""

from __future__ import annotations

from typing import Any

import pytest
from pod_fixtures import make_template

from apiserver.types.workloads import HOOKS
from apiserver.types.workloads.scale import apply_scale, scale_of, validate_scale
from apiserver.types.workloads.selectors import SelectorError, matches, render
from kube.json_types import JsonObject


def _created(resource: str, selector: JsonObject, **spec: Any) -> JsonObject:
    obj: JsonObject = {
        "metadata": {"name": "web", "namespace": "d"},
        "spec": {"selector": selector, "template": make_template(), **spec},
    }
    HOOKS[resource].default(obj)
    HOOKS[resource].prepare_create(obj)
    return obj


def test_scale_shows_and_sets_replicas() -> None:
    obj = _created("apps/deployments", {"matchLabels": {"app": "web"}}, replicas=3)
    obj["kind"] = "Deployment"
    obj["metadata"] |= {"uid": "u", "resourceVersion": "7", "labels": {"a": "b"}}
    obj["status"] = {"replicas": 2}
    assert scale_of(obj) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "web", "namespace": "d", "uid": "u", "resourceVersion": "7"},
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "app=web"},
    }
    apply_scale(obj, {"metadata": {"resourceVersion": "6"}, "spec": {}})
    assert obj["spec"]["replicas"] == 0
    assert obj["metadata"]["resourceVersion"] == "6"
    assert scale_of(obj)["spec"] == {}


def test_scale_of_a_controller_reads_its_plain_selector() -> None:
    obj = _created("replicationcontrollers", {"app": "web"})
    obj["kind"] = "ReplicationController"
    assert scale_of(obj)["status"] == {"replicas": 0, "selector": "app=web"}


def test_scale_refuses_negative_numbers() -> None:
    assert [str(error) for error in validate_scale({"spec": {"replicas": -1}})] == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ]


@pytest.mark.parametrize(
    ("expression", "labels", "selected"),
    [
        ({"operator": "In", "values": ["a", "b"]}, {"k": "a"}, True),
        ({"operator": "In", "values": ["a"]}, {}, False),
        ({"operator": "NotIn", "values": ["a"]}, {"k": "a"}, False),
        ({"operator": "NotIn", "values": ["a"]}, {}, True),
        ({"operator": "Exists"}, {"k": ""}, True),
        ({"operator": "DoesNotExist"}, {"k": ""}, False),
    ],
)
def test_selector_expressions(
    expression: JsonObject,
    labels: dict[str, str],
    selected: bool,  # noqa: FBT001
) -> None:
    selector = {"matchExpressions": [{"key": "k", **expression}]}
    assert matches(selector, labels) is selected


def test_no_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert not matches(None, {})
    assert matches({}, {})
    with pytest.raises(SelectorError):
        matches({"matchExpressions": [{"key": "k", "operator": "Near"}]}, {})


def test_selectors_render_sorted() -> None:
    expressions = [
        {"key": "b", "operator": "In", "values": ["y", "x"]},
        {"key": "c", "operator": "DoesNotExist"},
        {"key": "d", "operator": "Exists"},
        {"key": "e", "operator": "NotIn", "values": ["z"]},
    ]
    selector = {"matchLabels": {"a": "1"}, "matchExpressions": expressions}
    assert render(selector) == "a=1,b in (x,y),!c,d,e notin (z)"

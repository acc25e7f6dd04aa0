"""What objects take of a quota, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from kube.json_types import JsonObject
from kube.quota import pods
from kube.quota.amounts import read, shown
from kube.quota.evaluators import Evaluator, evaluator_of, recount


def _pod(*containers: JsonObject, **spec: Any) -> JsonObject:
    listed = [{"name": f"c{at}", "resources": one} for at, one in enumerate(containers)]
    return {"metadata": {"name": "p"}, "spec": {"containers": listed, **spec}}


def _evaluator(group: str, plural: str) -> Evaluator:
    found = evaluator_of(group, plural)
    assert found is not None
    return found


def test_a_pod_takes_what_its_containers_ask_for() -> None:
    pod = _pod(
        {"requests": {"cpu": "100m", "nvidia.com/gpu": "2"}, "limits": {"memory": "1Gi"}},
        {"requests": {"cpu": "1"}},
        overhead={"cpu": "50m"},
    )
    assert shown(pods.usage(pod, 0.0)) == (
        "count/pods=1,cpu=1150m,limits.memory=1Gi,pods=1,requests.cpu=1150m,"
        "requests.nvidia.com/gpu=2"
    )


def test_the_largest_init_container_counts_and_sidecars_add_up() -> None:
    pod = _pod({"requests": {"cpu": "1"}})
    pod["spec"]["initContainers"] = [
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        {"name": "i", "resources": {"requests": {"cpu": "5"}}},
    ]
    assert pods.totals(pod, "requests") == read({"cpu": "6"})


def test_what_the_pod_as_a_whole_asks_for_goes_first() -> None:
    pod = _pod({"requests": {"cpu": "1"}}, resources={"requests": {"cpu": "3"}})
    assert pods.totals(pod, "requests") == read({"cpu": "3"})
    assert pods.fault(pod, ["requests.memory"]) == ""


def test_a_resize_that_is_not_done_counts_what_is_more() -> None:
    pod = _pod({"requests": {"cpu": "1"}})
    pod["status"] = {"containerStatuses": [{"name": "c0", "allocatedResources": {"cpu": "2"}}]}
    assert pods.totals(pod, "requests") == read({"cpu": "2"})


def test_a_pod_that_is_over_takes_its_place_only() -> None:
    pod = _pod({"requests": {"cpu": "1"}})
    pod["status"] = {"phase": "Failed"}
    assert shown(pods.usage(pod, 0.0)) == "count/pods=1"
    pod["status"] = {}
    pod["metadata"] |= {
        "deletionTimestamp": "1970-01-01T00:01:00Z",
        "deletionGracePeriodSeconds": 30,
    }
    assert "cpu" in pods.usage(pod, 90.0)
    assert "cpu" not in pods.usage(pod, 90.5)


def test_containers_must_say_what_a_quota_limits() -> None:
    pod = _pod({"requests": {"cpu": "1"}}, {})
    names = ["requests.cpu", "limits.memory", "pods"]
    assert pods.fault(pod, names) == "must specify limits.memory for: c0,c1; requests.cpu for: c1"


@pytest.mark.parametrize(
    ("scope", "spec", "is_in"),
    [
        ({"scopeName": "Terminating"}, {"activeDeadlineSeconds": 0}, True),
        ({"scopeName": "NotTerminating"}, {}, True),
        ({"scopeName": "BestEffort"}, {}, True),
        ({"scopeName": "NotBestEffort"}, {}, False),
        (
            {"scopeName": "PriorityClass", "operator": "In", "values": ["a"]},
            {"priorityClassName": "a"},
            True,
        ),
        ({"scopeName": "PriorityClass", "operator": "NotIn", "values": ["a"]}, {}, True),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, {}, False),
        ({"scopeName": "PriorityClass", "operator": "DoesNotExist"}, {}, True),
        ({"scopeName": "VolumeAttributesClass", "operator": "Exists"}, {}, False),
    ],
)
def test_scopes_choose_pods(scope: JsonObject, spec: JsonObject, is_in: bool) -> None:  # noqa: FBT001
    assert pods.is_in_scope(scope, _pod({}, **spec)) is is_in


def test_services_take_node_ports_by_what_they_want() -> None:
    usage = _evaluator("", "services").usage
    spec: JsonObject = {"type": "LoadBalancer", "ports": [{}, {"nodePort": 30000}]}
    assert shown(usage({"spec": spec}, 0.0)) == (
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"
    )
    spec["allocateLoadBalancerNodePorts"] = False
    assert str(usage({"spec": spec}, 0.0)["services.nodeports"]) == "1"


def test_claims_take_storage_of_their_class() -> None:
    claim = {
        "metadata": {},
        "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}},
        "status": {"allocatedResources": {"storage": "1"}},
    }
    taken = _evaluator("", "persistentvolumeclaims").usage(claim, 0.0)
    assert str(taken["gold.storageclass.storage.k8s.io/requests.storage"]) == "2"
    assert str(taken["requests.storage"]) == "2"


def test_other_types_are_counted_by_their_names() -> None:
    deployments = _evaluator("apps", "deployments")
    assert deployments.matching(["count/deployments.apps", "pods"]) == ["count/deployments.apps"]
    assert _evaluator("", "secrets").matching(["secrets", "count/secrets"]) == [
        "secrets",
        "count/secrets",
    ]
    assert evaluator_of("", "events") is None


def test_a_recount_counts_what_is_there_in_scope_only() -> None:
    quota = {
        "spec": {"hard": {"pods": "2", "secrets": "9"}, "scopes": ["Terminating"]},
        "status": {"used": {"pods": "7", "secrets": "3", "cpu": "1"}},
    }
    found = [_pod({}), _pod({}, activeDeadlineSeconds=5)]
    hard, used = recount(quota, [(_evaluator("", "pods"), found)], 0.0)
    assert hard == {"pods": "2", "secrets": "9"}
    assert used == {"pods": "1", "secrets": "3"}, "what nobody counted stays as it was"

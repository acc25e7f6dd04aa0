"""What `kubectl get` says of workloads."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.printers import SCALE, printer_for

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S
TEMPLATE = {
    "metadata": {"labels": {"b": "2", "a": "1"}},
    "spec": {
        "containers": [{"name": "x", "image": "i:1"}, {"name": "y", "image": "j:2"}],
        "nodeSelector": {"disk": "ssd"},
    },
}
SELECTOR = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "zone", "operator": "NotIn", "values": ["z"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "any", "operator": "Exists"},
    ],
}
SHOWN = "any,app=web,!old,tier in (a,b),zone notin (z)"


def cells(resource: str, obj: dict[str, Any]) -> list[Any]:
    metadata = {"name": "w", "creationTimestamp": CREATED, **obj.pop("metadata", {})}
    return printer_for(resource).cells({"metadata": metadata, **obj}, NOW_S)


def test_deployment_shows_ready_of_wanted() -> None:
    status = {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}
    spec = {"replicas": 4, "selector": SELECTOR, "template": TEMPLATE}
    expected = ["w", "2/4", 3, 1, "5m", "x,y", "i:1,j:2", SHOWN]
    assert cells("apps/deployments", {"spec": spec, "status": status}) == expected


def test_deployment_without_status_has_zeros() -> None:
    assert cells("apps/deployments", {"spec": {"replicas": 1}})[1:4] == ["0/1", 0, 0]


@pytest.mark.parametrize(
    ("resource", "shown"), [("apps/deployments", "<invalid>"), ("apps/replicasets", "<error>")]
)
def test_selector_with_unknown_operator_is_marked(resource: str, shown: str) -> None:
    broken = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
    assert cells(resource, {"spec": {"selector": broken}})[-1] == shown


def test_empty_selector_is_none_except_of_deployments() -> None:
    assert cells("apps/replicasets", {"spec": {"selector": {}}})[-1] == "<none>"
    assert cells("apps/deployments", {"spec": {"selector": {}}})[-1] == ""


def test_replica_sets_and_controllers_show_counts() -> None:
    status = {"replicas": 3, "readyReplicas": 2}
    spec: dict[str, Any] = {"replicas": 4, "template": TEMPLATE, "selector": SELECTOR}
    shared = ["w", 4, 3, 2, "5m", "x,y", "i:1,j:2"]
    assert cells("apps/replicasets", {"spec": spec, "status": status}) == [*shared, SHOWN]
    spec["selector"] = {"b": "2", "a": "1"}
    obj = {"spec": spec, "status": status}
    assert cells("replicationcontrollers", obj) == [*shared, "a=1,b=2"]


def test_stateful_set_has_no_selector_column() -> None:
    obj = {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 1}}
    assert cells("apps/statefulsets", obj) == ["w", "1/2", "5m", "x,y", "i:1,j:2"]


def test_daemon_set_shows_node_selector() -> None:
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "numberReady": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 1,
    }
    shown = cells("apps/daemonsets", {"spec": {"template": TEMPLATE}, "status": status})
    assert shown == ["w", 5, 4, 3, 2, 1, "disk=ssd", "5m", "x,y", "i:1,j:2", "<none>"]


@pytest.mark.parametrize(
    ("conditions", "metadata", "expected"),
    [
        ([("Complete", "True"), ("Failed", "True")], {}, "Complete"),
        ([("Complete", "False"), ("Failed", "True")], {}, "Failed"),
        ([("Suspended", "True")], {"deletionTimestamp": CREATED}, "Terminating"),
        ([("FailureTarget", "True"), ("Suspended", "True")], {}, "Suspended"),
        ([("FailureTarget", "True")], {}, "FailureTarget"),
        ([], {}, "Running"),
    ],
)
def test_job_status_takes_the_most_final_condition(
    conditions: list[tuple[str, str]], metadata: dict[str, Any], expected: str
) -> None:
    listed = [{"type": kind, "status": status} for kind, status in conditions]
    obj = {"metadata": metadata, "status": {"conditions": listed}}
    assert cells("batch/jobs", obj)[1] == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"completions": 5, "parallelism": 2}, "1/5"),
        ({"parallelism": 3}, "1/1 of 3"),
        ({"parallelism": 1}, "1/1"),
        ({}, "1/1"),
    ],
)
def test_job_completions_without_a_count_tell_parallelism(
    spec: dict[str, int], expected: str
) -> None:
    assert cells("batch/jobs", {"spec": spec, "status": {"succeeded": 1}})[2] == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        ({"startTime": CREATED}, "5m"),
        ({"startTime": CREATED, "completionTime": "1970-01-12T13:41:50Z"}, "10s"),
    ],
)
def test_job_duration_ends_at_completion(status: dict[str, str], expected: str) -> None:
    assert cells("batch/jobs", {"status": status})[3] == expected


def test_cron_job_shows_last_schedule_and_template() -> None:
    spec = {
        "schedule": "* * * * *",
        "suspend": False,
        "timeZone": "Etc/UTC",
        "jobTemplate": {"spec": {"template": TEMPLATE}},
    }
    status = {"active": [{}, {}], "lastScheduleTime": CREATED}
    shown = cells("batch/cronjobs", {"spec": spec, "status": status})
    assert shown[:6] == ["w", "* * * * *", "Etc/UTC", "False", 2, "5m"]
    assert shown[6:] == ["5m", "x,y", "i:1,j:2", "<none>"]


def test_cron_job_that_never_ran_shows_placeholders() -> None:
    shown = cells("batch/cronjobs", {"spec": {"schedule": "@daily"}})
    assert shown[1:6] == ["@daily", "<none>", "<unset>", 0, "<none>"]


def test_controller_revision_names_its_owner() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    other = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    obj = {"metadata": {"ownerReferences": [other, owner]}, "revision": 7}
    assert cells("apps/controllerrevisions", obj) == ["w", "statefulset.apps/db", 7, "5m"]
    core = {"metadata": {"ownerReferences": [other | {"controller": True}]}}
    assert cells("apps/controllerrevisions", core)[1] == "pod/p"
    assert cells("apps/controllerrevisions", {})[1] == "<none>"


def test_pod_template_shows_labels_by_key() -> None:
    assert cells("podtemplates", {"template": TEMPLATE}) == ["w", "x,y", "i:1,j:2", "a=1,b=2"]


def test_disruption_budget_shows_numbers_and_percentages() -> None:
    obj = {"spec": {"minAvailable": 0}, "status": {"disruptionsAllowed": 2}}
    assert cells("policy/poddisruptionbudgets", obj) == ["w", "0", "N/A", 2, "5m"]
    obj = {"spec": {"maxUnavailable": "20%"}}
    assert cells("policy/poddisruptionbudgets", obj)[1:3] == ["N/A", "20%"]


def test_scale_shows_wanted_and_actual() -> None:
    obj = {"spec": {"replicas": 3}, "status": {"replicas": 1}}
    assert cells(SCALE, obj) == ["w", 3, 1, "5m"]

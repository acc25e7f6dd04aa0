"""What `kubectl get` says of nodes, events, configuration and quota."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.printers import printer_for

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S
LATER = "1970-01-12T13:46:30.000000Z"  # 10 s before NOW_S


def cells(resource: str, **obj: Any) -> list[Any]:
    metadata = {"name": "w", "creationTimestamp": CREATED, **obj.pop("metadata", {})}
    return printer_for(resource).cells({"metadata": metadata, **obj}, NOW_S)


def test_node_shows_system_and_addresses() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {
            "kubeletVersion": "v1.37.0",
            "osImage": "Debian",
            "kernelVersion": "6.12",
            "containerRuntimeVersion": "containerd://2.1",
        },
        "addresses": [
            {"type": "Hostname", "address": "h"},
            {"type": "ExternalIP", "address": "1.1.1.1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
        ],
    }
    shown = cells("nodes", status=status)
    assert shown[:5] == ["w", "Ready", "<none>", "5m", "v1.37.0"]
    assert shown[5:] == ["10.0.0.1", "1.1.1.1", "Debian", "6.12", "containerd://2.1"]


@pytest.mark.parametrize(
    ("ready", "unschedulable", "expected"),
    [
        ("True", False, "Ready"),
        ("False", False, "NotReady"),
        ("Unknown", False, "NotReady"),
        ("True", True, "Ready,SchedulingDisabled"),
        (None, True, "Unknown,SchedulingDisabled"),
    ],
)
def test_node_status_tells_readiness_and_cordon(
    ready: str | None, *, unschedulable: bool, expected: str
) -> None:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    spec = {"unschedulable": True} if unschedulable else {}
    assert cells("nodes", spec=spec, status={"conditions": conditions})[1] == expected


def test_node_without_information_is_unknown() -> None:
    assert cells("nodes")[4:] == ["", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]


def test_node_roles_come_from_both_labels() -> None:
    labels = {
        "node-role.kubernetes.io/worker": "",
        "node-role.kubernetes.io/": "",
        "kubernetes.io/role": "edge",
        "other": "x",
    }
    assert cells("nodes", metadata={"labels": labels})[2] == "edge,worker"


def test_namespace_shows_phase() -> None:
    assert cells("namespaces", status={"phase": "Active"}) == ["w", "Active", "5m"]


def test_event_shows_object_source_and_trimmed_message() -> None:
    shown = cells(
        "events",
        type="Warning",
        reason="BackOff",
        message="  try again\n",
        involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        source={"component": "kubelet", "host": "n1"},
        firstTimestamp=CREATED,
        lastTimestamp=LATER,
        count=3,
    )
    assert shown[:4] == ["10s", "Warning", "BackOff", "pod/p"]
    assert shown[4:] == ["spec.containers{c}", "kubelet, n1", "try again", "5m", 3, "w"]


def test_event_series_gives_last_seen_and_count() -> None:
    shown = cells(
        "events",
        eventTime=CREATED,
        series={"count": 9, "lastObservedTime": LATER},
        involvedObject={"kind": "Node"},
        reportingComponent="scheduler",
    )
    assert (shown[0], shown[3], shown[5], shown[7], shown[8]) == (
        "10s",
        "node",
        "scheduler",
        "5m",
        9,
    )


def test_single_event_without_times_counts_one() -> None:
    shown = cells("events", involvedObject={})
    assert (shown[0], shown[7], shown[8]) == ("<unknown>", "<unknown>", 1)


def test_event_of_the_new_group_prints_the_same() -> None:
    core = {
        "involvedObject": {"kind": "Pod", "name": "p"},
        "message": "m",
        "source": {"component": "c"},
        "reportingComponent": "r",
        "firstTimestamp": CREATED,
        "lastTimestamp": LATER,
        "count": 2,
    }
    new = {
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "m",
        "deprecatedSource": {"component": "c"},
        "reportingController": "r",
        "deprecatedFirstTimestamp": CREATED,
        "deprecatedLastTimestamp": LATER,
        "deprecatedCount": 2,
    }
    assert cells("events", **core) == cells("events", **new)


def test_data_counts_entries_of_both_kinds() -> None:
    shown = cells("configmaps", data={"a": "1"}, binaryData={"b": "Mg==", "c": "Mw=="})
    assert shown == ["w", 3, "5m"]
    assert cells("secrets", type="Opaque", data={"a": "MQ=="}) == ["w", "Opaque", 1, "5m"]
    assert cells("serviceaccounts", secrets=[{"name": "s"}]) == ["w", 1, "5m"]


def test_quota_separates_limits_from_the_rest() -> None:
    hard = {"requests.cpu": "4", "limits.cpu": "8", "pods": "10", "limits.memory": "1Gi"}
    used = {"requests.cpu": "500m", "limits.cpu": "1"}
    shown = cells("resourcequotas", status={"hard": hard, "used": used})
    expected = ["pods: 0/10, requests.cpu: 500m/4", "limits.cpu: 1/8, limits.memory: 0/1Gi"]
    assert shown[1:3] == expected


def test_component_status_shows_health() -> None:
    condition = {"type": "Healthy", "status": "False", "message": "m", "error": "e"}
    shown = cells("componentstatuses", conditions=[condition])
    assert shown == ["w", "Unhealthy", "m", "e"]
    assert cells("componentstatuses") == ["w", "Unknown", "", ""]

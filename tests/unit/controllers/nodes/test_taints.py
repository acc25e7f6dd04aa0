"""Taints and tolerations, by the rules of upstream's helpers."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.nodes.taints import (
    NO_EXECUTE,
    NOT_READY,
    UNREACHABLE,
    Taint,
    changed_taints,
    no_schedule_changes,
    tolerated_s,
    tolerates,
)
from tests.unit.controllers.nodes.node_objects import condition, node

NOW = "2026-01-01T00:00:00Z"
TAINT = Taint("k", NO_EXECUTE, "v")


@pytest.mark.parametrize(
    ("toleration", "is_tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "other", "effect": "NoExecute"}, False),
        ({"key": "other", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Gt", "value": "1"}, False),
        ({}, False),
    ],
)
def test_a_toleration_covers_a_taint_as_upstream_says(
    toleration: dict[str, Any],
    *,
    is_tolerated: bool,
) -> None:
    assert tolerates(toleration, TAINT) is is_tolerated


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0.0),
        ([{"key": "other", "operator": "Exists"}], 0.0),
        ([{"operator": "Exists"}], None),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 60}], 60.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 0}], 0.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": -5}], 0.0),
        (
            [
                {"key": "k", "operator": "Exists", "tolerationSeconds": 60},
                {"key": "k", "operator": "Exists", "tolerationSeconds": 5},
            ],
            60.0,
        ),
    ],
)
def test_the_first_toleration_that_covers_a_taint_says_for_how_long(
    tolerations: list[dict[str, Any]], seconds: float | None
) -> None:
    assert tolerated_s(tolerations, [TAINT]) == seconds


def test_of_several_taints_the_shortest_time_counts() -> None:
    tolerations = [
        {"key": "k", "operator": "Exists", "tolerationSeconds": 60},
        {"key": NOT_READY.key, "operator": "Exists", "tolerationSeconds": 30},
        {"key": UNREACHABLE.key, "operator": "Exists"},
    ]
    assert tolerated_s(tolerations, [TAINT, NOT_READY, UNREACHABLE]) == 30
    assert tolerated_s(tolerations, [TAINT, Taint("new", NO_EXECUTE)]) == 0
    assert tolerated_s(tolerations, [UNREACHABLE]) is None


@pytest.mark.parametrize(
    ("kind", "status", "key"),
    [
        ("Ready", "False", "node.kubernetes.io/not-ready"),
        ("Ready", "Unknown", "node.kubernetes.io/unreachable"),
        ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
        ("MemoryPressure", "Unknown", ""),
        ("Ready", "True", ""),
        ("Strange", "True", ""),
    ],
)
def test_a_condition_means_a_no_schedule_taint(kind: str, status: str, key: str) -> None:
    subject = node()
    subject["status"]["conditions"] = [condition(kind, status)]
    add, remove = no_schedule_changes(subject)
    assert [(one.key, one.effect) for one in add] == ([(key, "NoSchedule")] if key else [])
    assert remove == []


def test_taints_without_a_reason_go_and_those_of_others_stay() -> None:
    taints = [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
        {"key": "mine", "effect": "NoSchedule"},
    ]
    subject = node(ready="True", spec={"taints": taints, "unschedulable": True})
    add, remove = no_schedule_changes(subject)
    assert [one.key for one in add] == ["node.kubernetes.io/unschedulable"]
    assert [one.place for one in remove] == [("node.kubernetes.io/not-ready", "NoSchedule")]
    assert changed_taints(subject, add, remove, NOW) == [
        taints[1],
        taints[2],
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": NOW},
    ]


def test_a_taint_that_is_there_keeps_its_time() -> None:
    old = {"key": UNREACHABLE.key, "effect": NO_EXECUTE, "timeAdded": "2025-01-01T00:00:00Z"}
    subject = node(spec={"taints": [old]})
    assert changed_taints(subject, [UNREACHABLE], [NOT_READY], NOW) is None
    assert changed_taints(subject, [NOT_READY], [UNREACHABLE], NOW) == [
        {"key": NOT_READY.key, "effect": NO_EXECUTE, "timeAdded": NOW}
    ]

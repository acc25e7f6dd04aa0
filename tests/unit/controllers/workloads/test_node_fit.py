"""On which nodes daemons run, by the tables of upstream's daemon_controller_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.nodes.taints import Taint
from controllers.workloads.node_fit import NodeFit, tolerations_of
from kube.informers.changes import Change
from kube.informers.informer import Delta

YES, NO, STAYS = (True, True), (False, False), (False, True)


def node(name: str = "a", *taints: tuple[str, str], **labels: str) -> NodeBrief:
    """Return a node; taints are keys and effects."""
    return NodeBrief(
        name=name,
        uid="",
        created_s=0,
        zone="",
        ready="True",
        heartbeat="",
        taints=tuple(Taint(key, effect, "v") for key, effect in taints),
        counts=True,
        pod_ranges=(),
        labels=labels,
    )


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    """Return a pod's spec with required node affinity."""
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"nodeAffinity": {name: {"nodeSelectorTerms": list(terms)}}}}


def rule(key: str, operator: str, *values: str) -> dict[str, Any]:
    """Return a rule of a term."""
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, YES),
        ({"nodeName": "a"}, YES),
        ({"nodeName": "b"}, NO),
        ({"nodeSelector": {"color": "blue"}}, YES),
        ({"nodeSelector": {"color": "red"}}, NO),
        ({"nodeSelector": {"color": "blue", "size": "large"}}, NO),
        (required({"matchExpressions": [rule("color", "In", "red", "blue")]}), YES),
        (required({"matchExpressions": [rule("color", "NotIn", "blue")]}), NO),
        (required({"matchExpressions": [rule("size", "NotIn", "large")]}), YES),
        (required({"matchExpressions": [rule("size", "Exists")]}), NO),
        (required({"matchExpressions": [rule("size", "DoesNotExist")]}), YES),
        (required({"matchExpressions": [rule("cores", "Gt", "7")]}), YES),
        (required({"matchExpressions": [rule("cores", "Lt", "8")]}), NO),
        (required({"matchExpressions": [rule("color", "Gt", "7")]}), NO),
        (required({"matchExpressions": [rule("size", "Lt", "7")]}), NO),
        (required({"matchFields": [rule("metadata.name", "In", "a")]}), YES),
        (required({"matchFields": [rule("metadata.name", "NotIn", "a")]}), NO),
        (required({"matchFields": [rule("metadata.uid", "In", "a")]}), NO),
        (required(), NO),
        (required({}), NO),
        (required({}, {"matchExpressions": [rule("color", "Exists")]}), YES),
        (
            required(
                {
                    "matchExpressions": [rule("color", "Exists")],
                    "matchFields": [rule("metadata.name", "In", "b")],
                }
            ),
            NO,
        ),
        ({"affinity": {"nodeAffinity": {}}}, YES),
    ],
)
def test_selectors_and_affinity_choose_nodes(
    spec: dict[str, Any], found: tuple[bool, bool]
) -> None:
    assert NodeFit(spec).of(node("a", color="blue", cores="8")) == found


@pytest.mark.parametrize(
    ("taints", "tolerations", "found"),
    [
        ([("k", "NoSchedule")], [], STAYS),
        ([("k", "NoExecute")], [], NO),
        ([("k", "PreferNoSchedule")], [], YES),
        ([("k", "NoSchedule"), ("l", "NoExecute")], [{"key": "l", "operator": "Exists"}], STAYS),
        ([("k", "NoSchedule")], [{"operator": "Exists"}], YES),
        ([("k", "NoSchedule")], [{"key": "k", "value": "v"}], YES),
        ([("k", "NoSchedule")], [{"key": "k", "value": "w"}], STAYS),
        ([("k", "NoExecute")], [{"key": "k", "value": "v", "effect": "NoSchedule"}], NO),
        ([("node.kubernetes.io/unschedulable", "NoSchedule")], [], YES),
        ([("node.kubernetes.io/not-ready", "NoExecute")], [], YES),
        ([("node.kubernetes.io/unreachable", "NoExecute")], [], YES),
        ([("node.kubernetes.io/disk-pressure", "NoSchedule")], [], YES),
        ([("node.kubernetes.io/disk-pressure", "NoExecute")], [], NO),
        ([("node.kubernetes.io/network-unavailable", "NoSchedule")], [], STAYS),
    ],
)
def test_taints_keep_new_pods_away_and_no_execute_the_old_ones_too(
    taints: list[tuple[str, str]], tolerations: list[Any], found: tuple[bool, bool]
) -> None:
    assert NodeFit({"tolerations": tolerations}).of(node("a", *taints)) == found


def test_pods_on_the_nodes_network_do_not_wait_for_one() -> None:
    fit = NodeFit({"hostNetwork": True})
    assert fit.of(node("a", ("node.kubernetes.io/network-unavailable", "NoSchedule"))) == YES


def test_a_toleration_with_a_time_limit_loses_it() -> None:
    limited = {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 30,
    }
    found = tolerations_of({"tolerations": [limited]})
    assert len(found) == 6
    assert all("tolerationSeconds" not in one for one in found)


def test_a_node_that_only_says_that_it_is_alive_is_no_news() -> None:
    told: list[tuple[NodeBrief | None, NodeBrief | None]] = []
    book = NodeBook()
    book.listen_for_places(lambda old, new: told.append((old, new)))

    def change(kind: Change, *taints: str, **labels: str) -> None:
        spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}
        obj = {"metadata": {"name": "a", "labels": labels}, "spec": spec}
        book.take([Delta(kind, "a", obj)])

    change(Change.ADDED, color="blue")
    change(Change.MODIFIED, color="blue")
    change(Change.MODIFIED, "k", color="blue")
    change(Change.MODIFIED, "k", color="red")
    (kept,) = book
    assert (kept.labels, kept.taints) == ({"color": "red"}, (Taint("k", "NoSchedule"),))
    change(Change.DELETED)
    assert (len(told), told[-1][1], len(book)) == (4, None, 0)

"""Briefs of pods, and the book that has them by owner; what a controller expects to see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.workloads.expectations import EXPIRES_S, Expectations
from controllers.workloads.pods import ORPHANS, Briefs, Owner, PodBook, PodBrief, selects
from kube.informers.changes import Change
from kube.informers.informer import Delta
from runtime.clock import SimulatedClock
from tests.unit.controllers.workloads.workload_objects import NOW_S, pod


def raw(name: str, owner: str = "", **more: Any) -> dict[str, Any]:
    """Return a pod as the API has it."""
    metadata: dict[str, Any] = {"name": name, "namespace": "n", "uid": name, "labels": {"a": "b"}}
    if owner:
        reference = {"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"metadata": metadata, "spec": {}, **more}


def change(kind: Change, obj: dict[str, Any]) -> Delta:
    """Return a change as an informer tells it."""
    return Delta(kind, f"n/{obj['metadata']['name']}", obj)


def names(pods: Any) -> list[str]:
    """Return the names of pods."""
    return sorted(one.name for one in pods)


def test_a_pod_is_found_by_who_controls_it_now() -> None:
    book = PodBook()
    book.take([change(Change.ADDED, raw("p", "one")), change(Change.ADDED, raw("q"))])
    assert (names(book.owned("one")), names(book.orphans("n"))) == (["p"], ["q"])
    book.take([change(Change.MODIFIED, raw("p")), change(Change.MODIFIED, raw("q", "two"))])
    assert names(book.owned("one")) == []
    assert (names(book.owned("two")), names(book.orphans("n"))) == (["q"], ["p"])
    book.take([change(Change.DELETED, raw("q", "two"))])
    assert (len(book), names(book.owned("two"))) == (1, [])


def test_listeners_are_told_of_before_and_after() -> None:
    told: list[tuple[PodBrief | None, PodBrief | None]] = []
    book = PodBook()
    book.listen(lambda old, new: told.append((old, new)))
    book.take([change(Change.ADDED, raw("p")), change(Change.DELETED, raw("p"))])
    assert [(old is None, new is None) for old, new in told] == [(True, False), (False, True)]


def test_who_listens_for_a_kind_is_told_of_its_pods_and_of_orphans() -> None:
    book, told = PodBook(), []
    for kind in ("ReplicaSet", "Job", ORPHANS):
        book.listen_for(kind, lambda old, new, kind=kind: told.append((kind, old, new)))

    def kinds(change_of: Change, obj: dict[str, Any]) -> list[str]:
        told.clear()
        book.take([change(change_of, obj)])
        return [kind for kind, _, _ in told]

    owner = {"kind": "Job", "name": "j", "uid": "j", "controller": True}
    everybody = ["ReplicaSet", "Job", ORPHANS]
    assert kinds(Change.ADDED, raw("p", "web")) == ["ReplicaSet"]
    assert kinds(Change.MODIFIED, raw("p", "web", phase="Running")) == ["ReplicaSet"]
    taken = raw("p")
    taken["metadata"]["ownerReferences"] = [owner]
    assert kinds(Change.MODIFIED, taken) == ["ReplicaSet", "Job"]
    assert kinds(Change.MODIFIED, raw("p")) == everybody
    assert kinds(Change.MODIFIED, raw("p", "web")) == everybody
    assert kinds(Change.DELETED, raw("p", "web")) == ["ReplicaSet"]
    assert told[0][2] is None


def test_labels_that_are_alike_are_kept_once() -> None:
    briefs = Briefs()
    assert briefs.of("n/p", raw("p")).labels is briefs.of("n/q", raw("q")).labels


@pytest.mark.parametrize(
    ("text", "cost"), [("5", 5), ("-7", -7), ("+5", 0), ("x", 0), ("9999999999", 0), ("05", 0)]
)
def test_only_a_plain_int32_is_a_deletion_cost(text: str, cost: int) -> None:
    made = raw("p")
    made["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": text}
    assert Briefs().of("n/p", made).cost == cost


def test_restarts_of_sidecars_are_counted_apart() -> None:
    made = raw("p")
    made["spec"] = {
        "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
    }
    made["status"] = {
        "containerStatuses": [{"name": "c", "restartCount": 2}],
        "initContainerStatuses": [
            {"name": "s", "restartCount": 4},
            {"name": "i", "restartCount": 9},
        ],
    }
    assert Briefs().of("n/p", made).restarts == (2, 4)


def test_a_pod_is_available_once_it_has_been_ready_for_long_enough() -> None:
    ready = pod("p", ready_s=int(NOW_S) - 10)
    assert ready.is_available(0, NOW_S)
    assert ready.is_available(10, NOW_S)
    assert not ready.is_available(11, NOW_S)
    assert not pod("p", ready_s=None).is_available(0, NOW_S)


def test_the_owner_is_the_one_reference_that_controls() -> None:
    made = raw("p", "one")
    made["metadata"]["ownerReferences"].insert(0, {"kind": "X", "name": "x", "uid": "x"})
    assert Briefs().of("n/p", made).owner == Owner("ReplicaSet", "one", "one")


@pytest.mark.parametrize(
    ("selector", "is_selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "b"}}, True),
        ({"matchLabels": {"a": "c"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, False),
        ({"matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["b"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_selects(selector: dict[str, Any] | None, is_selected: bool) -> None:  # noqa: FBT001
    assert selects(selector)({"a": "b"}) is is_selected


def test_expectations_are_met_when_all_was_seen() -> None:
    expected = Expectations(SimulatedClock())
    assert expected.satisfied("n/o")
    expected.expect("n/o", creations=2)
    expected.created("n/o")
    assert not expected.satisfied("n/o")
    expected.created("n/o")
    assert expected.satisfied("n/o")
    expected.expect("n/o", deletions=["n/p"])
    expected.deleted("n/o", "n/q")
    assert not expected.satisfied("n/o")
    for _ in range(2):  # told of twice: as going, and as gone
        expected.deleted("n/o", "n/p")
    assert expected.satisfied("n/o")


def test_expectations_are_not_waited_for_for_ever() -> None:
    clock = SimulatedClock()
    expected = Expectations(clock)
    expected.expect("n/o", creations=1)
    asyncio.run(clock.advance(EXPIRES_S + 1))
    assert expected.satisfied("n/o")

"""Cells: what is known of nodes and pods is the sum of their changes, and told once."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.console.cells import CORDONED, LEAVING, PRESSED, TAINTED, Book, flags_of
from apiserver.console.live import cell_lines


def node(name: str, zone: str = "", **more: Any) -> dict[str, Any]:
    """Return a ready node with 4 cores, 8 GiB and 8 devices."""
    return {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": more.get("spec", {}),
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/gpu": "8"},
            "conditions": more.get("conditions", [{"type": "Ready", "status": "True"}]),
        },
    }


def pod(on: str, phase: str = "Running", **requests: str) -> dict[str, Any]:
    """Return a pod that requests something."""
    container = {"name": "c", "resources": {"requests": requests}}
    return {"spec": {"nodeName": on, "containers": [container]}, "status": {"phase": phase}}


def told(book: Book, viewer: Any, *, with_use: bool = True) -> dict[str, Any]:
    """Return all that a viewer is told now."""
    whole: dict[str, Any] = {"rows": [], "uses": [], "gone": [], "zones": []}
    for line in cell_lines(book, viewer, with_use=with_use):
        for key, values in line.items():
            if key != "type":
                whole[key] += values
    return whole


def test_who_begins_to_look_is_told_of_all_nodes_once() -> None:
    book = Book()
    book.put_node(node("a", "z1"))
    book.put_node(node("b", "z2"))
    viewer = book.look()
    first = told(book, viewer)
    assert sorted(row[1] for row in first["rows"]) == ["a", "b"]
    assert first["zones"] == ["z1", "z2"]
    assert told(book, viewer) == {"rows": [], "uses": [], "gone": [], "zones": []}


def test_a_pod_counts_for_its_node_until_it_has_ended() -> None:
    book = Book()
    book.put_node(node("a"))
    viewer = book.look()
    told(book, viewer)
    book.put_pod("x/p", pod("a", cpu="1", memory="2Gi", **{"example.com/gpu": "4"}))
    assert told(book, viewer)["uses"] == [[0, 250, 250, 500, 9, 1]]
    book.put_pod("x/p", pod("a", "Succeeded", cpu="1", memory="2Gi", **{"example.com/gpu": "4"}))
    assert told(book, viewer)["uses"] == [[0, 0, 0, 0, 0, 0]]
    assert book.pod_counts() == {"total": 1, "unbound": 0, "Succeeded": 1}
    book.drop_pod("x/p")
    assert book.pod_counts() == {"total": 0, "unbound": 0}


def test_pods_that_are_known_before_their_node_count_for_it() -> None:
    book = Book()
    book.put_pod("x/p", pod("a", cpu="2"))
    book.put_node(node("a"))
    assert told(book, book.look())["rows"] == [[0, "a", 0, 0, 500, 0, 0, 9, 1]]


def test_a_pod_without_a_node_waits() -> None:
    book = Book()
    book.put_pod("x/p", pod("", "Pending", cpu="2"))
    assert book.pod_counts() == {"total": 1, "unbound": 1, "Pending": 1}
    book.put_pod("x/p", pod("a", "Pending", cpu="2"))
    assert book.pod_counts() == {"total": 1, "unbound": 0, "Pending": 1}


def test_a_report_that_changes_nothing_shown_is_not_told() -> None:
    book = Book()
    book.put_node(node("a"))
    viewer = book.look()
    told(book, viewer)
    book.put_node(node("a"))
    assert not viewer.rows
    book.put_node(node("a", conditions=[{"type": "Ready", "status": "False"}]))
    assert told(book, viewer)["rows"][0][3] == 1
    assert book.node_counts()["notReady"] == 1
    assert book.node_counts()["ready"] == 0


def test_a_slot_that_is_free_again_is_used_by_the_next_node() -> None:
    book = Book()
    book.put_node(node("a"))
    viewer = book.look()
    told(book, viewer)
    book.drop_node("a")
    assert told(book, viewer)["gone"] == [0]
    assert book.node_counts()["total"] == 0
    book.drop_node("a")
    book.put_node(node("b"))
    assert told(book, viewer)["rows"][0][:2] == [0, "b"]
    assert len(book.cells) == 1


def test_a_node_replaced_between_two_lines_is_told_as_the_new_one_alone() -> None:
    book = Book()
    book.put_node(node("a"))
    viewer = book.look()
    told(book, viewer)
    book.drop_node("a")
    book.put_node(node("b"))
    assert told(book, viewer) == {
        "rows": [[0, "b", 0, 0, 0, 0, 0, 0, 0]],
        "uses": [],
        "gone": [],
        "zones": [],
    }


def test_who_may_not_see_pods_is_not_told_what_they_take() -> None:
    book = Book()
    book.put_node(node("a"))
    book.put_pod("x/p", pod("a", cpu="1"))
    viewer = book.look()
    assert told(book, viewer, with_use=False)["rows"] == [[0, "a", 0, 0, -1, -1, -1, -1, 0]]
    book.put_pod("x/p", pod("a", cpu="2"))
    assert told(book, viewer, with_use=False)["uses"] == []


@pytest.mark.parametrize(
    ("more", "flags"),
    [
        ({}, 0),
        ({"conditions": []}, 2),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, 2),
        ({"spec": {"unschedulable": True}}, CORDONED),
        ({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}, TAINTED),
        ({"spec": {"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}}, 0),
        (
            {"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}},
            0,
        ),
        (
            {
                "conditions": [
                    {"type": "DiskPressure", "status": "True"},
                    {"type": "Ready", "status": "True"},
                ]
            },
            PRESSED,
        ),
    ],
)
def test_flags_say_what_keeps_pods_away(more: dict[str, Any], flags: int) -> None:
    assert flags_of(node("a", **more)) == flags


def test_a_node_that_is_deleted_is_leaving() -> None:
    going = node("a")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert flags_of(going) == LEAVING


def test_lines_are_bounded_however_many_nodes_there_are() -> None:
    book = Book()
    for number in range(5000):
        book.put_node(node(f"n{number}"))
    lines = list(cell_lines(book, book.look(), with_use=True))
    assert [len(line["rows"]) for line in lines] == [2000, 2000, 1000]


def test_nonsense_in_quantities_is_nothing() -> None:
    book = Book()
    odd = node("a")
    odd["status"]["allocatable"] = {"cpu": "much", "pods": None}
    book.put_node(odd)
    assert book.row(0) == [0, "a", 0, 0, -1, -1, -1, -1, 0]

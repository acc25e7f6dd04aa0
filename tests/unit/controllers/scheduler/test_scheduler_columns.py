"""Columns of nodes: what is kept of nodes that are gone does not grow without end."""

from __future__ import annotations

from controllers.scheduler.columns import NodeColumns
from kube.json_types import JsonObject


def node(name: str, number: int) -> JsonObject:
    """Return a node with taints, labels and images of its own."""
    return {
        "metadata": {"name": name, "labels": {"host": name, "number": str(number)}},
        "spec": {"taints": [{"key": "k", "value": str(number), "effect": "NoSchedule"}]},
        "status": {
            "allocatable": {"cpu": "1", "pods": "1"},
            "images": [{"names": ["i"], "sizeBytes": number}],
        },
    }


def test_nodes_that_come_and_go_leave_nothing_behind() -> None:
    columns = NodeColumns()
    for number in range(5_000):
        name = f"node-{number}"
        columns.put(node(name, number))
        columns.label("host")
        columns.drop(name) if number >= 3 else None
    columns.put(node("node-1", 77_777))
    assert (columns.count, columns.nodes) == (4, 3)
    assert len(columns.image_sets.sets) < 1_100
    assert len(columns.taint_sets) < 1_100
    assert len(columns.label("host").values) < 1_100
    slot = columns.slot_of["node-1"]
    assert columns.taint_sets[columns.taints[slot]][0].value == "77777"
    assert columns.image_sets.sets[columns.images[slot]] == {"i": 77_777}
    hosts = columns.label("host")
    assert hosts.values[hosts.codes[slot]] == "node-1"


def test_a_node_that_is_told_again_as_it_was_changes_nothing() -> None:
    columns = NodeColumns()
    columns.put(node("a", 1))
    version = columns.version
    assert columns.put(node("a", 1)) == (0, False)
    assert columns.version == version


def test_ranks_are_found_again() -> None:
    columns = NodeColumns(seed=12345)
    for number in range(200):
        slot = columns.slot(f"n{number}")
        assert columns.slot_of_rank(int(columns.rank[slot])) == slot

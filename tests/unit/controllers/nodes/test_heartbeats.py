"""When nodes count as heard of: the cases of tryUpdateNodeHealth."""

from __future__ import annotations

import asyncio

from controllers.nodes.book import NodeBook
from controllers.nodes.heartbeats import Heartbeats
from runtime.clock import SimulatedClock
from tests.unit.controllers.nodes.node_objects import Feed, lease, node

START_S = 1_700_000_000


class _World:
    def __init__(self) -> None:
        self.clock = SimulatedClock(START_S)
        self.heard = Heartbeats(self.clock)
        self.nodes = Feed()
        self.book = NodeBook()
        self.nodes.on_changes(self.book.take)
        self.book.listen(
            lambda old, new, obj: self.heard.observe(old, new, obj["metadata"]["name"])
        )

    def advance(self, seconds: float) -> None:
        asyncio.run(self.clock.advance(seconds))

    def seen_s(self, name: str = "n") -> float:
        found = self.heard.get(name)
        assert found is not None
        return found.seen_s


def _node(revision: int, ready: str = "", **more: object) -> dict[str, object]:
    made = node(ready=ready, **more)
    made["metadata"]["resourceVersion"] = str(revision)
    return made


def test_one_that_never_was_ready_counts_from_its_creation() -> None:
    world = _World()
    world.nodes.put(_node(1, created_s=START_S - 100))
    assert world.seen_s() == -100


def test_one_that_is_ready_counts_from_when_this_process_first_sees_it() -> None:
    world = _World()
    world.advance(7)
    world.nodes.put(_node(1, "True", created_s=START_S - 10_000))
    assert world.seen_s() == 7


def test_another_heartbeat_time_counts_and_any_other_change_does_not() -> None:
    world = _World()
    world.nodes.put(_node(1, "True"))
    world.advance(10)
    world.nodes.put(_node(2, "True", labels={"a": "b"}))
    assert world.seen_s() == 0
    world.nodes.put(_node(3, "True", lastHeartbeatTime="2023-11-14T22:13:30Z"))
    assert world.seen_s() == 10


def test_a_ready_condition_that_comes_or_goes_counts() -> None:
    world = _World()
    world.nodes.put(_node(1, created_s=START_S - 100))
    world.advance(1)
    world.nodes.put(_node(2, "False"))
    assert world.seen_s() == 1
    world.advance(1)
    world.nodes.put(_node(3))
    assert world.seen_s() == 2


def test_what_the_controller_writes_itself_is_no_sign_of_life() -> None:
    world = _World()
    world.nodes.put(_node(1, created_s=START_S - 100))
    world.heard.wrote("n", "2023-11-14T22:13:20Z")
    world.advance(5)
    world.nodes.put(_node(2, "Unknown"))
    assert world.seen_s() == -100


def test_a_later_renewal_counts_by_the_clock_of_this_process() -> None:
    world = _World()
    world.nodes.put(_node(1, "True"))
    world.advance(10)
    world.heard.take([lease("n", "2001-01-01T00:00:00.000000Z")])
    assert world.seen_s() == 10, "the first that is seen counts, whatever the node's clock says"
    world.advance(10)
    world.heard.take([lease("n", "2001-01-01T00:00:00.000000Z")])
    assert world.seen_s() == 10
    world.heard.take([lease("n", "2000-01-01T00:00:00.000000Z")])
    assert world.seen_s() == 10
    world.heard.take([lease("n", "2001-01-01T00:00:00.000001Z")])
    assert world.seen_s() == 20


def test_a_lease_that_comes_before_its_node_counts() -> None:
    world = _World()
    world.heard.take([lease("n", "2026-01-01T00:00:00.000000Z")])
    assert world.heard.get("n") is None
    world.advance(3)
    world.nodes.put(_node(1, created_s=START_S - 1000))
    assert world.seen_s() == 3


def test_nodes_and_leases_that_are_gone_leave_nothing() -> None:
    world = _World()
    for number in range(3):
        world.nodes.put(node(f"n{number}"))
        world.heard.take([lease(f"n{number}", "2026-01-01T00:00:00.000000Z")])
    world.nodes.drop(node("n0"))
    told = lease("n0", "2026-01-01T00:00:00.000000Z")
    world.heard.take([told._replace(change=told.change.DELETED)])
    assert len(world.heard) == 2
    # One whose lease went while the watch was away:
    world.nodes.drop(node("n1"))
    world.heard.begin()
    world.heard.take([lease("n2", "2026-01-01T00:00:10.000000Z")])
    for _ in world.heard.sweep():
        pass
    assert len(world.heard) == 1


def test_when_all_is_forgiven_each_node_has_its_time_anew() -> None:
    world = _World()
    world.nodes.put(_node(1, "True"))
    world.advance(1000)
    for _ in world.heard.forgive():
        pass
    assert world.seen_s() == 1000


def test_leases_that_are_not_of_nodes_do_not_count() -> None:
    world = _World()
    world.nodes.put(_node(1))
    world.advance(3)
    told = lease("n", "2026-01-01T00:00:00.000000Z")
    told.object["metadata"]["namespace"] = "kube-system"
    world.heard.take([told])
    assert len(world.heard) == 1
    assert world.seen_s() < 3

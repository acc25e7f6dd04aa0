"""The pass over all nodes, on a clock of its own: upstream's tables of monitorNodeHealth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from controllers.nodes.book import NodeBook
from controllers.nodes.lifecycle import NodeLifecycle
from controllers.nodes.lost_pods import NODE_INDEX, LostPods, node_of
from controllers.nodes.marks import NODES, Marks
from controllers.nodes.monitor import Tools
from controllers.nodes.options import DEFAULTS
from controllers.nodes.taints import NOT_READY, UNREACHABLE
from controllers.workloads.pods import PodBook
from kube.informers.changes import key_of
from runtime.clock import SimulatedClock
from runtime.tasks import TaskScope
from tests.unit.controllers.nodes.node_objects import (
    Feed,
    Said,
    Server,
    condition,
    lease,
    node,
    pod,
)

START_S = 1_700_000_000
OLD_S = START_S - 100_000
GRACE_S = DEFAULTS.monitor_grace_s
FAST = replace(DEFAULTS, eviction_rate=1000.0)


class World:
    """A lifecycle controller and what it sees."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(START_S)
        self.server: Any = Server(self.clock)
        self.said: Any = Said()
        self.nodes = Feed()
        self.pods = Feed({NODE_INDEX: node_of})
        book, pod_book = NodeBook(), PodBook()
        self.nodes.on_changes(book.take)
        self.pods.on_changes(pod_book.take)
        tools = Tools(
            self.server,
            self.said,
            self.nodes.store,
            book,
            Marks(self.server, self.nodes.store),
            LostPods(self.server, self.said, self.pods.store),
        )
        self.subject = NodeLifecycle(tools, FAST, pod_book)

    def put(self, *nodes: dict[str, Any]) -> None:
        """Have nodes, in the server too."""
        for one in nodes:
            self.server.objects[f"{NODES}/{one['metadata']['name']}"] = one
            self.nodes.put(one)

    def put_pods(self, *pods: dict[str, Any]) -> None:
        """Have pods."""
        for one in pods:
            namespace, name = key_of(one).split("/")
            self.server.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"] = one
            self.pods.put(one)

    def watch(self) -> None:
        """Be told of what was written."""
        for path, obj in self.server.objects.items():
            (self.nodes if path.startswith(NODES) else self.pods).put(obj)

    async def look(self, after_s: float = 0.0) -> None:
        """Let time pass, make a pass, and be told what it wrote."""
        await self.clock.advance(after_s)
        await self.subject.monitor.look()
        self.watch()

    def conditions(self, name: str = "n") -> dict[str, Any]:
        """Return what is written of a node."""
        status = self.server.objects[f"{NODES}/{name}"]["status"]
        return {one["type"]: one for one in status.get("conditions", ())}


def run(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a world."""

    async def start() -> None:
        await test(World())

    asyncio.run(start())


def test_an_old_node_without_status_is_unknown_and_was_never_updated() -> None:
    async def test(world: World) -> None:
        world.put(node(created_s=OLD_S))
        await world.look()
        found = world.conditions()
        assert set(found) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
        for one in found.values():
            assert one["status"] == "Unknown"
            assert one["reason"] == "NodeStatusNeverUpdated"
            assert one["message"] == "Kubelet never posted node status."
            assert (
                one["lastHeartbeatTime"] == node(created_s=OLD_S)["metadata"]["creationTimestamp"]
            )
            assert one["lastTransitionTime"] == "2023-11-14T22:13:20Z"

    run(test)


def test_a_new_node_without_status_is_left_alone_until_its_startup_grace_ends() -> None:
    async def test(world: World) -> None:
        world.put(node(created_s=START_S))
        await world.look()
        await world.look(59)
        assert world.server.writes("PUT") == []
        await world.look(2)
        assert world.conditions()["Ready"]["status"] == "Unknown"

    run(test)


def test_a_node_that_falls_silent_is_unknown_after_the_grace_period_and_not_before() -> None:
    async def test(world: World) -> None:
        pressure = condition("NetworkUnavailable", "False")
        subject = node(ready="True", created_s=OLD_S)
        subject["status"]["conditions"].append(pressure)
        world.put(subject)
        await world.look(GRACE_S)
        assert world.server.writes("PUT") == []
        await world.look(1)
        found = world.conditions()
        assert (found["Ready"]["status"], found["Ready"]["reason"], found["Ready"]["message"]) == (
            "Unknown",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        )
        assert found["Ready"]["lastTransitionTime"] == "2023-11-14T22:14:11Z"
        assert found["MemoryPressure"]["reason"] == "NodeStatusNeverUpdated"
        assert found["NetworkUnavailable"] == pressure, "that is not the kubelet's to say"
        assert ("n", "NodeNotReady", "Node n status is now: NodeNotReady") in world.said.told
        await world.look(1000)
        assert len(world.server.writes("PUT", "/status")) == 1, "it is written once"

    run(test)


def test_leases_alone_keep_a_node_well() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S))
        for second in range(10):
            world.subject.heartbeats.take([lease("n", f"2026-01-01T00:00:{second:02}.000000Z")])
            await world.look(GRACE_S - 1)
        assert world.server.writes("PUT") == []

    run(test)


def test_a_lease_that_holds_for_longer_gives_its_node_a_quarter_more_than_that() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S))
        world.subject.heartbeats.take([lease("n", "2026-01-01T00:00:00.000000Z", holds_s=160)])
        await world.look(200)
        assert world.server.writes("PUT") == []
        await world.look(1)
        assert world.conditions()["Ready"]["status"] == "Unknown"

    run(test)


@pytest.mark.parametrize(
    ("ready", "wanted", "other"),
    [("False", NOT_READY, UNREACHABLE), ("Unknown", UNREACHABLE, NOT_READY)],
)
def test_a_taint_of_the_other_kind_is_swapped_at_once(ready: str, wanted: Any, other: Any) -> None:
    async def test(world: World) -> None:
        taint = {"key": other.key, "effect": other.effect}
        world.put(node(ready=ready, spec={"taints": [taint]}), node("well", ready="True"))
        await world.look()
        (body,) = world.server.writes("PATCH", f"{NODES}/n")
        assert [(one["key"], one["effect"]) for one in body["spec"]["taints"]] == [wanted[:2]]
        assert len(world.subject.monitor.zones.queues[""]) == 0

    run(test)


def test_a_lost_node_waits_in_its_zones_queue_and_is_tainted_from_there() -> None:
    async def test(world: World) -> None:
        labels = {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"}
        world.put(
            *(node(f"w{number}", ready="True", labels=labels) for number in range(3)),
            node("lost", ready="Unknown", labels=labels),
        )
        await world.look()
        assert world.server.writes("PATCH") == []
        assert len(world.subject.monitor.zones.queues["r:\0:z"]) == 1
        async with TaskScope("test") as scope:
            scope.spawn(world.subject.run_tainting(), name="tainting")
            await world.clock.advance(1)
            await scope.stop()
        (body,) = world.server.writes("PATCH", f"{NODES}/lost")
        assert [(one["key"], one["effect"]) for one in body["spec"]["taints"]] == [UNREACHABLE[:2]]
        world.watch()
        await world.look(5)
        assert len(world.subject.monitor.zones.queues["r:\0:z"]) == 0

    run(test)


def test_a_node_that_is_ready_again_loses_its_taints_and_its_place() -> None:
    async def test(world: World) -> None:
        taints = [{"key": one.key, "effect": one.effect} for one in (UNREACHABLE, NOT_READY)]
        mine = {"key": "mine", "effect": "NoExecute"}
        world.put(node(ready="True", spec={"taints": [*taints, mine]}))
        world.subject.monitor.zones.queue("").add("n", 0)
        await world.look()
        (body,) = world.server.writes("PATCH")
        assert body["spec"]["taints"] == [mine]
        assert len(world.subject.monitor.zones.queues[""]) == 0

    run(test)


def test_pods_of_a_node_that_is_lost_are_not_ready_and_users_are_told() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S), node("other", ready="True"))
        waiting = pod("waiting")
        waiting["status"]["conditions"] = []
        world.put_pods(pod("a"), pod("b"), pod("elsewhere", "other"), waiting)
        world.subject.heartbeats.take([lease("other", "2026-01-01T00:00:00.000000Z")])
        await world.clock.advance(GRACE_S)
        world.subject.heartbeats.take([lease("other", "2026-01-01T00:01:00.000000Z")])
        await world.look(1)
        written = {
            path.split("/")[6]: body for _, path, body in world.server.asked if "/pods/" in path
        }
        assert set(written) == {"a", "b"}
        (ready,) = written["a"]["status"]["conditions"]
        assert (ready["status"], ready["lastTransitionTime"]) == ("False", "2023-11-14T22:14:11Z")
        assert ("a", "NodeNotReady", "Node is not ready") in world.said.told

    run(test)


def test_a_node_that_could_not_be_written_is_written_in_the_next_pass() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S))
        world.put_pods(pod("a"), pod("b"))
        await world.clock.advance(GRACE_S + 1)
        world.server.refusals["PUT"] = [500]  # the node itself
        await world.look()
        await world.look(5)
        assert len(world.server.writes("PUT", "/pods/")) == 2
        world.server.asked.clear()
        await world.look(5)
        assert world.server.asked == [], "and not again once they are"

    run(test)


def test_a_pod_whose_mark_was_refused_is_marked_in_the_next_pass() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="Unknown"), node("well", ready="True"))
        world.put_pods(pod("a"))
        world.subject.monitor.mark_later("n")
        world.server.refusals["PUT"] = [409]
        await world.look()
        await world.look(5)
        assert len(world.server.writes("PUT", "/pods/a/status")) == 2
        await world.look(5)
        assert len(world.server.writes("PUT", "/pods/a/status")) == 2

    run(test)


def test_where_the_kubelet_wrote_meanwhile_nothing_is_written() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S))
        await world.clock.advance(GRACE_S + 1)
        world.server.refusals["PUT"] = [409]
        async with TaskScope("test") as scope:
            look = scope.spawn(world.subject.monitor.look(), name="pass")
            await world.clock.advance(0)
            fresh = node(ready="True", created_s=OLD_S, lastHeartbeatTime="2023-11-14T22:14:00Z")
            fresh["metadata"]["resourceVersion"] = "2"
            world.put(fresh)
            await world.clock.advance(1)
            await look
        assert len(world.server.writes("PUT")) == 1
        assert world.conditions()["Ready"]["status"] == "True"

    run(test)


def test_when_all_nodes_are_lost_their_taints_are_taken_off_and_none_is_queued() -> None:
    async def test(world: World) -> None:
        taint = {"key": UNREACHABLE.key, "effect": UNREACHABLE.effect}
        world.put(node("a", ready="Unknown", spec={"taints": [taint]}), node("b", ready="Unknown"))
        await world.look()
        (body,) = world.server.writes("PATCH", f"{NODES}/a")
        assert body["spec"]["taints"] is None
        assert world.subject.monitor.zones.queues[""].take(1e9) is None

    run(test)


def test_a_pass_that_fails_is_followed_by_the_next() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True", created_s=OLD_S))
        kept, world.server.request = world.server.request, None  # what no server does
        async with TaskScope("test") as scope:
            scope.spawn(world.subject.run_monitor(), name="monitor")
            await world.clock.advance(GRACE_S + 6)
            world.server.request = kept
            await world.clock.advance(6)
            await scope.stop()
        assert world.conditions()["Ready"]["status"] == "Unknown"

    run(test)


def test_a_pod_that_comes_to_a_lost_node_is_marked() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="Unknown"), node("well", ready="True"))
        async with TaskScope("test") as scope:
            world.subject.start(scope)
            await world.clock.advance(1)
            world.put_pods(pod("late"), pod("fine", "well"))
            await world.clock.advance(1)
            await scope.stop()
        assert len(world.server.writes("PUT", "/pods/late/status")) == 1
        assert world.server.writes("PUT", "/pods/fine/status") == []

    run(test)


def test_excluded_nodes_are_not_counted() -> None:
    async def test(world: World) -> None:
        world.put(
            node("well", ready="True"),
            *(
                node(
                    f"n{number}",
                    ready="Unknown",
                    labels={"node.kubernetes.io/exclude-disruption": ""},
                )
                for number in range(5)
            ),
        )
        await world.look()
        assert [state.value for state in world.subject.monitor.zones.states.values()] == ["Normal"]

    run(test)


def test_users_are_told_of_nodes_that_come_and_go() -> None:
    async def test(world: World) -> None:
        world.put(node(ready="True"))
        await world.look()
        world.nodes.drop(world.server.objects.pop(f"{NODES}/n"))
        await world.look(5)
        assert world.said.told == [
            ("n", "RegisteredNode", "Node n event: Registered Node n in Controller"),
            ("n", "RemovingNode", "Node n event: Removing Node n from Controller"),
        ]

    run(test)

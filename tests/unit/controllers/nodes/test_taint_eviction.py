"""Who must leave a tainted node, and when: upstream's cases, on a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from controllers.nodes.book import NodeBook
from controllers.nodes.evictions import Cause, Evictions
from controllers.nodes.lost_pods import NODE_INDEX, node_of
from controllers.nodes.taint_eviction import TaintEviction
from runtime.clock import SimulatedClock
from runtime.tasks import TaskScope
from tests.unit.controllers.nodes.node_objects import Feed, Said, Server, node, pod

TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}
POD = "/api/v1/namespaces/ns/pods/p"


class World:
    """A taint eviction controller and what it sees."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.server: Any = Server(self.clock)
        self.said: Any = Said()
        self.nodes, self.pods = Feed(), Feed({NODE_INDEX: node_of})
        self.evictions = Evictions(self.server, self.said)
        book = NodeBook()
        self.nodes.on_changes(book.take)
        pods: Any = self.pods
        self.subject = TaintEviction(self.clock, self.evictions, book, pods)
        self._revision = 0

    def put_node(self, *taints: dict[str, str]) -> None:
        """Have the node with taints."""
        self._revision += 1
        made = node(spec={"taints": list(taints)})
        made["metadata"]["resourceVersion"] = str(self._revision)
        self.nodes.put(made)

    def put_pod(self, *tolerations: dict[str, Any], **more: Any) -> None:
        """Have the pod with tolerations."""
        self._revision += 1
        made = pod(tolerations=list(tolerations), **more)
        made["metadata"]["resourceVersion"] = str(self._revision)
        made["metadata"]["generation"] = 3
        self.server.objects[POD] = made
        self.pods.put(made)

    @property
    def deletes(self) -> int:
        """How often a pod was deleted."""
        return len(self.server.writes("DELETE"))

    @property
    def texts(self) -> list[str]:
        """What was told."""
        return [text for _, _, text in self.said.told]


def run(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a world whose workers run."""

    async def start() -> None:
        world = World()
        async with TaskScope("test") as scope:
            world.subject.start(scope)
            await test(world)
            await scope.stop()

    asyncio.run(start())


def _for(seconds: float) -> dict[str, Any]:
    return {"key": "k", "operator": "Exists", "tolerationSeconds": seconds}


def test_a_pod_that_tolerates_nothing_goes_at_once_and_it_is_said_why() -> None:
    async def test(world: World) -> None:
        world.put_pod()
        world.put_node(TAINT)
        await world.clock.advance(0.2)
        assert world.deletes == 1
        (body,) = world.server.writes("PATCH", f"{POD}/status")
        (target,) = body["status"]["conditions"]
        assert (target["type"], target["reason"], target["observedGeneration"]) == (
            "DisruptionTarget",
            "DeletionByTaintManager",
            3,
        )
        assert world.texts == ["Marking for deletion Pod ns/p"]

    run(test)


def test_one_that_tolerates_it_for_ever_stays() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod({"operator": "Exists"})
        await world.clock.advance(10_000)
        assert (world.deletes, len(world.evictions), world.texts) == (0, 0, [])

    run(test)


def test_one_that_tolerates_it_for_a_while_goes_after_that() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        await world.clock.advance(99)
        assert world.deletes == 0
        await world.clock.advance(1.2)
        assert world.deletes == 1

    run(test)


def test_a_node_without_its_taint_lets_its_pods_be_and_says_so() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        await world.clock.advance(50)
        world.put_node()
        await world.clock.advance(1000)
        assert world.deletes == 0
        assert world.texts == ["Cancelling deletion of Pod ns/p"]

    run(test)


def test_a_toleration_that_becomes_longer_does_not_move_what_is_planned() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        await world.clock.advance(50)
        world.put_pod(_for(300))
        await world.clock.advance(51)
        assert world.deletes == 1

    run(test)


def test_a_toleration_that_is_taken_away_ends_the_wait() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        await world.clock.advance(1)
        world.put_pod()
        await world.clock.advance(0.2)
        assert world.deletes == 1

    run(test)


def test_a_second_taint_that_is_not_tolerated_ends_the_wait() -> None:
    async def test(world: World) -> None:
        world.put_pod(_for(100))
        world.put_node(TAINT)
        await world.clock.advance(1)
        world.put_node(TAINT, {**TAINT, "key": "other"})
        await world.clock.advance(0.2)
        assert world.deletes == 1

    run(test)


def test_a_change_that_decides_nothing_is_not_looked_at() -> None:
    async def test(world: World) -> None:
        world.put_pod()
        world.put_node(TAINT)
        await world.clock.advance(0.2)
        world.put_pod(hostname="h")  # as its own status, written by us, comes back
        await world.clock.advance(0.2)
        assert world.deletes == 1

    run(test)


def test_a_pod_that_comes_to_a_tainted_node_is_judged() -> None:
    async def test(world: World) -> None:
        world.put_pod(where="")
        world.put_node(TAINT)
        await world.clock.advance(0.2)
        assert world.deletes == 0
        world.put_pod(where="n")
        await world.clock.advance(0.2)
        assert world.deletes == 1

    run(test)


def test_another_pod_of_the_name_is_not_meant() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        world.server.objects[POD]["metadata"]["uid"] = "another"
        await world.clock.advance(101)
        assert world.deletes == 0
        assert len(world.evictions) == 0

    run(test)


def test_a_pod_that_is_gone_is_no_longer_planned() -> None:
    async def test(world: World) -> None:
        world.put_node(TAINT)
        world.put_pod(_for(100))
        await world.clock.advance(1)
        world.pods.drop(world.server.objects.pop(POD))
        assert len(world.evictions) == 0
        await world.clock.advance(1000)
        assert world.server.asked == []

    run(test)


def test_plans_that_are_made_and_cancelled_leave_no_heap_behind() -> None:
    async def run_many() -> int:
        evictions = Evictions(_any(Server()), _any(Said()))
        for number in range(10_000):
            key = f"ns/p{number}"
            evictions.plan(key, "u", 1000)
            evictions.cancel(key)
        return len(evictions._heap)

    assert asyncio.run(run_many()) < 2000


def test_a_cause_names_its_deletions() -> None:
    async def start() -> tuple[Any, Any]:
        server, said = Server(), Said()
        server.objects[POD] = pod()
        cause = Cause("DeletionByDeviceTaintManager", "Device Taint manager: deleting", "Devices")
        evictions = Evictions(_any(server), _any(said), cause)
        async with TaskScope("test") as scope:
            evictions.start(scope)
            evictions.plan("ns/p", "uid-p", 0)
            await server.clock.advance(0.2)
            await scope.stop()
        return server, said

    server, said = asyncio.run(start())
    (body,) = server.writes("PATCH")
    assert body["status"]["conditions"][0]["reason"] == "DeletionByDeviceTaintManager"
    assert said.told == [("p", "Devices", "Marking for deletion Pod ns/p")]


def _any(value: Any) -> Any:
    return value

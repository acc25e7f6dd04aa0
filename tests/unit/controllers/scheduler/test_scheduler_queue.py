"""The queue of pods: who comes next, who waits, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.scheduler.queue import STUCK_S, Place, PodQueue, Waiting
from controllers.scheduler.shapes import Shapes
from runtime.clock import SimulatedClock

SHAPES = Shapes()


def waiting(name: str, priority: int = 0, **more: Any) -> Waiting:
    """Return a pod that wants a node."""
    pod = {"metadata": {"name": name, "namespace": "n"}, "spec": {"priority": priority}}
    group = SHAPES.group_of(pod["metadata"])
    return Waiting(name, f"n/{name}", SHAPES.of(pod), group, {}, **more)


def popped(queue: PodQueue) -> list[str]:
    """Return who comes, in order."""
    found = []
    while (pod := queue.pop()) is not None:
        found.append(pod.uid)
    return found


def test_the_more_important_come_first_then_those_who_came_first() -> None:
    queue = PodQueue(SimulatedClock())
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        queue.add(waiting(name, priority))
    assert popped(queue) == ["b", "d", "a", "c"]


def test_a_gated_pod_does_not_come() -> None:
    queue = PodQueue(SimulatedClock())
    queue.add(waiting("a", is_gated=True, has_gates=True))
    assert popped(queue) == []
    queue.add(waiting("a"))
    assert popped(queue) == ["a"]


def test_an_error_is_tried_again_after_a_second_that_doubles_up_to_ten() -> None:
    async def run() -> None:
        clock = SimulatedClock()
        queue = PodQueue(clock)
        queue.add(waiting("a"))
        for pause_s in (1, 2, 4, 8, 10, 10):
            pod = queue.pop()
            assert pod is not None
            queue.retry(pod)
            await clock.advance(pause_s - 0.01)
            queue.flush()
            assert queue.pop() is None
            await clock.advance(0.02)
            queue.flush()
        assert popped(queue) == ["a"]

    asyncio.run(run())


def test_an_unschedulable_pod_comes_again_when_it_is_moved_or_after_five_minutes() -> None:
    async def run() -> None:
        clock = SimulatedClock()
        queue = PodQueue(clock)
        for name in ("a", "b"):
            queue.add(waiting(name))
        for _ in range(2):
            pod = queue.pop()
            assert pod is not None
            queue.fail(pod, frozenset({"NodeResourcesFit"}))
        await clock.advance(20)
        queue.flush()
        assert queue.pop() is None
        queue.move([queue.pods["b"]])
        assert popped(queue) == ["b"]
        await clock.advance(STUCK_S)
        queue.flush()
        assert popped(queue) == ["a"]

    asyncio.run(run())


def test_who_backs_off_without_an_error_comes_when_nobody_else_is_there() -> None:
    queue = PodQueue(SimulatedClock())
    queue.add(waiting("a"))
    pod = queue.pop()
    assert pod is not None
    queue.fail(pod, frozenset())
    queue.move([pod])
    assert pod.place is Place.BACKOFF
    queue.add(waiting("b"))
    assert popped(queue) == ["b", "a"]


def test_a_removed_pod_does_not_come_from_wherever_it_waits() -> None:
    queue = PodQueue(SimulatedClock())
    for name in "abc":
        queue.add(waiting(name))
    pods = [queue.pop(), queue.pop()]
    assert pods[0] is not None
    assert pods[1] is not None
    queue.fail(pods[0], frozenset())
    queue.retry(pods[1])
    for name in "abc":
        assert queue.remove(name) is not None
    assert popped(queue) == []
    assert not queue.stuck
    assert sum(queue.count(place) for place in Place) == 0

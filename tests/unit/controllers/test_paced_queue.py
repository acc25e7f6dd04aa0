"""How often an object is looked at while its pods change."""

from __future__ import annotations

import asyncio

from controllers.paced_queue import PAUSE_S_MAX, PacedQueue
from runtime.clock import SimulatedClock


async def _sync(queue: PacedQueue, clock: SimulatedClock, took_s: float) -> None:
    async def work(_key: str) -> None:
        await clock.advance(took_s)

    await queue.timed("n/a", work)


def _waits_s(queue: PacedQueue) -> float:
    """Return how long a changed pod has to wait, 0: not at all."""
    queue.add_for_pod("n/a")
    appointment = queue.queue._later.get("n/a")
    return 0.0 if appointment is None else appointment.due_s - asyncio.get_running_loop().time()


def test_pods_of_a_small_object_do_not_wait() -> None:
    async def check() -> None:
        clock = SimulatedClock()
        queue = PacedQueue(clock)
        await _sync(queue, clock, 0.005)
        assert _waits_s(queue) == 0
        assert len(queue.queue) == 1

    asyncio.run(check())


def test_pods_of_a_large_one_wait_four_times_as_long_as_its_last_sync_took() -> None:
    async def check() -> None:
        clock = SimulatedClock()
        queue = PacedQueue(clock)
        await _sync(queue, clock, 0.1)
        assert 0.3 < _waits_s(queue) <= 0.4
        await _sync(queue, clock, 60.0)
        queue.add("n/a")
        assert len(queue.queue) == 1

    asyncio.run(check())


def test_no_pod_waits_longer_than_two_seconds_and_a_change_of_the_object_not_at_all() -> None:
    async def check() -> None:
        clock = SimulatedClock()
        queue = PacedQueue(clock)
        await _sync(queue, clock, 60.0)
        assert _waits_s(queue) <= PAUSE_S_MAX
        queue.add("n/a")
        assert len(queue.queue) == 1

    asyncio.run(check())

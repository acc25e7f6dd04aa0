"""The scheduler's figures: what became of pods, and for how long they have waited."""

from __future__ import annotations

import asyncio
import json

from controllers.scheduler.figures import WAIT_BOUNDS_S, SchedulerFigures
from controllers.scheduler.queue import PodQueue
from runtime.clock import SimulatedClock
from tests.unit.controllers.scheduler.test_scheduler_queue import waiting


def test_waits_are_counted_by_how_long_they_took() -> None:
    async def run() -> None:
        clock = SimulatedClock()
        queue = PodQueue(clock)
        figures = SchedulerFigures(queue)
        queue.add(waiting("a"))
        queue.add(waiting("gated", is_gated=True, has_gates=True))
        pod = queue.pop()
        assert pod is not None
        await clock.advance(0.2)
        figures.note_bound(pod)
        await clock.advance(1000.0)
        figures.note_bound(pod)
        told = json.loads(figures.to_json())
        assert told["bound"] == 2
        assert told["queue"] == {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 1}
        assert len(told["waits"]) == len(told["bounds_s"]) + 1
        assert told["waits"][WAIT_BOUNDS_S.index(0.25)] == 1
        assert told["waits"][-1] == 1

    asyncio.run(run())

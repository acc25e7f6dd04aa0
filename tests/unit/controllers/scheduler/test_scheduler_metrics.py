"""Metrics have upstream's names and say what happened; they are served on loopback alone."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from controllers.scheduler.engine import Engine
from controllers.scheduler.metrics import (
    REFUSED,
    SCHEDULED,
    SchedulerMetrics,
    metrics_address,
    serve_metrics,
)
from controllers.scheduler.queue import PodQueue
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from runtime.clock import SimulatedClock
from tests.unit.controllers.scheduler.test_scheduler_queue import waiting


def _lines(metrics: SchedulerMetrics) -> set[str]:
    return set(metrics.text().decode().splitlines())


def test_what_happens_to_pods_is_counted() -> None:
    async def run() -> set[str]:
        clock = SimulatedClock()
        queue = PodQueue(clock)
        metrics = SchedulerMetrics(queue, Engine({DEFAULT_SCHEDULER: Profile()}))
        for name in "abc":
            queue.add(waiting(name))
        queue.add(waiting("gated", is_gated=True, has_gates=True))
        first, second = queue.pop(), queue.pop()
        assert first is not None
        assert second is not None
        metrics.attempted(first, REFUSED, 0.003)
        queue.fail(first, frozenset({"NodeAffinity", "NodeResourcesFit"}))
        metrics.attempted(second, SCHEDULED, 0.0005)
        await clock.advance(3.0)
        metrics.bound(second)
        metrics.preempted(None)
        metrics.preempted(3)
        return _lines(metrics)

    lines = asyncio.run(run())
    profile = 'profile="default-scheduler"'
    for line in (
        'scheduler_pending_pods{queue="active"} 1.0',
        'scheduler_pending_pods{queue="gated"} 1.0',
        'scheduler_pending_pods{queue="unschedulable"} 1.0',
        'scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 3.0',
        'scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",'
        'queue="unschedulable"} 1.0',
        f'scheduler_unschedulable_pods{{plugin="NodeAffinity",{profile}}} 1.0',
        f'scheduler_schedule_attempts_total{{{profile},result="unschedulable"}} 1.0',
        f'scheduler_schedule_attempts_total{{{profile},result="scheduled"}} 1.0',
        'scheduler_pod_scheduling_sli_duration_seconds_sum{attempts="1"} 3.0',
        "scheduler_preemption_attempts_total 2.0",
        "scheduler_preemption_victims_sum 3.0",
        'scheduler_cache_size{type="nodes"} 0.0',
    ):
        assert line in lines, line


async def _until_served(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0)
            continue
        writer.close()
        await writer.wait_closed()
        return


def test_they_are_served_over_http() -> None:
    def get(port: int, path: str) -> tuple[int, bytes]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    async def run() -> list[tuple[int, bytes]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        metrics = SchedulerMetrics(
            PodQueue(SimulatedClock()), Engine({DEFAULT_SCHEDULER: Profile()})
        )
        serving = asyncio.ensure_future(serve_metrics(("127.0.0.1", port), metrics))
        await _until_served(port)
        found = [
            await asyncio.to_thread(get, port, path) for path in ("/metrics", "/healthz", "/what")
        ]
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        return found

    (code, text), healthy, missing = asyncio.run(run())
    assert code == 200
    assert b"scheduler_pending_pods" in text
    assert healthy == (200, b"ok")
    assert missing[0] == 404


@pytest.mark.parametrize("text", ["0.0.0.0:10259", "10.0.0.1:80"])
def test_an_address_that_others_reach_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address of loopback"):
        metrics_address(text)
    assert metrics_address("[::1]:10259") == ("::1", 10259)

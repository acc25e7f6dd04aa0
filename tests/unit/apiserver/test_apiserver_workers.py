"""Metrics of several workers are told as those of one server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from apiserver.metrics_merge import export, render_merged
from apiserver.peers import Peers, socket_path
from tests.unit.apiserver.test_apiserver_settings import SETTINGS


def _exported(count: float, started_s: float, objects: float) -> bytes:
    total = CounterMetricFamily("requests", "Requests.", labels=["verb"])
    total.add_metric(["get"], count)
    times = HistogramMetricFamily("seconds", "Durations.")
    times.add_metric([], [("0.1", count), ("+Inf", 2 * count)], count / 2)
    started = GaugeMetricFamily("process_start_time_seconds", "Start.", started_s)
    known = GaugeMetricFamily("apiserver_storage_objects", "Objects.", objects)
    odd = GaugeMetricFamily("odd", "Not a number.", float("nan"))
    return export([total, times, started, known, odd])


def test_sums_are_summed_and_what_all_see_is_taken_once() -> None:
    text = render_merged([_exported(2, 100, 7), _exported(3, 50, 8)]).decode()
    lines = set(text.splitlines())
    assert 'requests_total{verb="get"} 5.0' in lines
    assert 'seconds_bucket{le="0.1"} 5.0' in lines
    assert 'seconds_bucket{le="+Inf"} 10.0' in lines
    assert "seconds_count 10.0" in lines
    assert "seconds_sum 2.5" in lines
    assert "process_start_time_seconds 50.0" in lines
    assert "apiserver_storage_objects 8.0" in lines
    assert "# TYPE seconds histogram" in lines


def test_workers_gather_from_all_that_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = replace(SETTINGS, memory_dir=tmp_path, workers=3)
        peers = [
            Peers(replace(settings, worker_index=n), lambda n=n: b"of %d" % n) for n in (1, 2, 3)
        ]
        await peers[0].start()
        await peers[1].start()
        assert await peers[0].gather() == [b"of 1", b"of 2"]
        assert await peers[2].gather() == [b"of 3", b"of 1", b"of 2"]
        assert socket_path(tmp_path, 2).is_socket()
        for peer in peers:
            peer.stop()

    asyncio.run(scenario())

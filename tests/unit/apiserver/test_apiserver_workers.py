"""Metrics of several workers are told as those of one server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from apiserver.fairness.parts import make_fairness
from apiserver.metrics import Metrics, RequestLabels
from apiserver.metrics_merge import export, render_merged
from apiserver.peers import Peers, socket_path
from runtime.clock import SimulatedClock
from tests.unit.apiserver.test_apiserver_settings import SETTINGS

if TYPE_CHECKING:
    from apiserver.server import Server


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
            Peers(replace(settings, worker_index=n), lambda n=n: b"of %d" % n, bytes, _at_once)
            for n in (1, 2, 3)
        ]
        await peers[0].start()
        await peers[1].start()
        assert await peers[0].gather() == [b"of 1", b"of 2"]
        assert await peers[2].gather() == [b"of 3", b"of 1", b"of 2"]
        assert socket_path(tmp_path, 2).is_socket()
        for peer in peers:
            peer.stop()

    asyncio.run(scenario())


async def _at_once(_resource: str, _revision: int, _timeout_s: float) -> None:
    """Be there already."""


def test_a_worker_waits_until_its_siblings_have_come_as_far(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = replace(SETTINGS, memory_dir=tmp_path, workers=3)
        there, was_asked = asyncio.Event(), asyncio.Event()
        asked: list[tuple[str, int]] = []

        async def reach(resource: str, revision: int, _timeout_s: float) -> None:
            asked.append((resource, revision))
            was_asked.set()
            await there.wait()

        first = Peers(replace(settings, worker_index=1), lambda: b"", bytes, _at_once)
        second = Peers(replace(settings, worker_index=2), lambda: b"", bytes, reach)
        await second.start()
        # The third is not there, and is not waited for.
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(first.all_reach("group/things", 2**40))
            await was_asked.wait()
            assert not waiting.done()
            there.set()
        assert asked == [("group/things", 2**40)]
        second.stop()

    asyncio.run(scenario())


def _families(workers: int, index: int) -> bytes:
    """Return what one of several workers tells of itself and of priority and fairness."""
    settings = replace(SETTINGS, workers=workers, max_requests_inflight=600)
    server = SimpleNamespace(
        settings=settings, clock=SimulatedClock(), metrics=Metrics(), store=None
    )
    fairness = make_fairness(cast("Server", server))
    series = server.metrics.series(RequestLabels("GET", "", "v1", "pods", "", "namespace"))
    for number in range(index):
        series.observe(200, 0.01 * 10**number)
    assert fairness.dumps is not None
    return server.metrics.export()


def _values(text: str, family: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line.startswith(family)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_the_seats_of_all_workers_are_those_of_one_server(workers: int) -> None:
    one = render_merged([_families(1, 1)]).decode()
    all_ = render_merged([_families(workers, n) for n in range(1, workers + 1)]).decode()
    for family in ("nominal_limit_seats", "lower_limit_seats", "current_limit_seats"):
        name = f"apiserver_flowcontrol_{family}"
        of_one, of_all = _values(one, name), _values(all_, name)
        assert of_all.keys() == of_one.keys()
        assert of_one
        for labels, seats in of_one.items():
            # Each has whole seats.
            assert seats <= of_all[labels] <= seats + 2 * workers, labels
    fair = _values(all_, "apiserver_flowcontrol_seat_fair_frac")
    assert fair == _values(one, "apiserver_flowcontrol_seat_fair_frac")


def test_histograms_of_all_workers_are_one_that_grows_from_bucket_to_bucket() -> None:
    text = render_merged([_families(3, n) for n in (1, 2, 3)]).decode()
    rows = _values(text, "apiserver_request_duration_seconds_bucket")
    buckets = list(rows.values())
    assert buckets == sorted(buckets)
    assert buckets[-1] == 6
    assert list(_values(text, "apiserver_request_duration_seconds_count").values()) == [6]
    total = sum(_values(text, "apiserver_request_duration_seconds_sum").values())
    assert total == pytest.approx(3 * 0.01 + 2 * 0.1 + 1.0)
    assert next(count for row, count in rows.items() if 'le="0.025"' in row) == 3


def test_what_is_no_amount_is_not_added_up() -> None:
    def exported(value: float) -> bytes:
        names = ("seat_fair_frac", "current_r", "demand_seats_stdev")
        prefix = "apiserver_flowcontrol_"
        return export([GaugeMetricFamily(prefix + name, "", value) for name in names])

    text = render_merged([exported(3), exported(4)]).decode()
    assert list(_values(text, "apiserver_flowcontrol_").values()) == [3, 4, 5]

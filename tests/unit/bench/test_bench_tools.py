"""The bench measures what it says."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from typing import Any

import orjson
import pytest

from tests.bench import objects
from tests.bench.figures import Figure
from tests.bench.memory_scenario import figures_of
from tests.bench.node_watches import against_neighbours
from tests.bench.processes import Meter, main_thread_us
from tests.bench.watch_load import Watcher
from tests.bench.worker_scenario import Run, compared

EVENT = b'{"type":"ADDED","object":{"data":{"k":"}\\n"}}}\n'
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def count_in_pieces(stream: bytes, size: int) -> int:
    async def feed() -> int:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watcher = Watcher(b"", b"}\n", 1_000, answered)
        for start in range(0, len(stream), size):
            watcher.data_received(stream[start : start + size])
        assert answered.result() is None
        return watcher.seen

    return asyncio.run(feed())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_watch_counts_events_however_they_are_cut(size: int) -> None:
    stream = HEAD + chunk(EVENT) + chunk(EVENT + EVENT) + chunk(EVENT[:9]) + chunk(EVENT[9:])
    assert count_in_pieces(stream, size) == 4


def test_refused_watch_is_an_error() -> None:
    async def feed() -> None:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        Watcher(b"", b"}\n", 1, answered).data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n{}\n")
        await answered

    with pytest.raises(ConnectionError, match="refused"):
        asyncio.run(feed())


@pytest.mark.parametrize(("body", "size"), [(objects.config_map(), 1024), (objects.pod(), 2600)])
def test_objects_have_the_size_they_are_named_for(body: bytes, size: int) -> None:
    document: dict[str, Any] = orjson.loads(body)
    assert len(body) == size
    assert document["metadata"]["name"] == objects.NAME


def test_meter_reads_our_own_time_and_memory() -> None:
    meter = Meter({"self": os.getpid()})
    before = {"self": 0.0}
    assert meter.spent_us(before)["self"] > 0
    assert meter.resident_bytes() > 1_000_000


@pytest.mark.parametrize(
    ("rate", "bare", "verdict"), [(50.0, 100.0, True), (20.0, 100.0, False), (50.0, None, None)]
)
def test_ratio_bar_needs_a_comparison(
    rate: float, bare: float | None, *, verdict: bool | None
) -> None:
    assert Figure("x", rate, bare_rate=bare, ratio_min=0.25).verdict is verdict


def _run(workers: int, rate: float, cpu_us: dict[str, float], idle: float = 0.0) -> Run:
    return Run(workers, Figure("get", rate, cpu_us=cpu_us), idle)


@pytest.mark.parametrize(
    ("rate", "cpu_us", "idle", "met"),
    [
        # Cores were left: the rates count.
        (1700.0, 10.0, 0.3, True),
        (1500.0, 10.0, 0.3, False),
        # None were left: what the workers' CPU would have served counts.
        (1200.0, 11.0, 0.02, True),
        (1200.0, 14.0, 0.02, False),
    ],
)
def test_workers_are_judged_by_rates_while_cores_last_and_by_cpu_after(
    rate: float, cpu_us: float, idle: float, *, met: bool
) -> None:
    one = _run(1, 1000.0, {"apiserver": 10.0, "journal": 1.0})
    shares = {"apiserver": cpu_us / 2, "apiserver-2": cpu_us / 2, "storage": 50.0}
    assert compared(one, _run(2, rate, shares, idle)).is_met is met


def test_cpu_time_of_other_threads_is_not_that_of_the_main_thread() -> None:
    def use() -> None:
        until_s = time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass

    own_before, _ = main_thread_us(os.getpid())
    total_before = time.process_time()
    other = threading.Thread(target=use)
    other.start()
    other.join()
    own_us = main_thread_us(os.getpid())[0] - own_before
    assert own_us < (time.process_time() - total_before) * 1e6 - 40_000
    use()
    assert main_thread_us(os.getpid())[0] - own_before - own_us > 40_000


def test_each_round_is_compared_with_those_around_it() -> None:
    # A drift of 10 a round is none of what is compared.
    found = against_neighbours([15.0, 50.0], [10.0, 20.0, 30.0])
    assert found == [0.0, 1.0]


@pytest.mark.parametrize(
    ("pods", "used_bytes", "verdict"),
    [(1_000_000, 1.1e9, True), (1_000_000, 1.3e9, False), (100_000, 0.3e9, None)],
)
def test_memory_has_a_bar_for_a_million_pods(
    pods: int, used_bytes: float, *, verdict: bool | None
) -> None:
    measured = {"total_bytes": used_bytes, "get_p99_us": [100.0, 119.0]}
    memory, gets = figures_of(pods, measured)
    assert memory.verdict is verdict
    assert gets.verdict is True
    measured["get_p99_us"] = [100.0, 121.0]
    assert figures_of(pods, measured)[1].verdict is False


def test_each_scenario_is_there_to_be_run() -> None:
    # What moves in the code must not be found missing by the next who measures.
    found = importlib.import_module("tests.bench.__main__")
    assert set(found.SCENARIOS) > found._OWN_CLUSTERS
    assert all(map(callable, found.SCENARIOS.values()))

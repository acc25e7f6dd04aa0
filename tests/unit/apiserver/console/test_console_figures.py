"""Figures: workers' parts add up to the server's, and latencies keep upstream's buckets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from apiserver.console.figures import WATCHES_MAX, Figures, Sources, add_up, worker_figures
from apiserver.fairness.flows import Flows
from apiserver.histograms import FINE_BOUNDS_S, LATENCY_BOUNDS_S, coarse
from apiserver.metrics import Metrics, RequestLabels
from runtime import unix_sockets
from runtime.clock import SystemClock

_STATUS: dict[str, Any] = {"partitions": [], "journal": None, "alarms": []}


def part(verb: str = "GET", code: int = 200, taken_s: float = 0.002) -> bytes:
    """Return a worker's figures after one request."""
    metrics = Metrics()
    labels = RequestLabels(verb, "", "v1", "pods", "", "resource")
    metrics.series(labels).observe(code, taken_s)
    metrics.watches["apps", "v1", "deployments"] = 2
    return worker_figures(metrics, Flows(10, 0.0))


def test_requests_are_counted_by_verb_with_what_failed() -> None:
    whole = add_up([part(), part(code=500, taken_s=0.01), part("PUT", 429)])
    count, throttled, failed, seconds, buckets = whole["requests"]["GET"]
    assert (count, throttled, failed) == (2, 0, 1)
    assert 0.0119 < seconds < 0.0121
    assert buckets[FINE_BOUNDS_S.index(0.0025)] == 1
    assert buckets[FINE_BOUNDS_S.index(0.025)] == 1
    assert whole["requests"]["PUT"][:3] == [1, 1, 0]
    assert whole["workers"] == 3
    assert whole["watches"] == {"deployments.apps": 6}


def test_watches_are_not_timed() -> None:
    assert add_up([part("WATCH")])["requests"] == {}


def test_levels_of_workers_add_up() -> None:
    alone, both = add_up([part()]), add_up([part(), part()])
    assert alone["levels"]
    for name, level in both["levels"].items():
        assert level["current"] == 2 * alone["levels"][name]["current"]


def test_many_types_of_watches_are_told_together() -> None:
    metrics = Metrics()
    for number in range(WATCHES_MAX + 5):
        metrics.watches["", "v1", f"r{number}"] = 1
    watches = add_up([worker_figures(metrics, Flows(10, 0.0))])["watches"]
    assert len(watches) == WATCHES_MAX + 1
    assert watches["others"] == 5


def test_fine_buckets_become_upstreams() -> None:
    counts = list(range(len(FINE_BOUNDS_S) + 1))
    merged = coarse(counts)
    assert len(merged) == len(LATENCY_BOUNDS_S) + 1
    assert sum(merged) == sum(counts)
    assert merged[0] == sum(
        count for count, bound in zip(counts, FINE_BOUNDS_S, strict=False) if bound <= 0.005
    )


def test_who_asks_at_the_same_time_shares_one_gathering() -> None:
    gathered = 0

    async def gather() -> list[bytes]:
        nonlocal gathered
        gathered += 1
        await asyncio.sleep(0)
        return [part()]

    async def run() -> None:
        figures = Figures(Sources(gather, lambda: _STATUS, None), SystemClock())
        await asyncio.gather(*(figures.now() for _ in range(10)))

    asyncio.run(run())
    assert gathered == 1


def test_a_scheduler_that_is_away_or_talks_nonsense_is_left_out(tmp_path: Path) -> None:
    async def gather() -> list[bytes]:
        return [part()]

    async def ask(path: Path) -> Any:
        figures = Figures(Sources(gather, lambda: _STATUS, path), SystemClock())
        return (await figures.now())["scheduler"]

    async def told(path: Path, answer: bytes) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.read(1) == b"f"
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(serve, sock=unix_sockets.listen(path))
        async with server:
            return await ask(path)

    path = tmp_path / "scheduler.sock"
    assert asyncio.run(ask(path)) is None
    assert asyncio.run(told(path, orjson.dumps({"bound": 3}))) == {"bound": 3}
    assert asyncio.run(told(path, b"what?")) is None
    assert asyncio.run(told(path, b"")) is None

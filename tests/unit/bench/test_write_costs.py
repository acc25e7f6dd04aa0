"""What parts cost a write is measured with the part, and without it."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import orjson
import pytest

from tests.bench.in_process import in_process, request
from tests.bench.write_cost_scenario import figures_of
from tests.bench.write_costs import PARTS, _measure
from tests.bench.write_operations import OPERATIONS, set_up

_CONFIG_MAPS = "/api/v1/namespaces/bench/configmaps"


def row(part: str, cost_us: float, noise_us: float = 0.1) -> dict[str, Any]:
    whole = {"operation": "create Pod", "part": part, "us": 100.0}
    return {**whole, "cost_us": cost_us, "noise_us": noise_us}


@pytest.mark.parametrize(
    ("cost_us", "noise_us", "verdict"),
    [(10.0, 0.1, True), (14.0, 0.1, False), (13.0, 5.0, None)],
)
def test_tracking_may_add_15_percent_and_noise_gives_no_verdict(
    cost_us: float, noise_us: float, *, verdict: bool | None
) -> None:
    whole, tracking = figures_of([row("tracking", cost_us, noise_us)])
    assert whole.rate == 100.0
    assert tracking.verdict is verdict


def test_what_the_read_side_adds_is_taken_together() -> None:
    parts = [row("fairness", 2.0), row("negotiation", 1.0), row("dispatch", 2.0)]
    _, added = figures_of(parts)
    assert added.rate == pytest.approx(100 * 5 / 95)
    assert added.verdict is False
    _, added, packed = figures_of([*parts[:2], row("compression", 50.0)])
    assert added.verdict is True
    assert packed.verdict is None


def test_each_part_can_be_taken_out_of_each_write() -> None:
    given = argparse.Namespace(rounds=1, requests=3)

    async def run() -> list[dict[str, Any]]:
        async with in_process() as server:
            await set_up(server)
            return [
                await _measure(server, name, operation, part, given)
                for name, operation in OPERATIONS.items()
                for part in PARTS
                if part not in {"compression", "dispatch"}
            ]

    found = asyncio.run(run())
    assert len(found) == 3 * len(OPERATIONS)
    assert all(one["us"] > 0 for one in found)


def test_nobody_manages_what_is_written_without_tracking() -> None:
    async def run() -> list[bytes]:
        async with in_process() as server:
            await set_up(server)
            json = {"Content_Type": "application/json"}
            posts = [
                request(
                    "POST",
                    _CONFIG_MAPS,
                    orjson.dumps({"metadata": {"name": name}, "data": {"k": ""}}),
                    **json,
                )
                for name in ("tracked", "not")
            ]
            found = await server.answers(posts[:1])
            with PARTS["tracking"](server):
                found += await server.answers(posts[1:])
            return found

    tracked, untracked = (orjson.loads(body)["metadata"] for body in asyncio.run(run()))
    assert "managedFields" not in untracked
    assert "managedFields" in tracked

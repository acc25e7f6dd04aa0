"""What memory many pods take, and whether gets notice that they are compressed.

It is `memory_at_scale`, which says more; the bar of memory is for a million pods (`--scale`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.children import run_child
from tests.bench.figures import Figure
from tests.bench.list_memory import PODS_AT_SCALE
from tests.bench.scenarios import Scene

PODS: Final = 100_000
PODS_OF_BAR: Final = 1_000_000
MB_MAX: Final = 1_200.0
"""RSS and tmpfs together, for a million."""
GET_P99_MAX: Final = 1.2
"""Times what it is before anything is compressed."""
_RATE: Final = 30_000
_LIMIT_S: Final = 1_200


def memory_at_scale(scene: Scene) -> list[Figure]:
    """Measure the memory of running Pods, and gets before and after they are compressed."""
    pods = PODS_OF_BAR if scene.listed_pods >= PODS_AT_SCALE else PODS
    result = Path(scene.directory) / "memory.json"
    options = ("--pods", pods, "--rate", _RATE, "--json", result)
    run_child("memory_at_scale", *options, limit_s=_LIMIT_S)
    return figures_of(pods, orjson.loads(result.read_bytes()))


def figures_of(pods: int, measured: dict[str, Any]) -> list[Figure]:
    """Return the figures of so many pods."""
    used_mb = measured["total_bytes"] / 1e6
    memory = Figure(f"memory of {pods:,} running Pods", used_mb, "MB")
    memory.target = f"≤ {MB_MAX:,.0f} MB for {PODS_OF_BAR:,}"
    if pods >= PODS_OF_BAR:
        memory.is_met = used_mb <= MB_MAX * pods / PODS_OF_BAR
    before_us, after_us = measured["get_p99_us"]
    ratio = after_us / before_us
    gets = Figure(f"get of a Pod among {pods:,}, p99", after_us, "µs", p99_us=after_us)
    gets.target = f"≤ {GET_P99_MAX:g} of {before_us:,.0f} µs"
    gets.is_met = ratio <= GET_P99_MAX
    return [memory, gets]

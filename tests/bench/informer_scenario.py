"""Informers: how many events one takes, how long it holds up others, and what it keeps.

Two processes of `informer_child`: a server that tells prepared events, and a follower with an
informer of five indexes. No API server takes part.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import orjson

from tests.bench.endpoint import Refused
from tests.bench.figures import Figure
from tests.bench.scenarios import Scene

PODS: Final = 100_000
EVENTS: Final = 100_000
EVENTS_S_MIN: Final = 50_000.0
HOLD_MS_MAX: Final = 5.0
KEPT_BYTES_MAX: Final = 1024.0
_CHILD: Final = (sys.executable, "-m", "tests.bench.informer_child")
_LIMIT_S: Final = 120


def informers(_scene: Scene) -> list[Figure]:
    """Measure an informer of pods that is told a burst of modifications."""
    numbers = [str(PODS), str(EVENTS)]
    with subprocess.Popen([*_CHILD, "serve", *numbers], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            port = child.stdout.readline().strip()
            found = _follow([port, *numbers])
        finally:
            child.kill()
    what = f"informer, 5 indexes, {EVENTS:,} events"
    return [
        Figure(
            what,
            found["events_s"],
            cpu_us={"informer": found["event_cpu_us"]},
            target=f"≥ {EVENTS_S_MIN:,.0f} /s",
            is_met=found["events_s"] >= EVENTS_S_MIN,
        ),
        Figure(
            f"{what}, longest hold",
            found["worst_ms"],
            "ms",
            target=f"≤ {HOLD_MS_MAX:g} ms",
            is_met=found["worst_ms"] <= HOLD_MS_MAX,
        ),
        Figure(
            f"informer, beyond the {found['raw_bytes']:,.0f} bytes of a pod",
            found["kept_bytes"],
            "B",
            target=f"≤ {KEPT_BYTES_MAX:g} B",
            is_met=found["kept_bytes"] <= KEPT_BYTES_MAX,
        ),
    ]


def _follow(numbers: list[str]) -> dict[str, Any]:
    ended = subprocess.run(
        [*_CHILD, "follow", *numbers], capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if ended.returncode:
        raise Refused(f"the informer failed: {ended.stderr}")
    found: dict[str, Any] = orjson.loads(ended.stdout)
    return found

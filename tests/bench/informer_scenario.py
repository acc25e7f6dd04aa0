"""Informers: how many events one takes, how long it holds up others, and what it keeps.

Two processes of `informer_child`: a server that tells prepared events, and a follower with an
informer of five indexes. No API server takes part.
"""

from __future__ import annotations

import subprocess
from typing import Final

from tests.bench.children import command_of, run_child
from tests.bench.figures import Figure, at_most
from tests.bench.scenarios import Scene

PODS: Final = 100_000
EVENTS: Final = 100_000
EVENTS_S_MIN: Final = 50_000.0
HOLD_MS_MAX: Final = 5.0
KEPT_BYTES_MAX: Final = 1024.0
_LIMIT_S: Final = 120


def informers(_scene: Scene) -> list[Figure]:
    """Measure an informer of pods that is told a burst of modifications."""
    serving = command_of("informer_child", "serve", PODS, EVENTS)
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            port = child.stdout.readline().strip()
            (found,) = run_child("informer_child", "follow", port, PODS, EVENTS, limit_s=_LIMIT_S)
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
        at_most(f"{what}, longest hold", found["worst_ms"], "ms", HOLD_MS_MAX),
        at_most(
            f"informer, beyond the {found['raw_bytes']:,.0f} bytes of a pod",
            found["kept_bytes"],
            "B",
            KEPT_BYTES_MAX,
        ),
    ]

"""Many nodes: what a heartbeat costs, how long a pass takes and holds up others, what is kept.

One process of `node_child`, without an API server: nodes that need no write are nearly all of them
nearly always.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import orjson

from tests.bench.endpoint import Refused
from tests.bench.figures import Figure
from tests.bench.scenarios import Scene

NODES: Final = 100_000
LEASE_US_MAX: Final = 10.0
HOLD_MS_MAX: Final = 5.0
KEPT_BYTES_MAX: Final = 1024.0
_LIMIT_S: Final = 120


def nodes(_scene: Scene) -> list[Figure]:
    """Measure the node lifecycle controller, with all nodes well and with all lost."""
    command = [sys.executable, "-m", "tests.bench.node_child", str(NODES)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if ended.returncode:
        raise Refused(f"the controller failed: {ended.stderr}")
    found: dict[str, Any] = orjson.loads(ended.stdout)
    what = f"{NODES:,} nodes"
    return [
        Figure(
            f"{what}, CPU of a heartbeat",
            found["lease_us"],
            "µs",
            target=f"≤ {LEASE_US_MAX:g} µs",
            is_met=found["lease_us"] <= LEASE_US_MAX,
        ),
        Figure(f"{what}, CPU of a pass", found["pass_ms"], "ms"),
        Figure(f"{what}, CPU of a pass, all lost", found["lost_pass_ms"], "ms"),
        Figure(
            f"{what}, longest hold of a pass",
            found["worst_ms"],
            "ms",
            target=f"≤ {HOLD_MS_MAX:g} ms",
            is_met=found["worst_ms"] <= HOLD_MS_MAX,
        ),
        Figure(
            f"{what}, kept of one",
            found["kept_bytes"],
            "B",
            target=f"≤ {KEPT_BYTES_MAX:g} B",
            is_met=found["kept_bytes"] <= KEPT_BYTES_MAX,
        ),
    ]

"""Many nodes: what a heartbeat costs, how long a pass takes and holds up others, what is kept.

One process of `node_child`, without an API server: nodes that need no write are nearly all of them
nearly always.
"""

from __future__ import annotations

from typing import Final

from tests.bench.children import run_child
from tests.bench.figures import Figure, at_most
from tests.bench.scenarios import Scene

NODES: Final = 100_000
LEASE_US_MAX: Final = 10.0
HOLD_MS_MAX: Final = 5.0
KEPT_BYTES_MAX: Final = 1024.0
_LIMIT_S: Final = 120


def nodes(_scene: Scene) -> list[Figure]:
    """Measure the node lifecycle controller, with all nodes well and with all lost."""
    (found,) = run_child("node_child", NODES, limit_s=_LIMIT_S)
    what = f"{NODES:,} nodes"
    return [
        at_most(f"{what}, CPU of a heartbeat", found["lease_us"], "µs", LEASE_US_MAX),
        Figure(f"{what}, CPU of a pass", found["pass_ms"], "ms"),
        Figure(f"{what}, CPU of a pass, all lost", found["lost_pass_ms"], "ms"),
        at_most(f"{what}, longest hold of a pass", found["worst_ms"], "ms", HOLD_MS_MAX),
        at_most(f"{what}, kept of one", found["kept_bytes"], "B", KEPT_BYTES_MAX),
    ]

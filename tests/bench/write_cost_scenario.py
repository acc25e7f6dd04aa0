"""What tracking and the read side's parts add to a write: the bars of both, by `write_costs`.

It runs in a process of its own, in which the whole server is, so nothing else has to be quiet but
the core it is on. Costs are those of the server without sockets, journal and disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tests.bench.children import run_child
from tests.bench.figures import Figure
from tests.bench.scenarios import Scene

TRACKING_MAX: Final = 0.15
"""Of what a create or patch costs without."""
READ_SIDE_MAX: Final = 0.05
READ_SIDE: Final = ("fairness", "negotiation", "dispatch")
"""What the read side has every write pass by; compression is only where a type is large."""
BARRED: Final = frozenset({"create ConfigMap", "create Pod", "merge-patch ConfigMap"})
_LIMIT_S: Final = 600


def write_costs(_scene: Scene) -> list[Figure]:
    """Measure writes with and without what is added to them."""
    return figures_of(run_child("write_costs", limit_s=_LIMIT_S))


def figures_of(rows: Sequence[dict[str, Any]]) -> list[Figure]:
    """Return the figures of what was measured: for each operation its cost, and its parts'."""
    figures = []
    for name in dict.fromkeys(row["operation"] for row in rows):
        parts = {row["part"]: row for row in rows if row["operation"] == name}
        whole_us = min(row["us"] for row in parts.values())
        figures.append(Figure(f"{name}, in process", whole_us, "µs"))
        if tracking := parts.pop("tracking", None):
            limit = TRACKING_MAX if name in BARRED else None
            figures.append(_added(f"{name}: tracking", [tracking], limit))
        read_side = [parts.pop(part) for part in READ_SIDE if part in parts]
        if read_side:
            figures.append(_added(f"{name}: the read side's parts", read_side, READ_SIDE_MAX))
        figures += [_added(f"{name}: {part}", [row], None) for part, row in parts.items()]
    return figures


def _added(what: str, rows: Iterable[dict[str, Any]], limit: float | None) -> Figure:
    """Return what parts add, in percent of what the operation costs without them.

    There is no verdict where the noise alone comes to what the bar allows.
    """
    rows = list(rows)
    cost_us = sum(row["cost_us"] for row in rows)
    noise_us = math.hypot(*(row["noise_us"] for row in rows))
    without_us = min(row["us"] for row in rows) - cost_us
    figure = Figure(what, 100 * cost_us / without_us, f"% ({cost_us:.1f} ± {noise_us:.1f} µs)")
    if limit is not None:
        figure.target = f"≤ {limit:.0%}"
        is_clear = abs(cost_us - limit * without_us) > noise_us
        figure.is_met = cost_us <= limit * without_us if is_clear else None
    return figure

"""Samples of a run that never was."""

from __future__ import annotations

from scaletest.processes import Use
from scaletest.samples import Sample


def sample(at_s: float, nodes: int, pods: int) -> Sample:
    """Return a sample of a launch."""
    return Sample(
        at_s=at_s,
        phase="launch",
        nodes=nodes,
        ready_nodes=nodes,
        pods=pods,
        waiting=3,
        objects={"pods": pods, "nodes": nodes},
        objects_total=pods + nodes,
        store_bytes=5_000_000,
        journal_bytes=7_000_000,
        reads_s=10.0,
        writes_s=20.0,
        bound_s=500.0,
        events_s=70.0,
        refused_s=0.0,
        inflight=1,
        queued=0,
        pending_appends=0,
        alarm=0,
        lag_entries=0,
        watches=100,
        p99_s={"get": 0.01, "write": 0.02, "list": None},
        processes={"apiserver": Use(0.5, 100 << 20, 1 << 30)},
    )

"""The scheduler: decisions a second at 100,000 nodes, and pods bound through the API.

Decisions are made in a process of their own, without an API. Binding is that of a backlog: pods
are created while there is no scheduler, then one is started, and a watch tells when they are bound,
from the first to the last. Arrivals are pods created at a rate beside a scheduler that runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.children import command_of, run_child
from tests.bench.figures import Figure
from tests.bench.processes import Meter
from tests.bench.scenarios import Scene
from tests.bench.server import start_ultraplane

NODES: Final = 100_000
DECIDED: Final = 10_000
RATES_MIN: Final = {"plain": 10_000.0, "apart": 2_000.0, "spread": 2_000.0}
BOUND_S_MIN: Final = 1_000.0
ARRIVAL_S: Final = 500
ARRIVAL_P99_S_MAX: Final = 1.0
_API_NODES: Final = 2_500
_BACKLOG: Final = 6_000
_ARRIVING: Final = 3_000
_LIMIT_S: Final = 90


def scheduler(_scene: Scene) -> list[Figure]:
    """Measure decisions, then binding, then arrivals."""
    figures = []
    for kind, least in RATES_MIN.items():
        found = _child("decide", NODES, DECIDED, kind)
        figures.append(
            Figure(
                f"decide {DECIDED:,} pods, {kind}, {NODES:,} nodes",
                found["rate"],
                cpu_us={"scheduler": found["cpu_us"]},
                target=f"≥ {least:,.0f} /s",
                is_met=found["rate"] >= least,
            )
        )
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-scheduler-") as name:
        figures += _through_the_api(Path(name))
    return figures


def _through_the_api(directory: Path) -> list[Figure]:
    with start_ultraplane(directory) as server:
        where = (server.endpoint.url, server.endpoint.token)
        _child("fill", *where, _API_NODES, _BACKLOG)
        kubeconfig = directory / "data" / "run" / "scheduler.kubeconfig"
        command = [sys.executable, "-m", "controllers.scheduler", f"--kubeconfig={kubeconfig}"]
        log = (directory / "scheduler.log").open("wb")
        watching = subprocess.Popen(
            command_of("scheduler_child", "drain", *where, _BACKLOG),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert watching.stdout is not None
            watching.stdout.readline()
            with log, subprocess.Popen([*command, "--log-level=warning"], stderr=log) as child:
                try:
                    meter = Meter({**server.meter.pids, "scheduler": child.pid})
                    before = meter.cpu_us()
                    out, _ = watching.communicate(timeout=_LIMIT_S)
                    used = meter.spent_us(before)
                    bound = orjson.loads(out.splitlines()[-1])
                    arrived = _child("arrive", *where, _ARRIVING, ARRIVAL_S)
                finally:
                    child.terminate()
        finally:
            watching.kill()
            watching.wait()
    used = {name: spent / _BACKLOG for name, spent in used.items()}
    return [
        Figure(
            f"bind a backlog of {_BACKLOG:,} pods, {_API_NODES:,} nodes",
            bound["rate"],
            cpu_us=used,
            target=f"≥ {BOUND_S_MIN:,.0f} /s",
            is_met=bound["rate"] >= BOUND_S_MIN,
        ),
        Figure(
            f"created to bound, {ARRIVAL_S} pods/s",
            ARRIVAL_S,
            p50_us=arrived["p50_s"] * 1e6,
            p99_us=arrived["p99_s"] * 1e6,
            target=f"p99 ≤ {ARRIVAL_P99_S_MAX:g} s",
            is_met=arrived["p99_s"] <= ARRIVAL_P99_S_MAX,
        ),
    ]


def _child(*arguments: object) -> dict[str, Any]:
    return run_child("scheduler_child", *arguments, limit_s=_LIMIT_S)[-1]

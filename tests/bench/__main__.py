"""`python -m tests.bench`: what operations cost, beside bare uvicorn, our bars, and upstream.

    python -m tests.bench                                   our server and its journal, started here
    python -m tests.bench --only gets --seconds 2           some scenarios, shorter
    python -m tests.bench --peer https://host:6443 --token T --ca ca.crt   any other API server
    python -m tests.bench --peer URL --token T --peer-pid 17 --peer-pid 18   and its CPU time
    python -m tests.bench --bare                            what this machine can do at best

Exits with 1 when a bar is missed, 2 when nothing could be measured.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench import (
    bench_authorization,
    bench_cel,
    bench_daemons,
    bench_fairness,
    cbor_scenarios,
    definition_scenarios,
    fleet_scenario,
    informer_scenario,
    jetstream_load,
    list_memory,
    memory_scenario,
    node_scenario,
    node_watches,
    objects,
    partitions,
    recovery,
    report,
    scenarios,
    scheduler_scenario,
    watch_scenarios,
    worker_scenario,
    write_cost_scenario,
    wrk,
)
from tests.bench.endpoint import Endpoint, Refused
from tests.bench.figures import JOURNAL_APPENDS_S_MIN, Figure
from tests.bench.processes import Meter
from tests.bench.scenarios import Scene
from tests.bench.server import Server, StartFailed, start_bare, start_ultraplane

MISSED: Final = 1
UNMEASURED: Final = 2
# Lists come before the loads that leave an unknown number of pods behind.
SCENARIOS: Final[dict[str, Callable[[Scene], list[Figure]]]] = {
    "lists": scenarios.lists,
    "watches": scenarios.watches,
    "watch latency": watch_scenarios.watch_latency,
    "watch rate": watch_scenarios.watch_rate,
    "node watches": node_watches.node_watches,
    "gets": scenarios.gets,
    "cbor": cbor_scenarios.cbor,
    "creates": scenarios.creates,
    "definitions": definition_scenarios.definitions,
    "patches": scenarios.patches,
    "renewals": scenarios.renewals,
    "write costs": write_cost_scenario.write_costs,
    "lists at scale": list_memory.lists_at_scale,
    "memory": memory_scenario.memory_at_scale,
    "partitions": partitions.partitions,
    "workers": worker_scenario.workers,
    "authorization": bench_authorization.authorization,
    "cel": bench_cel.cel,
    "daemons": bench_daemons.daemons,
    "fairness": bench_fairness.fairness,
    "informers": informer_scenario.informers,
    "nodes": node_scenario.nodes,
    "fleet": fleet_scenario.fleet,
    "scheduler": scheduler_scenario.scheduler,
    "jetstream": jetstream_load.jetstream,
    "recovery": recovery.recovery,
}
_OWN_CLUSTERS: Final = frozenset(
    {
        "daemons",
        "fairness",
        "fleet",
        "informers",
        "jetstream",
        "memory",
        "nodes",
        "partitions",
        "recovery",
        "scheduler",
        "workers",
        "write costs",
    }
)
_JOURNAL_BENCH: Final = "tests.bench.bench_journal"
_JOURNAL_LINE: Final = "64 writers"


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    given = _parse()
    console = Console(width=max(Console().width, report.WIDTH))
    if not wrk.is_installed():
        console.print(wrk.HOW_TO_INSTALL, style="red")
        return UNMEASURED
    try:
        with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=given.data_dir) as name:
            figures = _measure(given, Path(name), console)
    except (StartFailed, wrk.LoadFailed, Refused, OSError, subprocess.CalledProcessError) as error:
        console.print(str(error), style="red", markup=False)
        return UNMEASURED
    report.print_table(console, figures, _subject(given))
    if given.json:
        Path(given.json).write_bytes(report.to_json(figures))
    return MISSED if any(figure.verdict is False for figure in figures) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", help="where to keep the data; a temporary directory")
    parser.add_argument("--seconds", type=int, default=4, help="length of each load")
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), help="repeatable")
    parser.add_argument("--peer", help="URL of a running API server to load instead of ours")
    parser.add_argument("--token", default="", help="the peer's bearer token")
    parser.add_argument("--ca", default="", help="the peer's CA certificate; without: unchecked")
    parser.add_argument("--peer-pid", type=int, action="append", default=[], help="repeatable")
    parser.add_argument(
        "--bare", action="store_true", help="load the bare uvicorn as if it were us"
    )
    parser.add_argument("--no-bare", action="store_true", help="no comparison with bare uvicorn")
    parser.add_argument(
        "--scale",
        action="store_true",
        help="200,000 listed pods, 100,000 nodes, a million objects kept and recovered: minutes",
    )
    parser.add_argument("--json", help="also write the figures to this file")
    return parser.parse_args()


def _measure(given: argparse.Namespace, directory: Path, console: Console) -> list[Figure]:
    with (
        _subject_server(given, directory) as server,
        nullcontext() if given.no_bare or given.bare else start_bare(directory) as bare,
    ):
        if given.bare:
            return _bare_figures(given, server, directory)
        pods = list_memory.PODS_AT_SCALE if given.scale else list_memory.PODS
        scene = Scene(server, bare, directory, given.seconds, secrets.token_hex(3), pods)
        scene.set_up()
        figures = []
        try:
            for name, scenario in SCENARIOS.items():
                if given.only and name not in given.only:
                    continue
                if given.peer and name in _OWN_CLUSTERS:
                    continue  # they start clusters of ours
                console.print(f"measuring {name} …", style="dim")
                figures += scenario(scene)
            figures += scenarios.memory(scene)
        finally:
            if given.peer:
                scene.clean()
    if given.peer or given.only:
        return figures
    return [*figures, *_journal_figures(directory, given.seconds)]


@contextmanager
def _subject_server(given: argparse.Namespace, directory: Path) -> Iterator[Server]:
    """Give the server to be measured, started here unless it is a peer."""
    if given.peer:
        pids = {f"pid{pid}": pid for pid in given.peer_pid}
        yield Server(Endpoint(given.peer.rstrip("/"), given.token, given.ca), Meter(pids))
        return
    if given.bare:
        with start_bare(directory) as server:
            yield server
        return
    with start_ultraplane(directory) as server:
        yield server


def _bare_figures(given: argparse.Namespace, server: Server, directory: Path) -> list[Figure]:
    """Load bare uvicorn alone: the ceiling of this machine, and a trial of the load scripts."""
    scene = Scene(server, None, directory, given.seconds, "bare")
    scene.body_file("configmaps", objects.config_map("read"))
    scene.body_file("pods", objects.pod("read"))
    figures = [
        scenarios.load(
            scene, f"get {resource}{suffix}", f"/{resource}", "report.lua", connections=n
        )
        for resource in ("configmaps", "pods")
        for n, suffix in ((scenarios.CONNECTIONS, ""), (1, ", alone"))
    ]
    figures += scenarios.creates(scene)
    options = {"prefix": "/configmaps/", "pool": "256"}
    return [*figures, scenarios.load(scene, "patch", "/", "patch.lua", options=options)]


def _journal_figures(directory: Path, seconds: int) -> list[Figure]:
    """Measure the journal alone with its own bench, on the same file system."""
    command = [sys.executable, "-m", _JOURNAL_BENCH, "--data-dir", str(directory)]
    ended = subprocess.run(
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True
    )
    found = re.search(rf"^{_JOURNAL_LINE}\s+([\d,]+) appends/s", ended.stdout, re.MULTILINE)
    if found is None:
        raise wrk.LoadFailed(f"the journal's bench has no line for {_JOURNAL_LINE}: {ended.stdout}")
    rate = float(found[1].replace(",", ""))
    bar = f"≥ {JOURNAL_APPENDS_S_MIN:,.0f} /s"
    met = rate >= JOURNAL_APPENDS_S_MIN
    return [Figure(f"journal alone, 1 KB, {_JOURNAL_LINE}", rate, target=bar, is_met=met)]


def _subject(given: argparse.Namespace) -> str:
    if given.peer:
        return str(given.peer)
    return "bare uvicorn" if given.bare else "Ultraplane over plain HTTP"


if __name__ == "__main__":
    sys.exit(main())

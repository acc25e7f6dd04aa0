"""How soon a cluster serves again, and what its checkpoints cost those who write meanwhile.

A journal and an API server are filled with ConfigMaps, then killed, both at once, and started:

    memory kept    the replica's files on tmpfs are reopened                      < 2 s
    memory lost    newest checkpoint, then what the log has after it              < 20 s
    joining        another API server: copies the checkpoint, reads the log       < 30 s

Then four connections create at a fixed rate, first with no checkpoint, then with one every few
seconds: of writes beside one, the 99th percentile is at most twice that of those without. The bars
are meant for a million objects (`--scale`); a restart takes longer with each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

import yaml
from rich.console import Console

from tests.bench import list_memory, objects
from tests.bench.cluster_objects import KINDS
from tests.bench.cluster_pods import NAMESPACES
from tests.bench.direct_loader import load, sources
from tests.bench.endpoint import Endpoint
from tests.bench.figures import (
    CHECKPOINT_RATIO_MAX,
    JOIN_S_MAX,
    RESTART_KEPT_S_MAX,
    RESTART_LOST_S_MAX,
    Figure,
)
from tests.bench.processes import Meter
from tests.bench.report import WIDTH, print_table
from tests.bench.scale_cluster import Cluster, settle
from tests.bench.scenarios import Scene
from tests.bench.server import HOST, TMPFS, await_ready, free_port, run_child
from ultraplane.joining import join_cluster

OBJECTS: Final = 40_000
OBJECTS_AT_SCALE: Final = 1_000_000
_LOAD_RATE: Final = 20_000.0
_NAMESPACE: Final = "bench-recovery"
_WRITERS: Final = 4
_WRITE_INTERVAL_S: Final = 0.01
_CHECKPOINT_INTERVAL_S: Final = 2
_SAMPLES_MIN: Final = 2_000
_WARM_UP_S: Final = 5.0
_AFTERWARDS_S: Final = 0.3
_WRITE_S_MAX: Final = 60.0
_COMMAND: Final = (sys.executable, "-c", "from ultraplane.cli import main; main()")


class Timed(NamedTuple):
    """A write, or a checkpoint: when it began and ended."""

    begun_s: float
    ended_s: float


class Home:
    """The directories and settings of an API server, and of its journal if it has one."""

    def __init__(self, directory: Path, memory: Path, more: Mapping[str, Any]) -> None:
        directory.mkdir()
        self.directory, self.memory = directory, memory
        self.data = directory / "data"
        self.endpoint = Endpoint(f"http://{HOST}:{free_port()}", token=os.urandom(16).hex())
        tokens = directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.endpoint.token},bench,bench,"system:masters"\n')
        self._settings: dict[str, Any] = {
            "data_dir": str(self.data),
            "memory_dir": str(memory),
            "server": {"port": free_port(), "plain_http_port": self.endpoint.port},
            "auth": {"token_file": str(tokens)},
            **more,
        }
        self.configure({})

    def configure(self, storage: Mapping[str, Any]) -> None:
        """Write the configuration for the next start."""
        # What happens to the history of a load, minutes after it, is not what is measured.
        forgotten = {"compaction_age_s": 1, "compaction_interval_s": 1}
        settings = self._settings | {"storage": {**forgotten, **storage}}
        (self.directory / "ultraplane.yaml").write_text(yaml.safe_dump(settings))

    @contextmanager
    def run(self, *parts: str) -> Iterator[tuple[float, Meter]]:
        """Run parts of a cluster; give how long they took to be ready. They are killed after."""
        begun_s, children = time.monotonic(), {}
        config = str(self.directory / "ultraplane.yaml")
        with ExitStack() as stack:
            for part in parts:
                command = [*_COMMAND, part, "--config", config]
                log = self.directory / f"{part}.log"
                children[part] = stack.enter_context(run_child(command, log))
            is_ready = lambda: self.endpoint.answers("/readyz")  # noqa: E731 -- for one call
            await_ready(children, is_ready, self.directory)
            try:
                meter = Meter({part: child.pid for part, child in children.items()})
                yield time.monotonic() - begun_s, meter
            finally:
                for child in children.values():
                    child.kill()


def recovery(scene: Scene) -> list[Figure]:
    """Measure restarts, joining, and writes beside checkpoints."""
    scaled = scene.listed_pods > list_memory.PODS
    return measure(scene.directory / "recovery", OBJECTS_AT_SCALE if scaled else OBJECTS)


def measure(directory: Path, count: int) -> list[Figure]:
    """Measure with so many objects, in a directory that does not exist yet."""
    directory.mkdir()
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=TMPFS) as memory:
        home = Home(directory / "first", Path(memory) / "first", {})
        with home.run("journal", "apiserver") as (_, meter):
            _fill(home, meter, count)
        with home.run("journal", "apiserver") as (kept_s, _):
            pass
        shutil.rmtree(home.memory)
        with home.run("journal", "apiserver") as (lost_s, _):
            joined_s = _join(home, directory / "second", Path(memory) / "second")
        with home.run("journal", "apiserver"):
            quiet, _ = _write(home, "a", _SAMPLES_MIN * _WRITE_INTERVAL_S / _WRITERS + _WARM_UP_S)
        home.configure({"checkpoint_interval_s": _CHECKPOINT_INTERVAL_S})
        with home.run("journal", "apiserver"):
            writes, checkpoints = _write(home, "b", None)
    what = f"{count:,} objects"
    return [
        _seconds(f"restart, memory kept, {what}", kept_s, RESTART_KEPT_S_MAX),
        _seconds(f"restart, memory lost, {what}", lost_s, RESTART_LOST_S_MAX),
        _seconds(f"another API server joins, {what}", joined_s, JOIN_S_MAX),
        *_compare(quiet, writes, checkpoints),
    ]


def _fill(home: Home, meter: Meter, count: int) -> None:
    for name in (*(f"team-{number}" for number in range(NAMESPACES)), _NAMESPACE):
        objects.create_namespace(home.endpoint, name)
    kinds = [kind._replace(share=100) for kind in KINDS if kind.storage == "configmaps"]
    cluster = Cluster(home.endpoint, meter, home.directory, home.memory)
    asyncio.run(load(cluster, sources(kinds, home.endpoint), count, _LOAD_RATE))
    settle(cluster, cpu_us_max=50_000)


def _join(first: Home, directory: Path, memory: Path) -> float:
    """Return how long another API server takes to serve, the copying of files included."""
    journal = {"address": f"unix:{first.data / 'journal.sock'}", "external": True}
    second = Home(directory, memory, {"journal": journal})
    second.data.mkdir(mode=0o700)
    begun_s = time.monotonic()
    join_cluster(first.data, second.data)
    copied_s = time.monotonic() - begun_s
    with second.run("apiserver") as (ready_s, _):
        return copied_s + ready_s


def _write(home: Home, prefix: str, for_s: float | None) -> tuple[list[Timed], list[Timed]]:
    """Create for so long, or until enough was beside checkpoints; return writes and these."""
    enough, checkpoints = Event(), list[Timed]()
    directory, begun_s = home.data / "checkpoints", time.monotonic()
    with ThreadPoolExecutor(_WRITERS + 1) as pool:
        looking = pool.submit(_look_for_checkpoints, directory, checkpoints, enough)
        writing = [
            pool.submit(_create, home.endpoint, f"{prefix}{n}", enough) for n in range(_WRITERS)
        ]
        try:
            while time.monotonic() < begun_s + (for_s or _WRITE_S_MAX):
                time.sleep(_CHECKPOINT_INTERVAL_S / 4)
                written_s = sum(one.ended_s - one.begun_s for one in checkpoints)
                if not for_s and written_s * _WRITERS / _WRITE_INTERVAL_S >= _SAMPLES_MIN:
                    break
        finally:
            enough.set()
        looking.result()
        writes = [one for future in writing for one in future.result()]
    return [one for one in writes if one.begun_s >= begun_s + _WARM_UP_S], checkpoints


def _compare(
    quiet: list[Timed], writes: list[Timed], checkpoints: list[Timed]
) -> tuple[Figure, Figure]:
    beside = [one for one in writes if any(_overlap(one, other) for other in checkpoints)]
    without, busy = _latencies("with no checkpoint", quiet), _latencies("beside one", beside)
    if without.p99_us and busy.p99_us:
        ratio = busy.p99_us / without.p99_us
        busy.target = f"p99 {ratio:.1f}x, bar {CHECKPOINT_RATIO_MAX:.0f}x"
        busy.is_met = ratio <= CHECKPOINT_RATIO_MAX
    return without, busy


def _look_for_checkpoints(directory: Path, found: list[Timed], enough: Event) -> None:
    """Note when checkpoints are written: their files have another name until they are whole."""
    begun_s: float | None = None
    while not enough.wait(0.005):
        now_s, writing = time.monotonic(), any(directory.glob("default/*.tmp"))
        if writing and begun_s is None:
            begun_s = now_s
        elif not writing and begun_s is not None:
            # What it does to the disk may show a little later.
            found.append(Timed(begun_s, now_s + _AFTERWARDS_S))
            begun_s = None


def _create(endpoint: Endpoint, prefix: str, enough: Event) -> list[Timed]:
    """Create at a fixed rate, whatever it takes; a write is late if the one before was."""
    connection, times = endpoint.connect(), list[Timed]()
    path, due_s = f"/api/v1/namespaces/{_NAMESPACE}/configmaps", time.monotonic()
    while not enough.wait(max(0.0, due_s - time.monotonic())):
        endpoint.send(connection, "POST", path, objects.config_map(f"{prefix}-{len(times)}"))
        times.append(Timed(due_s, time.monotonic()))
        due_s += _WRITE_INTERVAL_S
    connection.close()
    return times


def _overlap(one: Timed, other: Timed) -> bool:
    return one.begun_s < other.ended_s and other.begun_s < one.ended_s


def _latencies(when: str, writes: list[Timed]) -> Figure:
    times_us = sorted((one.ended_s - one.begun_s) * 1e6 for one in writes)
    figure = Figure(f"create {when}", float(len(times_us)), "times")
    if times_us:
        figure.p50_us = times_us[len(times_us) // 2]
        figure.p99_us = times_us[len(times_us) * 99 // 100]
    return figure


def _seconds(what: str, taken_s: float, seconds_max: float) -> Figure:
    bar, met = f"< {seconds_max:.0f} s", taken_s < seconds_max
    return Figure(what, taken_s, "s", target=bar, is_met=met)


def main() -> int:
    """Measure with as many objects as the command line says; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--data-dir", help="where to keep the data; a temporary directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=given.data_dir) as directory:
        figures = measure(Path(directory) / "recovery", given.objects)
    print_table(Console(width=WIDTH), figures, "Recovery")
    return int(any(figure.verdict is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

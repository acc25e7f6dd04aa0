"""What a second worker adds: the same loads on clusters of one worker, of two, and of one a core.

Each cluster is started for itself, so nothing of one is in the other's figures. Gets and lists of
several clients are compared; creates show what the way through a storage process costs.

A worker can only add what there are cores for, and here the load generator, the journal and the
storage process share them. So the rates are judged where cores were left idle. Where none were, the
workers did not get their turn, and what is judged is what they would do with a core each: their
number, times the requests that one serves in a second of its own CPU.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench import objects
from tests.bench.figures import LISTED_PODS, WORKER_RATIO_MIN, Figure
from tests.bench.scenarios import CONNECTIONS, Scene, load
from tests.bench.server import start_ultraplane

LISTERS: Final = 8
IDLE_MIN: Final = 0.10
"""Of all cores: less than that, and they were used up."""
_IDLE_FIELDS: Final = (4, 5)  # idle and waiting for disks, of the first line of /proc/stat


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one cluster."""

    workers: int
    figure: Figure
    idle: float

    @property
    def worker_cpu_us(self) -> float:
        """CPU of the workers for each request."""
        cpu = self.figure.cpu_us
        return sum(used for name, used in cpu.items() if name.startswith("apiserver"))


def workers(scene: Scene) -> list[Figure]:
    """Measure gets, lists and creates with one worker and with more."""
    cores = os.cpu_count() or 1
    figures: list[Figure] = []
    first: list[Run] = []
    for count in sorted({1, 2, cores}):
        runs = _measure(scene, count)
        if count == 1:
            first = runs
            figures += [run.figure for run in runs]
        else:
            pairs = zip(first, runs, strict=True)
            figures += [compared(one, many) for one, many in pairs]
    return figures


def compared(one: Run, many: Run) -> Figure:
    """Return the figure of several workers beside that of one, judged where it can be."""
    figure = many.figure
    ratio = figure.rate / one.figure.rate
    if figure.what.startswith("create"):
        return replace(figure, target=f"({ratio:.2f} x)")
    if many.idle >= IDLE_MIN or ratio >= WORKER_RATIO_MIN:
        target = f"≥ {WORKER_RATIO_MIN} x: {ratio:.2f}"
        return replace(figure, target=target, is_met=ratio >= WORKER_RATIO_MIN)
    able = many.workers * one.worker_cpu_us / many.worker_cpu_us
    target = f"≥ {WORKER_RATIO_MIN} x: {able:.2f} by CPU ({ratio:.2f} here)"
    return replace(figure, target=target, is_met=able >= WORKER_RATIO_MIN)


def _measure(scene: Scene, count: int) -> list[Run]:
    directory = scene.directory / f"workers-{count}"
    directory.mkdir()
    with start_ultraplane(directory, {"server": {"workers": count}}) as server:
        own = replace(scene, server=server, bare=None, directory=directory)
        own.set_up()
        endpoint = server.endpoint
        endpoint.create(own.path("configmaps"), objects.config_map("read"))
        bodies = (objects.pod(f"listed-{number:05d}") for number in range(LISTED_PODS))
        endpoint.create_all(own.path("pods"), bodies)
        body = own.body_file("created", objects.config_map())
        suffix = f", {count} workers" if count > 1 else ", 1 worker"

        def run(what: str, path: str, script: str, connections: int, **options: str) -> Run:
            before = _idle_share_start()
            figure = load(
                own, what + suffix, path, script, options=options, connections=connections
            )
            return Run(count, figure, _idle_share(before))

        create = own.path("configmaps")
        return [
            run("get ConfigMap 1 KB", f"{create}/read", "report.lua", CONNECTIONS),
            run(f"list 10,000 Pods by {LISTERS}", own.path("pods"), "report.lua", LISTERS),
            run("create ConfigMap 1 KB", create, "create.lua", CONNECTIONS, body=body, prefix="m"),
            run("create ConfigMap 1 KB, alone", create, "create.lua", 1, body=body, prefix="s"),
        ]


def _idle_share_start() -> tuple[int, int]:
    """Return the ticks that all cores were idle, and all ticks, since the machine was started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    ticks = [int(field) for field in fields[1:9]]
    return sum(int(fields[index]) for index in _IDLE_FIELDS), sum(ticks)


def _idle_share(before: tuple[int, int]) -> float:
    idle, total = _idle_share_start()
    return (idle - before[0]) / max(1, total - before[1])

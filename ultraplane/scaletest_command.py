"""`ultraplane scaletest`: from flags to a cluster, a run, and its report."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
import yaml
from rich.console import Console

from kube.access import AccessError, read_access
from scaletest.plan import Plan, make_plan
from scaletest.processes import Pids
from scaletest.profiles import PHASE, Profiler, ProfilerMissing
from scaletest.report.files import write_report
from scaletest.running import Target, run_scale_test
from scaletest.samples import PhaseRecord, Record
from scaletest.verdict import is_held, judge, others_text
from ultraplane.errors import UserError
from ultraplane.own_cluster import own_cluster
from ultraplane.run_state import RunState, read_state, state_path
from ultraplane.scaletest_display import Display, show_table

_TESTER: Final = "scale test"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line.

    Attributes:
        scale: share of the published sizes.
        objects: at the peak; None: by scale.
        kubeconfig: of the cluster to use; None: one of our own.
        config: settings of our own cluster.
        report: where files are written; None for none.
        profile: where flame graphs are written; None for none.
    """

    scale: float
    objects: int | None = None
    kubeconfig: Path | None = None
    config: Path | None = None
    report: Path | None = None
    profile: Path | None = None


class _Profiling(Display):
    """A display that has samples of stacks taken when the phase for that begins."""

    def __init__(self, console: Console, profiler: Profiler, pids: Pids) -> None:
        super().__init__(console)
        self._profiler = profiler
        self._pids = pids

    def on_phase(self, phase: PhaseRecord) -> None:
        """See Observer."""
        super().on_phase(phase)
        if phase.name != PHASE:
            return
        if phase.ending is None:
            self._profiler.start(self._pids())
        else:
            self._profiler.stop()


def run(wish: Wish, console: Console, version: str) -> bool:
    """Run a scale test, show and write its results; return whether all bars were held.

    Raises:
        UserError: there is no cluster, or none is to be had.
    """
    plan = make_plan(wish.scale, wish.objects)
    try:
        profiler = Profiler(wish.profile) if wish.profile is not None else None
    except ProfilerMissing as error:
        raise UserError(str(error)) from error
    record = uvloop.run(_run(wish, plan, console, profiler))
    rows = judge(plan, record)
    show_table(console, rows)
    console.print(f"[dim]{others_text(record).capitalize()}.[/]", highlight=False)
    if wish.report is not None:
        write_report(wish.report, plan, record, rows, version)
        console.print(f"[dim]Report:[/] {wish.report}", soft_wrap=True)
    if profiler is not None:
        made = ", ".join(profiler.finish()) or "none, as that phase was not reached"
        console.print(f"[dim]Flame graphs:[/] {wish.profile} ({made})", soft_wrap=True)
    return is_held(rows)


async def _run(wish: Wish, plan: Plan, console: Console, profiler: Profiler | None) -> Record:
    """Run it; the first Ctrl-C or SIGTERM ends it as if it had come to its end.

    Raises:
        UserError: see `run`; also when it is stopped before there is a cluster.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    console.print(
        f"[bold]Scale test[/] at {wish.scale:g}: {plan.nodes:,} nodes, {plan.pods:,} pods, "
        f"{plan.objects:,} objects",
        highlight=False,
    )
    try:
        async with _target(wish, console) as target:
            with _display(console, profiler, target.pids) as display:
                return await run_scale_test(target, plan, display)
    except asyncio.CancelledError as error:
        raise UserError("stopped before there was anything to report") from error


def _display(console: Console, profiler: Profiler | None, pids: Pids) -> Display:
    return Display(console) if profiler is None else _Profiling(console, profiler, pids)


@asynccontextmanager
async def _target(wish: Wish, console: Console) -> AsyncIterator[Target]:
    if wish.kubeconfig is not None:
        yield _target_at(wish.kubeconfig, lambda: None)
        return
    console.print("[dim]Starting a cluster for this run …[/]")
    async with own_cluster(_settings(wish.config)) as kubeconfig:
        path = state_path(kubeconfig.parent)
        yield _target_at(kubeconfig, lambda: read_state(path))


def _target_at(kubeconfig: Path, state: Any) -> Target:
    try:
        access = read_access(kubeconfig)
    except AccessError as error:
        raise UserError(str(error)) from error

    def pids() -> Mapping[str, int]:
        return {_TESTER: os.getpid(), **_pids(state())}

    def restarts() -> int:
        now: RunState | None = state()
        return sum(process.restarts for process in now.processes) if now is not None else 0

    return Target(access, pids, restarts)


def _pids(state: RunState | None) -> dict[str, int]:
    if state is None:
        return {}
    return {process.name: process.pid for process in state.processes if process.pid}


def _settings(config: Path | None) -> dict[str, Any]:
    """Return the settings of our own cluster: those of a file, and a fleet that grows.

    Raises:
        UserError: the file is none.
    """
    given: Any = {}
    if config is not None:
        try:
            given = yaml.safe_load(config.read_bytes()) or {}
        except yaml.YAMLError as error:
            raise UserError(f"{config}: {error}") from error
        if not isinstance(given, dict):
            raise UserError(f"{config}: settings are keys and values; see `ultraplane config`")
    # One node of the fleet's own: a fleet of none is not run. The test launches the others.
    return {**given, "fleet": {**(given.get("fleet") or {}), "nodes": 1}}

"""What a scale test shows while it runs: bars and figures on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from scaletest.processes import Use
from scaletest.running import PHASES
from scaletest.samples import Ending, PhaseRecord, Sample
from scaletest.verdict import Row, shown_bytes, shown_duration, shown_s

_LINE_S: Final = 10.0
_REFRESH_PER_S: Final = 4
_PROCESSES: Final = 8
_COLUMNS: Final = 4
_MARKS: Final = {True: "[green]✔[/]", False: "[red]✘[/]", None: "[dim]·[/]"}


class Display:
    """Shows phases and figures; use it around a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[ending]}[/]"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(console=console, refresh_per_second=_REFRESH_PER_S, transient=False)
        self._line_s = 0.0

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            for phase in PHASES:
                self._tasks[phase.name] = self._bars.add_task(
                    phase.title, total=None, start=False, ending=""
                )
            self._live.update(self._bars)
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_phase(self, phase: PhaseRecord) -> None:
        """See Observer."""
        if self._console.is_terminal:
            self._show_bar(phase)
        elif phase.ending is None:
            self._say(f"{phase.title} …")
        else:
            took = shown_duration(phase.end_s - phase.start_s)
            why = f": {phase.why}" if phase.why else ""
            self._say(f"{phase.title}: {phase.ending.value} in {took}{why}")

    def on_sample(self, sample: Sample, phase: PhaseRecord | None) -> None:
        """See Observer."""
        if self._console.is_terminal:
            if phase is not None and phase.ending is None:
                self._show_bar(phase)
            self._live.update(Group(self._bars, _figures(sample)))
        elif sample.at_s - self._line_s >= _LINE_S:
            self._line_s = sample.at_s
            self._say(_line(sample, phase))

    def _show_bar(self, phase: PhaseRecord) -> None:
        task = self._tasks[phase.name]
        done, total = phase.done, phase.total or None
        if phase.ending is Ending.DONE:
            done = total = phase.total or 1
        ending = ""
        if phase.ending is not None:
            took = shown_duration(phase.end_s - phase.start_s)
            ending = f"{phase.ending.value} in {took}"
        self._bars.start_task(task)
        self._bars.update(task, completed=done, total=total, ending=ending)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_table(console: Console, rows: Sequence[Row]) -> None:
    """Show what was published, what is here, and which bars were held."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("", "what", "published", "here", "bar"):
        shown.add_column(name, overflow="fold")
    for row in rows:
        texts = (Text(text) for text in (row.what, row.published, row.here, row.bar))
        shown.add_row(_MARKS[row.held], *texts)
    console.print(shown)


def _line(sample: Sample, phase: PhaseRecord | None) -> str:
    far = f"{phase.done:,} of {phase.total:,}, " if phase is not None and phase.total else ""
    return (
        f"  {shown_duration(sample.at_s)}: {far}{sample.ready_nodes:,} nodes ready, "
        f"{sample.pods:,} pods, {sample.objects_total:,} objects, "
        f"{sample.writes_s:,.0f} writes/s, {sample.bound_s:,.0f} bound/s, "
        f"p99 of writes {_p99(sample, 'write')}"
    )


def _figures(sample: Sample) -> Table:
    grid = Table.grid(padding=(0, 3))
    cells: list[tuple[str, str]] = [
        ("nodes ready", f"{sample.ready_nodes:,}"),
        ("pods", f"{sample.pods:,}"),
        ("without a node", f"{sample.waiting:,}"),
        ("objects", f"{sample.objects_total:,}"),
        ("store", shown_bytes(sample.store_bytes)),
        ("journal", shown_bytes(sample.journal_bytes)),
        ("reads/s", f"{sample.reads_s:,.0f}"),
        ("writes/s", f"{sample.writes_s:,.0f}"),
        ("bound/s", f"{sample.bound_s:,.0f}"),
        ("p99 gets", _p99(sample, "get")),
        ("p99 writes", _p99(sample, "write")),
        ("p99 lists", _p99(sample, "list")),
    ]
    cells += [(name, f"{use.cores:.2f} cores") for name, use in _busiest(sample)]
    for at in range(0, len(cells), _COLUMNS):
        some = cells[at : at + _COLUMNS]
        grid.add_row(*(Text.assemble((f"{name} ", "dim"), text) for name, text in some))
    return grid


def _busiest(sample: Sample) -> list[tuple[str, Use]]:
    return sorted(sample.processes.items(), key=lambda one: -one[1].cores)[:_PROCESSES]


def _p99(sample: Sample, kind: str) -> str:
    value = sample.p99_s.get(kind)
    return "—" if value is None else shown_s(value)

"""What a conformance run shows: a line for each case as it ends, and the table by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.registry import Case
from conformance.results import Outcome, Result, Row, table
from conformance.specs import RELEASE

_MARKS: Final = {
    Outcome.PASSED: "[green]✔[/]",
    Outcome.FAILED: "[red]✘[/]",
    Outcome.SKIPPED: "[yellow]-[/]",
}
_MESSAGE_LINES_MAX: Final = 8


class Progress:
    """Shows each case's end, and on a terminal what runs meanwhile."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._running: dict[str, None] = {}
        self._status = console.status("") if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def on_start(self, case: Case) -> None:
        """Take note of a case that begins."""
        self._running[case.name] = None
        self._refresh()

    def on_end(self, case: Case, result: Result) -> None:
        """Show how a case ended."""
        self._ended += 1
        self._running.pop(case.name, None)
        self.show(result)
        self._refresh()

    def show(self, result: Result) -> None:
        """Show one result, and why if it is none to be glad of."""
        star = " [dim](stands in for a container)[/]" if result.local else ""
        line = (
            f"{_MARKS[result.outcome]} {escape(result.name)} [dim]{result.seconds:.1f} s[/]{star}"
        )
        self._console.print(line, highlight=False, soft_wrap=True)
        if result.outcome is not Outcome.PASSED:
            for text in result.message.splitlines()[:_MESSAGE_LINES_MAX]:
                self._console.print(f"    [dim]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        if self._status is not None:
            some = ", ".join(list(self._running)[:2])
            more = f" and {len(self._running) - 2} more" if len(self._running) > 2 else ""
            self._status.update(f"{self._ended} of {self._total}   {escape(some)}{more}")


def show_table(console: Console, results: Sequence[Result]) -> None:
    """Show how much of upstream's list was judged, and how."""
    title = f"Kubernetes {RELEASE} conformance"
    shown = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False
    )
    shown.add_column("SIG", no_wrap=True)
    for name in ("specs", "passed", "stand-in", "failed", "uncovered", "containers"):
        shown.add_column(name, justify="right", no_wrap=True)
    rows = table(results)
    for row in rows[:-1]:
        shown.add_row(*_cells(row))
    shown.add_section()
    shown.add_row(*_cells(rows[-1]))
    console.print(shown)
    console.print(
        "[dim]stand-in: of those passed, by a case that does what upstream leaves to a container; "
        "containers: of those uncovered, what needs running ones.[/]",
        soft_wrap=True,
    )


def _cells(row: Row) -> list[str]:
    failed = f"[red]{row.failed}[/]" if row.failed else "0"
    return [
        row.sig,
        str(row.specs),
        str(row.passed),
        str(row.local),
        failed,
        str(row.uncovered),
        str(row.containers),
    ]

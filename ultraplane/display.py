"""What `ultraplane up` shows: one line for each thing that happens, colours only on a terminal.

Nobody has to look: when the terminal is closed, or the program that reads our output ends, what
would be shown is lost, and the cluster goes on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ultraplane.supervisor import ProcessState


class LastingConsole(Console):
    """A console that falls silent when nobody can read it any more; rich's would end us."""

    def on_broken_pipe(self) -> None:
        """Fall silent."""
        self.quiet = True


class Display:
    """Shows a supervisor's events; `publish` gets the processes at every change."""

    def __init__(
        self, console: Console, publish: Callable[[Sequence[ProcessState]], None], log_dir: Path
    ) -> None:
        self._console = console
        self._publish = publish
        self._log_dir = log_dir
        self._states: dict[str, ProcessState] = {}
        self._unpublished = ""

    def on_change(self, states: Sequence[ProcessState]) -> None:
        """Take over the present states."""
        self._states = {state.name: state for state in states}
        try:
            self._publish(states)
        except OSError as error:
            # A full disk is the journal's trouble, not a reason to stop all.
            if str(error) != self._unpublished:
                text = f"`ultraplane status` is out of date: {error}"
                self._line(f"  [yellow]![/] {escape(text)}")
            self._unpublished = str(error)
        else:
            self._unpublished = ""

    def on_ready(self, name: str, seconds: float) -> None:
        """Show a process with the time it took and where it listens."""
        state = self._states[name]
        self._line(
            f"  [green]✔[/] {name:<12} ready in {seconds:5.2f} s   "
            f"[dim]{escape(state.address)}   pid {state.pid}[/]"
        )

    def on_slow(self, name: str, seconds: float, reason: str) -> None:
        """Show that a process is awaited."""
        self._line(f"  [yellow]…[/] {name:<12} not ready after {seconds:.0f} s: {escape(reason)}")

    def on_death(self, name: str, how: str, delay_s: float, lines: Sequence[str]) -> None:
        """Show a death with the end of the log."""
        when = f"in {delay_s:.0f} s" if delay_s else "now"
        self._line(
            f"  [red]✘[/] {name:<12} died ({how}), starts again {when}. "
            f"Log: {escape(str(self._log_dir / f'{name}.log'))}"
        )
        for line in lines:
            self._line(f"      [dim]{escape(line)}[/]")

    def on_stopped(self, name: str, *, by_itself: bool) -> None:
        """Show an ordered end."""
        text = "stopped" if by_itself else "[red]killed: it did not stop in time[/]"
        self._line(f"  [dim]■[/] {name:<12} {text}")

    def show_ready(self, seconds: float, kubeconfig: Path, data_dir: Path) -> None:
        """Show how to use the cluster."""
        self._line(
            f"\n  [bold]Ready in {seconds:.1f} s.[/] In another terminal:\n\n"
            f"    export KUBECONFIG={escape(shlex.quote(str(kubeconfig)))}\n"
            "    kubectl get namespaces\n\n"
            f"  [dim]Data:[/] {escape(str(data_dir))}   [dim]Logs:[/] {escape(str(self._log_dir))}"
            "   [dim]More:[/] ultraplane status\n"
            "  Press Ctrl-C to stop."
        )

    def show_title(self, version: str) -> None:
        """Show what starts."""
        self._line(f"[bold]Ultraplane {version}[/]\n")

    def show_stopping(self) -> None:
        """Show that the end has begun."""
        self._line("\n  Stopping (Ctrl-C again kills) …")

    def _line(self, text: str) -> None:
        # A path cut in two by a line break cannot be copied.
        try:
            self._console.print(text, highlight=False, soft_wrap=True)
        except OSError:
            self._console.quiet = True

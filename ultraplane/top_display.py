"""What `ultraplane top` shows of a moment: tables for a terminal, or a line for a log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ultraplane.state_display import bytes_text
from ultraplane.top_figures import View

SORTS: Final = ("rate", "p99", "verb")
"""By what verbs can be sorted, in the order of the key `s`."""
_PHASES: Final = ("Running", "Pending", "Succeeded", "Failed", "Unknown")
_LAG_S_WARN: Final = 1.0
_CONTROLLERS_SHOWN: Final = 5


def render(view: View, server: str, sort: str, *, is_live: bool) -> RenderableType:
    """Return the whole picture.

    Args:
        view: what is to be seen.
        server: where.
        sort: one of `SORTS`.
        is_live: whether it is drawn again, and keys are heard.
    """
    head = Text.assemble(
        ("Ultraplane", "bold"), f"  {server}  ", (_clock(view), "dim"), overflow="ellipsis"
    )
    parts: list[RenderableType] = [head]
    parts += [
        Text(f"alarm {one['name']}, {one['level']}: {one['text']}", "red") for one in view.alarms
    ]
    parts += [_summary(view), _verbs(view, sort), _partitions(view), _levels(view)]
    if view.controllers:
        parts.append(_controllers(view.controllers))
    if is_live:
        parts.append(Text(f"q leaves, s sorts verbs (by {sort})", "dim"))
    return Group(*parts)


def line(view: View) -> str:
    """Return one line for a log."""
    facts = [_clock(view)]
    if view.nodes is not None:
        facts.append(f"nodes {view.nodes['ready']}/{view.nodes['total']}")
    if view.pods is not None:
        running = view.pods.get("Running", 0)
        facts.append(f"pods {running}/{view.pods['total']}, {view.pods['unbound']} unplaced")
    facts.append(f"{view.total_per_s:.0f} requests/s, p99 {seconds_text(view.latency.p99_s)}")
    facts.append(f"lag {seconds_text(view.lag_s)}")
    facts.append(f"{view.watches} watches, {view.watch_events_per_s:.0f} events/s")
    if view.scheduler is not None:
        waiting = sum(view.scheduler["queue"].values())
        facts.append(f"{view.scheduler['bound_per_s']:.0f} pods/s bound, {waiting} queued")
    facts += [f"alarm {one['name']}" for one in view.alarms]
    return "; ".join(facts)


def seconds_text(value: float | None) -> str:
    """Return a duration for people."""
    if value is None:
        return "-"
    if value == 0:
        return "0 ms"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 0.01:
        return f"{value * 1e3:.1f} ms"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def _clock(view: View) -> str:
    return f"{datetime.fromtimestamp(view.at_ms / 1000, UTC):%H:%M:%S}Z"


def _summary(view: View) -> Columns:
    return Columns([_nodes(view), _pods(view), _requests(view), _scheduler(view)], padding=(0, 1))


def _panel(title: str, rows: list[tuple[str, str]]) -> Panel:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right", style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return Panel(table, title=title, title_align="left", box=box.ROUNDED, border_style="dim")


def _nodes(view: View) -> Panel:
    nodes = view.nodes
    if nodes is None:
        return _panel("nodes", [("-", "you may not list them")])
    bad = nodes["notReady"] + nodes["unknown"]
    colour = "red" if bad else "green"
    rows = [(f"[{colour}]{nodes['ready']:,}[/]", f"ready of {nodes['total']:,}")]
    rows.append((f"{bad:,}", f"not ready ({nodes['unknown']:,} unknown)"))
    rows.append((f"{nodes['cordoned']:,}", "cordoned"))
    rows.append((f"{nodes['tainted']:,}", "tainted") if nodes["complete"] else ("…", "counting"))
    return _panel("nodes", rows)


def _pods(view: View) -> Panel:
    pods = view.pods
    if pods is None:
        return _panel("pods", [("-", "you may not list them")])
    rows = [(f"{pods[phase]:,}", phase.lower()) for phase in _PHASES if phase in pods] or [
        ("0", "pods")
    ]
    rows.append((f"{pods['unbound']:,}", "without a node"))
    if not pods["complete"]:
        rows.append(("…", "counting"))
    return _panel("pods", rows)


def _requests(view: View) -> Panel:
    lag = seconds_text(view.lag_s)
    late = f"[red]{lag}[/]" if view.lag_s > _LAG_S_WARN else lag
    return _panel(
        "API server",
        [
            (f"{view.total_per_s:,.0f}", "requests/s"),
            (seconds_text(view.latency.p99_s), f"p99 (p50 {seconds_text(view.latency.p50_s)})"),
            (f"{view.watches:,}", f"watches, {view.watch_events_per_s:,.0f} events/s"),
            (late, "replication lag"),
        ],
    )


def _scheduler(view: View) -> Panel:
    told = view.scheduler
    if told is None:
        return _panel("scheduler", [("-", "not beside this server")])
    queue = told["queue"]
    return _panel(
        "scheduler",
        [
            (f"{told['bound_per_s']:,.0f}", "pods/s bound"),
            (f"{queue['active'] + queue['backoff']:,}", "wait their turn"),
            (f"{queue['unschedulable']:,}", f"fit nowhere, {queue['gated']:,} gated"),
            (seconds_text(told["wait_p99_s"]), "p99 until bound"),
        ],
    )


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column(heads[0])
    for head in heads[1:]:
        table.add_column(head, justify="right")
    return table


def _verbs(view: View, sort: str) -> Table:
    table = _table("verb", "per s", "p50", "p99", "429/s", "5xx/s")
    keys = {
        "rate": lambda item: -item[1].per_s,
        "p99": lambda item: -(item[1].p99_s or 0.0),
        "verb": lambda item: item[0],
    }
    for verb, told in sorted(view.requests.items(), key=keys[sort]):
        table.add_row(
            escape(verb),
            f"{told.per_s:,.1f}",
            seconds_text(told.p50_s),
            seconds_text(told.p99_s),
            f"{told.throttled_per_s:,.1f}",
            f"{told.failed_per_s:,.1f}",
        )
    return table


def _partitions(view: View) -> Table:
    table = _table("partition", "state", "revision", "objects", "memory", "lag", "watches")
    for one in view.partitions:
        table.add_row(
            escape(one["name"]),
            "[green]ready[/]" if one["ready"] else f"[red]{escape(one['failure'] or 'behind')}[/]",
            f"{one['revision']:,}",
            f"{one['objects']:,}",
            bytes_text(one["bytes"]),
            str(one["lag"]),
            str(one["watchers"]),
        )
    return table


def _levels(view: View) -> Table:
    table = _table("priority level", "seats", "of", "waiting", "refused")
    for name, told in sorted(view.levels.items(), key=_busiest):
        table.add_row(
            escape(name),
            str(told["seats"]),
            str(told["current"]),
            str(told["waiting"]),
            f"{told['rejected']:,}",
        )
    return table


def _controllers(told: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("busiest controllers", "waiting", "later", "per s", "failed/s")
    ordered = sorted(
        told.items(), key=lambda item: (-item[1]["waiting"], -item[1]["worked_per_s"], item[0])
    )
    for name, queue in ordered[:_CONTROLLERS_SHOWN]:
        table.add_row(
            escape(name),
            f"{queue['waiting']:,}",
            f"{queue['delayed']:,}",
            f"{queue['worked_per_s']:,.1f}",
            f"{queue['failed_per_s']:,.1f}",
        )
    return table


def _busiest(item: tuple[str, Mapping[str, Any]]) -> tuple[int, int, str]:
    return -item[1]["waiting"], -item[1]["seats"], item[0]

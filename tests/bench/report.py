"""Prints figures as a table, and machine-readably."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.figures import UPSTREAM, Figure

WIDTH: Final = 190


def print_table(console: Console, figures: Sequence[Figure], subject: str) -> None:
    """Print one line a figure; CPU columns only if some process was measured."""
    table = Table(title=f"{subject}, 1 wrk thread")
    processes = list(dict.fromkeys(name for item in figures for name in item.cpu_us))
    table.add_column("operation", no_wrap=True)
    numbers = ["rate", "p50", "p99"]
    # One process's share is the whole.
    shares = processes if len(processes) > 1 else []
    numbers += ["CPU µs/op", *shares] if processes else []
    for heading in [*numbers, "bare uvicorn", "ratio", "bar", "", "upstream 1.33"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for item in figures:
        cpu = [_cpu(item, None), *(_cpu(item, name) for name in shares)] if processes else []
        table.add_row(
            item.what,
            f"{item.rate:,.0f} {item.unit}" if item.rate >= 100 else f"{item.rate:.1f} {item.unit}",
            _latency(item.p50_us),
            _latency(item.p99_us),
            *cpu,
            f"{item.bare_rate:,.0f} /s" if item.bare_rate else "",
            f"{item.ratio:.2f}" if item.ratio else "",
            item.target or (f"≥ {item.ratio_min:.2f}" if item.ratio_min else ""),
            {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[item.verdict],
            UPSTREAM.get(item.what, ""),
        )
    console.print(table)


def to_json(figures: Sequence[Figure]) -> bytes:
    """Return the figures as JSON, for comparing runs."""
    rows = [asdict(item) | {"ratio": item.ratio, "met": item.verdict} for item in figures]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2)


def _latency(value_us: float | None) -> str:
    if value_us is None:
        return ""
    return f"{value_us / 1000:,.1f} ms" if value_us >= 1000 else f"{value_us:,.0f} µs"


def _cpu(item: Figure, process: str | None) -> str:
    if not item.cpu_us:
        return ""
    value = sum(item.cpu_us.values()) if process is None else item.cpu_us.get(process)
    return "" if value is None else f"{value:,.1f}"

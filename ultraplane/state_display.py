"""What `ultraplane status` shows of alarms, limits and the log: tables for a tired person.

Everything may be missing: the server may be of an older version, and the journal away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime.clock import SystemClock

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_RUNBOOK: Final = "docs/runbook.md"


def show_state(told: Mapping[str, Any], console: Console) -> None:
    """Show alarms first, then what is used of what there is, then the log and who holds it."""
    alarms = told.get("alarms") or []
    for alarm in alarms:
        colour = "yellow" if alarm["level"] == "warning" else "red"
        where = alarm["partition"] or alarm["resource"]
        name = f"{alarm['name']} ({where})" if where else alarm["name"]
        console.print(
            f"\n[{colour}]alarm {escape(name)}, {alarm['level']}[/]: {escape(alarm['text'])}",
            soft_wrap=True,
            highlight=False,
        )
    if alarms:
        console.print(f"what to do: {_RUNBOOK}", highlight=False)
    limits = list(_limits(told))
    if limits:
        table = Table("\nlimit", "\nused", "\nof", "\nleft", box=None, pad_edge=False)
        for row in limits:
            table.add_row(*row)
        console.print(table)
    streams = (told.get("journal") or {}).get("streams", {})
    if streams:
        console.print(_log_table(streams))


def bytes_text(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit holds everything")


def age_s(at_ms: int) -> float:
    """Return how long ago something was."""
    return max(0.0, SystemClock().now_ms() - at_ms) / 1000


def _limits(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield rows: what is limited, what is used, of how much, what is left."""
    quotas, partitions = told.get("quotas") or {}, told.get("partitions", ())
    journal = told.get("journal") or {}
    used_bytes = sum(one["bytes"] - one.get("spare_bytes", 0) for one in partitions)
    log_bytes = sum(one["retainedBytes"] for one in journal.get("streams", {}).values())
    if limit := quotas.get("memory_bytes"):
        yield _bytes_row("quota of memory", used_bytes, limit)
    if limit := quotas.get("objects"):
        count = sum(one["objects"] for one in partitions)
        yield "quota of objects", f"{count:,}", f"{limit:,}", f"{max(0, limit - count):,}"
    if limit := quotas.get("log_bytes"):
        yield _bytes_row("quota of the log", log_bytes, limit)
    disks = dict(told.get("disks") or {})
    if journal.get("disk"):
        disk = journal["disk"]
        disks["log"] = {"free_bytes": disk["freeBytes"], "size_bytes": disk["sizeBytes"]}
    for name, disk in disks.items():
        if size := disk["size_bytes"]:
            yield _bytes_row(f"file system of {name}", size - disk["free_bytes"], size)


def _bytes_row(name: str, used: int, limit: int) -> tuple[str, str, str, str]:
    return name, bytes_text(used), bytes_text(limit), bytes_text(max(0, limit - used))


def _log_table(streams: Mapping[str, Any]) -> Table:
    heads = ("log", "entries", "size", "files", "sync", "kept from, for")
    table = Table(*(f"\n{head}" for head in heads), box=None, pad_edge=False)
    for name, one in streams.items():
        sync_ms = one["syncSeconds"] / one["syncs"] * 1000 if one["syncs"] else 0.0
        holds = sorted(one["holds"].items(), key=lambda item: item[1])
        table.add_row(
            escape(name),
            f"{one['first']} to {one['last']}",
            bytes_text(one["retainedBytes"]),
            str(one["segments"]),
            "closed" if one["closed"] else f"{sync_ms:.1f} ms",
            ", ".join(f"{first} {_short(holder)}" for holder, first in holds) or "-",
        )
    return table


def _short(holder: str) -> str:
    """Return enough of a replica's name to tell it from others."""
    return holder.removeprefix("replica-")[:8]

"""Which time lines a page has, made of samples: what the published figures show, and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from scaletest.processes import Use
from scaletest.published import LIST_SLO_S, SCHEDULER_PODS_PER_S, SINGLE_OBJECT_SLO_S
from scaletest.report.plots import Band, Line, Mark, Plot, Point
from scaletest.samples import Record, Sample
from scaletest.verdict import SINGLE_S_MAX

LINES_MAX: Final = 10
"""As many colours as a page has."""


def bands(record: Record) -> list[Band]:
    """Return the phases as bands."""
    return [Band(one.name, one.start_s, one.end_s) for one in record.phases]


def plots(record: Record) -> list[Plot]:
    """Return all plots, in their order on the page."""
    samples = record.samples
    return [
        _counts(
            "Nodes",
            "registered, and Ready",
            _line("registered", samples, lambda one: one.nodes),
            _line("Ready", samples, lambda one: one.ready_nodes),
        ),
        _counts(
            "Pods",
            "in the API, and those of them without a node",
            _line("in the API", samples, lambda one: one.pods),
            _line("wait for a node", samples, lambda one: one.waiting),
        ),
        _latencies(samples),
        _counts(
            "Requests",
            "reads and writes a second, as the server counts them",
            _line("reads", samples, lambda one: one.reads_s),
            _line("writes", samples, lambda one: one.writes_s),
        ),
        _scheduled(samples),
        _counts(
            "Watches",
            "events sent a second, to all watchers together",
            _line("events", samples, lambda one: one.events_s),
        ),
        _objects(samples),
        Plot(
            "Sizes",
            "of the replica, all partitions, and of the journal's files",
            [
                _line("store", samples, lambda one: one.store_bytes),
                _line("journal", samples, lambda one: one.journal_bytes),
            ],
            shown_size,
        ),
        _queues(samples),
        _by_process(
            samples, "CPU", "cores in use, by process", lambda use: use.cores, lambda x: f"{x:.2g}"
        ),
        _by_process(
            samples,
            "Memory of its own",
            "by process; the replica, which is mapped, left out",
            lambda use: float(use.own_bytes),
            shown_size,
        ),
        _by_process(
            samples,
            "Memory that is mapped",
            "by process, the replica above all; several may have the same",
            lambda use: float(use.mapped_bytes),
            shown_size,
        ),
    ]


def _counts(title: str, note: str, *lines: Line) -> Plot:
    return Plot(title, note, lines, shown_count)


def _scheduled(samples: Sequence[Sample]) -> Plot:
    return Plot(
        "Scheduler",
        "pods bound a second",
        [_line("bound", samples, lambda one: one.bound_s)],
        shown_count,
        marks=[Mark(f"published: {SCHEDULER_PODS_PER_S}", SCHEDULER_PODS_PER_S)],
    )


def _queues(samples: Sequence[Sample]) -> Plot:
    return _counts(
        "Queues",
        "what waits, and where",
        _line("requests under way", samples, lambda one: one.inflight),
        _line("requests queued by fairness", samples, lambda one: one.queued),
        _line("appends to the journal", samples, lambda one: one.pending_appends),
        _line("entries to apply", samples, lambda one: one.lag_entries),
    )


def _line(name: str, samples: Sequence[Sample], value: Callable[[Sample], float]) -> Line:
    return Line(name, [(one.at_s, value(one)) for one in samples])


def _latencies(samples: Sequence[Sample]) -> Plot:
    lines = []
    for kind in ("get", "write", "list"):
        points: list[Point] = [(one.at_s, one.p99_s.get(kind)) for one in samples]
        lines.append(Line(f"{kind}s", points))
    return Plot(
        "Latency, p99",
        "of the last ten seconds, by the server's histograms; where there were enough requests",
        lines,
        shown_time,
        marks=[
            Mark("bar for gets and writes: 250 ms", SINGLE_S_MAX),
            Mark("objective for gets and writes: 1 s", SINGLE_OBJECT_SLO_S),
            Mark("objective for lists: 30 s", LIST_SLO_S),
        ],
        is_log=True,
    )


def _objects(samples: Sequence[Sample]) -> Plot:
    highest: Counter[str] = Counter()
    for one in samples:
        for name, count in one.objects.items():
            highest[name] = max(highest[name], count)
    names = [name for name, _ in highest.most_common(LINES_MAX)]
    lines = [
        Line(name, [(one.at_s, float(one.objects.get(name, 0))) for one in samples])
        for name in names
    ]
    return Plot("Objects", "of the most numerous types", lines, shown_count)


def _by_process(
    samples: Sequence[Sample],
    title: str,
    note: str,
    value: Callable[[Use], float],
    shown: Callable[[float], str],
) -> Plot:
    highest: dict[str, float] = {}
    for one in samples:
        for name, use in one.processes.items():
            highest[name] = max(highest.get(name, 0.0), value(use))
    lines = []
    used = [name for name in sorted(highest, key=lambda name: -highest[name]) if highest[name]]
    for name in used[:LINES_MAX]:
        points: list[Point] = [
            (one.at_s, value(one.processes[name]) if name in one.processes else None)
            for one in samples
        ]
        lines.append(Line(name, points))
    return Plot(title, note, lines, shown)


def shown_count(count: float) -> str:
    """Return a number as text, short enough for an axis."""
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if count >= 10 * factor or (unit == "M" and count >= factor):
            return f"{count / factor:.3g}{unit}"
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def shown_size(count: float) -> str:
    """Return a size as text, short enough for an axis."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def shown_time(seconds: float) -> str:
    """Return a latency as text, short enough for an axis."""
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"

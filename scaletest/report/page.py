"""The page of a run: one HTML file with everything in it, to be read anywhere and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from scaletest import published
from scaletest.latencies import (
    Kind,
    by_verb_and_scope,
    kind_of,
    merged,
    quantile_s,
    share_within,
)
from scaletest.phases.fill import REASONS
from scaletest.plan import NODES_FULL, Plan
from scaletest.report.figures import bands, plots
from scaletest.report.plots import draw
from scaletest.samples import Record, percentile
from scaletest.verdict import (
    Row,
    is_held,
    others_text,
    shown_bytes,
    shown_duration,
    shown_s,
    worst_p99_s,
)

_SLOWEST: Final = 12
_REQUESTS_MIN: Final = 20
_REFUSALS: Final = 12


def page(plan: Plan, record: Record, rows: Sequence[Row], version: str) -> str:
    """Return the page.

    Args:
        plan: of the run.
        record: what was measured.
        rows: the table.
        version: of the software.
    """
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    end_s = record.samples[-1].at_s if record.samples else 1.0
    drawn = "".join(draw(plot, bands(record), end_s) for plot in plots(record))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Scale test: {plan.nodes:,} nodes</title><style>{style}</style></head><body><main>"
        f"{_head(plan, record, rows, version)}"
        f"<h2>Published and here</h2>{_verdict(rows)}"
        f'<h2>Time lines</h2><div class="plots">{drawn}</div>'
        f"<h2>Phases</h2>{_phases(record)}"
        f"<h2>Latency by verb and scope</h2>{_verbs(record)}"
        f"<h2>Latency for a client</h2>{_probes(record)}"
        f"<h2>Slowest kinds of requests</h2>{_slowest(record)}"
        f"<h2>What was refused</h2>{_refusals(record)}"
        f"<h2>How to read this</h2>{_notes(plan, record)}"
        "</main></body></html>\n"
    )


def _head(plan: Plan, record: Record, rows: Sequence[Row], version: str) -> str:
    held = is_held(rows)
    missed = sum(row.held is False for row in rows)
    badge = "all bars held" if held else f"{missed} bar{'s' if missed > 1 else ''} missed"
    machine = record.machine
    lead = (
        f"Published experiments with 100,000-node clusters, replayed at scale {plan.scale:g} "
        f"({plan.nodes:,} of {NODES_FULL:,} nodes) on one machine: {machine.get('cores')} cores "
        f"({machine.get('cpu')}), {shown_bytes(machine.get('memory_bytes', 0))} of memory, "
        f"{machine.get('system')}. Nodes are simulated: no kubelet, no container, no network "
        f"between them. Ultraplane {version}, Python {machine.get('python')}. The machine's load "
        f"was {machine.get('load_before')} before the run; {others_text(record)}."
    )
    samples = record.samples
    write_s = worst_p99_s(record, Kind.WRITE)
    tiles = (
        ("nodes Ready", f"{max((one.ready_nodes for one in samples), default=0):,}"),
        ("pods at once", f"{max((one.pods for one in samples), default=0):,}"),
        ("objects at once", f"{max((one.objects_total for one in samples), default=0):,}"),
        ("writes, p99 at worst", "—" if write_s is None else shown_s(write_s)),
        ("pods bound a second, peak", f"{max((one.bound_s for one in samples), default=0):,.0f}"),
        ("the whole run", shown_duration(samples[-1].at_s if samples else 0)),
    )
    shown = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in tiles
    )
    return (
        f'<h1>Scale test <span class="badge{"" if held else " missed"}">{badge}</span></h1>'
        f'<p class="lead">{escape(lead)}</p><div class="tiles">{shown}</div>'
    )


def _verdict(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        kind, text = {
            True: ("held", "✓ held"),
            False: ("missed", "✗ missed"),
            None: ("none", "·"),
        }[row.held]
        cells = "".join(f"<td>{escape(one)}</td>" for one in (row.what, row.published, row.here))
        body.append(f'<tr>{cells}<td>{escape(row.bar)}</td><td class="{kind}">{text}</td></tr>')
    head = _heads(("What", "Published", "Here", "Bar", "Held?"), ())
    return f'<div class="wide"><table>{head}{"".join(body)}</table></div>'


def _phases(record: Record) -> str:
    rows = []
    for one in record.phases:
        figures = "; ".join(_figure(name, value) for name, value in one.figures.items())
        ending = one.ending.value if one.ending else "—"
        rows.append(
            (
                one.title,
                shown_duration(one.start_s),
                shown_duration(one.end_s - one.start_s),
                f"{ending}{': ' + one.why if one.why else ''}",
                figures,
            )
        )
    return _table(("Phase", "Began at", "Took", "Ended", "Figures"), rows, numbers=(1, 2))


def _figure(name: str, value: float) -> str:
    """Return a figure of a phase as text; its name says what it is in."""
    if name == "ended_by":
        return REASONS[int(value)]
    if name == "is_leader_worker_set":
        return "by LeaderWorkerSet" if value else "a StatefulSet stands in"
    for unit, text in (("_per_minute", "a minute"), ("_per_s", "a second")):
        if name.endswith(unit):
            return f"{name.removesuffix(unit)} {text}: {value:,.0f}"
    if name.endswith("_s") or name == "seconds":
        what = name.removesuffix("_s").replace("seconds", "all")
        return f"{what} after {shown_duration(value)}"
    return f"{name}: {value:,.0f}"


def _verbs(record: Record) -> str:
    found: dict[tuple[str, str], list[Any]] = {}
    for window in record.windows:
        for key, buckets in by_verb_and_scope(window.histograms).items():
            found.setdefault(key, []).append(buckets)
    rows = []
    for (verb, scope), several in sorted(found.items()):
        total = merged(several)
        assert total is not None
        limit = 30.0 if verb in ("LIST", "DELETECOLLECTION") else 1.0
        worst = max(quantile_s(one, 0.99) for one in several if one.total)
        rows.append(
            (
                verb,
                scope,
                f"{total.total:,.0f}",
                *(shown_s(quantile_s(total, share)) for share in (0.5, 0.9, 0.99)),
                shown_s(worst),
                f"{100 * share_within(total, limit):.3f}% ≤ {limit:g} s",
            )
        )
    heads = ("Verb", "Scope", "Requests", "p50", "p90", "p99", "p99, worst window", "Objective")
    return _table(heads, rows, numbers=(2, 3, 4, 5, 6, 7))


def _probes(record: Record) -> str:
    rows = [
        (
            name,
            f"{len(times_s):,}",
            *(shown_s(percentile(times_s, share)) for share in (0.5, 0.9, 0.99)),
            shown_s(max(times_s)),
        )
        for name, times_s in sorted(record.latencies_s.items())
        if times_s
    ]
    return _table(("Operation", "Times", "p50", "p90", "p99", "Max"), rows, numbers=range(1, 6))


def _slowest(record: Record) -> str:
    found: dict[tuple[str, str, str], list[Any]] = {}
    for window in record.windows:
        for request, buckets in window.histograms.items():
            if kind_of(request) is not None:
                resource = "/".join(filter(None, (request.resource, request.subresource)))
                key = (request.verb, resource, request.scope)
                found.setdefault(key, []).append(buckets)
    totals = [(key, total) for key, several in found.items() if (total := merged(several))]
    enough = [(key, total) for key, total in totals if total.total >= _REQUESTS_MIN]
    enough.sort(key=lambda one: quantile_s(one[1], 0.99), reverse=True)
    rows = [
        (
            *key,
            f"{total.total:,.0f}",
            shown_s(quantile_s(total, 0.5)),
            shown_s(quantile_s(total, 0.99)),
        )
        for key, total in enough[:_SLOWEST]
    ]
    return _table(("Verb", "Resource", "Scope", "Requests", "p50", "p99"), rows, numbers=(3, 4, 5))


def _refusals(record: Record) -> str:
    most = sorted(record.failures.items(), key=lambda one: -one[1])[:_REFUSALS]
    rows = [(*name.split(" ", 2), f"{count:,}") for name, count in most]
    own = [("—", "test", text, f"{count:,}") for text, count in sorted(record.errors.items())]
    if not rows and not own:
        return '<p class="lead">Nothing.</p>'
    return _table(("Code", "Verb", "Resource", "Times"), [*rows, *own], numbers=(3,))


def _notes(plan: Plan, record: Record) -> str:
    notes = (
        f'Published figures: <a href="{published.SOURCE_URL}">{escape(published.SOURCE)}</a>. '
        "Its plots have no numbers beside them, so latencies and rates over time cannot be "
        "compared; the objectives it names are the bars' second column.",
        "The published cluster had machines of its own for each part of the control plane, real "
        "nodes, images and networks. Here everything, the nodes and the test itself included, "
        "shares one machine, and nodes do nothing but talk to the API.",
        "Percentiles of the server are read off the differences of its histograms, as "
        "histogram_quantile does, over windows of five minutes within a phase; the worst window "
        "counts, if it has a hundred requests. A client's are measured by one that asks all the "
        "time, in the same process as the test.",
        "A deletecollection counts as a list, as it reads and writes many objects. Watches and "
        "connections have no latency.",
        "404 and 409 are everyday answers to controllers that race; 429 is deliberate. What counts "
        "as an error is 500 and above, and whatever the test's own requests met.",
        f"Bars of size are the published ones times {plan.scale:g}; bars of latency are the same "
        "at every scale.",
    )
    return f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in notes)}</ul>'


def _heads(names: Iterable[str], numbers: Iterable[int]) -> str:
    right = set(numbers)
    cells = "".join(
        f"<th{' class=n' if at in right else ''}>{escape(name)}</th>"
        for at, name in enumerate(names)
    )
    return f"<tr>{cells}</tr>"


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()
) -> str:
    right = set(numbers)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if at in right else ''}>{escape(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table>{_heads(heads, right)}{body}</table></div>'

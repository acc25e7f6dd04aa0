"""Writes a run's files: the page, and everything that was measured as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from scaletest.latencies import by_verb_and_scope, quantile_s
from scaletest.plan import Plan
from scaletest.report.page import page
from scaletest.samples import Record, Window, percentile
from scaletest.verdict import Row, is_held

PAGE_FILE: Final = "scaletest.html"
JSON_FILE: Final = "scaletest.json"
_SHARES: Final = (0.5, 0.9, 0.99)


def write_report(
    directory: Path, plan: Plan, record: Record, rows: Sequence[Row], version: str
) -> None:
    """Write both files into `directory`, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / JSON_FILE).write_bytes(as_json(plan, record, rows, version))
    (directory / PAGE_FILE).write_text(page(plan, record, rows, version), encoding="utf-8")


def as_json(plan: Plan, record: Record, rows: Sequence[Row], version: str) -> bytes:
    """Return all that was measured; percentiles in place of single latencies."""
    document = {
        "version": version,
        "plan": {**asdict(plan), "pods": plan.pods},
        "machine": record.machine,
        "held": is_held(rows),
        "table": [asdict(row) for row in rows],
        "phases": [
            {**asdict(one), "ending": one.ending.value if one.ending else None}
            for one in record.phases
        ],
        "windows": [_window(window) for window in record.windows],
        "client": {name: _shares(times_s) for name, times_s in record.latencies_s.items()},
        "waits_for_a_node": _shares(record.waits_s),
        "responses": record.responses,
        "failures": record.failures,
        "errors": record.errors,
        "deliberate": record.deliberate,
        "restarts": record.restarts,
        "samples": [_sample(one) for one in record.samples],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _sample(one: Any) -> dict[str, Any]:
    values = asdict(one)
    values["processes"] = {name: use._asdict() for name, use in one.processes.items()}
    return values


def _window(window: Window) -> dict[str, Any]:
    latencies = [
        {
            "verb": verb,
            "scope": scope,
            "requests": buckets.total,
            **{f"p{share * 100:g}_s": quantile_s(buckets, share) for share in _SHARES},
        }
        for (verb, scope), buckets in sorted(by_verb_and_scope(window.histograms).items())
    ]
    return {
        "phase": window.phase,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "latencies": latencies,
    }


def _shares(times_s: list[float]) -> dict[str, float]:
    return {
        "count": len(times_s),
        **{f"p{share * 100:g}_s": percentile(times_s, share) for share in _SHARES},
        "max_s": max(times_s, default=0.0),
    }

"""A campaign's outcome: as JSON for programs, as text for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.faults.rounds import Result

VIOLATIONS_SHOWN: Final = 40


def summarize(seed: int, results: Sequence[Result], left_out: str) -> dict[str, Any]:
    """Return the sums of all rounds, and each round.

    Args:
        seed: of the plan.
        results: of the rounds that were done.
        left_out: which faults could not be tried, and why; "" if all were.
    """
    faults: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    fates: Counter[str] = Counter()
    for result in results:
        faults += result.faults
        codes += result.codes
        fates += result.fates
    names = ("steps", "kills", "writes", "lost", "reads", "events", "streams", "bookmarks")
    seconds = sum(result.seconds for result in results)
    sums = {name: sum(getattr(result, name) for result in results) for name in names}
    return {
        "seed": seed,
        "rounds": len(results),
        **sums,
        "seconds": round(seconds, 1),
        "secondsPerKill": round(seconds / sums["kills"], 2) if sums["kills"] else None,
        "topologies": Counter(result.topology for result in results),
        "faults": faults,
        "codes": {str(code): count for code, count in sorted(codes.items())},
        "damagedBytes": fates,
        "leftOut": left_out,
        "violations": [
            f"round {result.number} ({result.topology}): {text}"
            for result in results
            for text in result.violations
        ],
        "details": [vars(result) for result in results],
    }


def as_text(summary: dict[str, Any]) -> str:
    """Return what to read of a summary."""
    lines = [
        f"seed {summary['seed']}: {summary['rounds']} rounds, {summary['steps']} faults, "
        f"{summary['kills']} kills in {summary['seconds']} s",
        f"  {summary['writes']} writes acknowledged, {summary['lost']} answers lost or refused, "
        f"{summary['reads']} reads",
        f"  {summary['events']} watch events in {summary['streams']} streams, "
        f"{summary['bookmarks']} bookmarks",
        f"  faults: {_counted(summary['faults'])}",
        f"  clusters: {_counted(summary['topologies'])}",
        f"  damaged bytes: {_counted(summary['damagedBytes']) or 'none'}",
        f"  answers by code (0: none): {_counted(summary['codes'])}",
    ]
    if summary["leftOut"]:
        lines.append(f"  NOT TRIED: {summary['leftOut']}")
    violations = summary["violations"]
    lines.append(f"  violations: {len(violations)}")
    lines += [f"    {text}" for text in violations[:VIOLATIONS_SHOWN]]
    return "\n".join(lines) + "\n"


def write_report(directory: Path, summary: dict[str, Any]) -> None:
    """Write both forms into a directory."""
    (directory / "report.json").write_text(json.dumps(summary, indent=1))
    (directory / "report.txt").write_text(as_text(summary))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())

"""`python -m tests.faults`: real clusters, real faults, and a check of every request and answer.

    python -m tests.faults --kills 1000 --minutes 30       a long run
    python -m tests.faults --seed 7 --faults kill,link     some faults, chosen by this seed
    python -m tests.faults --replay plan.json --round 3    a round again, as it was planned

The seed, the plan and the report are written to --output. Exits with 1 if anything was lost,
invented, served damaged or out of order, with 2 if nothing could be tried.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.faults.full_disks import may_mount
from tests.faults.plan import (
    FULL,
    STEPS_A_ROUND,
    WEIGHTS,
    Round,
    Step,
    load_plan,
    plan_rounds,
    save_plan,
)
from tests.faults.report import as_text, summarize, write_report
from tests.faults.rig import TOPOLOGIES
from tests.faults.rounds import Result, run_round

VIOLATED: Final = 1
NOT_RUN: Final = 2
_ROUNDS_MAX: Final = 10_000


def main() -> int:
    """Run a campaign; return the process's exit code."""
    options = _parse()
    console = Console(stderr=True)
    output = options.output or Path(tempfile.mkdtemp(prefix="ultraplane-faults-"))
    output.mkdir(parents=True, exist_ok=True)
    left_out = ""
    faults = list(options.faults)
    if options.replay is not None:
        try:
            seed, planned = load_plan(options.replay)
        except (OSError, ValueError) as error:
            console.print(f"[red]{error}")
            return NOT_RUN
        rounds: Iterable[Round] = [
            one for one in planned if options.round is None or one.number == options.round
        ]
    else:
        seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
        why = may_mount(output) if FULL.keys() & set(faults) else ""
        if why:
            faults = [fault for fault in faults if fault not in FULL]
            left_out = f"{', '.join(FULL)}: {why}"
            console.rule(f"[bold red]NOT TRIED: {left_out}", style="red")
        if not faults:
            return NOT_RUN
        rounds = plan_rounds(seed, faults, options.clusters, options.steps)
        if options.round is not None:
            rounds = [next(islice(rounds, options.round, None))]
    console.print(f"seed {seed}, plan and report in {output}")
    campaign = Campaign(console, output, seed)
    until_s = time.monotonic() + options.minutes * 60
    results = campaign.run(islice(rounds, _ROUNDS_MAX), options.kills, until_s)
    summary = summarize(seed, results, left_out)
    write_report(output, summary)
    sys.stdout.write(as_text(summary))
    return VIOLATED if summary["violations"] else 0


class Campaign:
    """Does round after round, and shows how far it is."""

    def __init__(self, console: Console, output: Path, seed: int) -> None:
        self._console = console
        self._output = output
        self._seed = seed
        self._results: list[Result] = []

    def run(self, rounds: Iterator[Round], kills: int, until_s: float) -> list[Result]:
        """Do rounds until there were so many kills or the time is over."""
        done: list[Round] = []
        with Live(console=self._console, refresh_per_second=2) as live:

            def told(result: Result, step: Step | None) -> None:
                live.update(self._table(result, step))

            for plan in rounds:
                done.append(plan)
                # Before it is done: whatever becomes of us, it can be done again.
                save_plan(self._output / "plan.json", self._seed, done)
                result = self._run_one(plan, told)
                self._results.append(result)
                live.console.print(
                    f"round {result.number} ({result.topology}): {result.kills} kills, "
                    f"{result.writes} writes, {len(result.violations)} violations, "
                    f"{result.seconds:.1f} s"
                )
                enough = sum(result.kills for result in self._results) >= kills
                if enough or time.monotonic() >= until_s:
                    break
        return self._results

    def _run_one(self, plan: Round, told: Callable[[Result, Step | None], None]) -> Result:
        # Sockets have short paths.
        directory = Path(tempfile.mkdtemp(prefix="uf", dir="/tmp"))
        result = run_round(plan, directory, told)
        if result.violations:
            kept = self._output / f"round-{plan.number}"
            shutil.copytree(directory, kept, ignore=shutil.ignore_patterns("*.sock", "pki"))
        shutil.rmtree(directory, ignore_errors=True)
        return result

    def _table(self, current: Result, step: Step | None) -> Table:
        rows = [*self._results, current]
        table = Table(title=f"seed {self._seed}")
        for name in ("round", "cluster", "fault", "faults", "kills", "writes", "violations"):
            table.add_column(name, justify="left" if name in ("cluster", "fault") else "right")
        sums = [sum(getattr(row, name) for row in rows) for name in ("steps", "kills", "writes")]
        table.add_row(
            str(current.number),
            current.topology,
            f"{step.fault} {' '.join(step.parts)} {step.mode}" if step else "judged",
            *map(str, sums),
            str(sum(len(row.violations) for row in rows)),
        )
        return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="what all choices follow from; random if unset")
    parser.add_argument("--minutes", type=float, default=10.0, help="no new round after this")
    parser.add_argument("--kills", type=int, default=1000, help="no new round after so many")
    parser.add_argument("--steps", type=int, default=STEPS_A_ROUND, help="faults of a round")
    parser.add_argument(
        "--faults", type=_names(WEIGHTS), default=list(WEIGHTS), help=", ".join(WEIGHTS)
    )
    parser.add_argument(
        "--clusters", type=_names(TOPOLOGIES), default=list(TOPOLOGIES), help=", ".join(TOPOLOGIES)
    )
    parser.add_argument("--replay", type=Path, help="a plan.json to do again")
    parser.add_argument("--round", type=int, help="only the round of this number")
    parser.add_argument("--output", type=Path, help="where plan and report go")
    return parser.parse_args()


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    allowed = set(known)

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if not allowed.issuperset(chosen):
            raise argparse.ArgumentTypeError(f"not of {', '.join(sorted(allowed))}: {text}")
        return chosen

    return names


if __name__ == "__main__":
    sys.exit(main())

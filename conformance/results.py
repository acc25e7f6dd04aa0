"""What became of each spec, and what that adds up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from conformance.specs import Needs, Spec, all_specs, key


class Outcome(Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be judged here."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case's end.

    Attributes:
        name: the spec's.
        outcome: how.
        seconds: how long it took.
        message: why it failed or was skipped.
        source: who judged: "ultraplane", or "e2e.test" for upstream's binary.
        local: whether the case stood in for a container of upstream's.
    """

    name: str
    outcome: Outcome
    seconds: float
    message: str = ""
    source: str = "ultraplane"
    local: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One group's line of the table.

    Attributes:
        sig: the group, or "all".
        specs: how many upstream has.
        passed: of these.
        local: of those passed, by standing in for a container.
        failed: of these.
        uncovered: what nobody judged.
        containers: of those uncovered, how many need running containers.
    """

    sig: str
    specs: int
    passed: int
    local: int
    failed: int
    uncovered: int
    containers: int


def verdicts(results: Iterable[Result]) -> dict[str, Result]:
    """Return one result for each spec judged, by `specs.key`: upstream's own where it ran."""
    found: dict[str, Result] = {}
    for result in results:
        if result.outcome is Outcome.SKIPPED:
            continue
        before = found.get(key(result.name))
        if before is None or result.source != "ultraplane":
            found[key(result.name)] = result
    return found


def table(results: Sequence[Result]) -> list[Row]:
    """Return the table by group, in upstream's order, and the sum as its last row."""
    judged = verdicts(results)
    groups: dict[str, list[Spec]] = {}
    for spec in all_specs():
        groups.setdefault(spec.sig, []).append(spec)
    rows = [_row(sig, specs, judged) for sig, specs in groups.items()]
    return [*rows, _row("all", list(all_specs()), judged)]


def _row(sig: str, specs: list[Spec], judged: dict[str, Result]) -> Row:
    found = [judged.get(key(spec.name)) for spec in specs]
    uncovered = [spec for spec, result in zip(specs, found, strict=True) if result is None]
    passed = [result for result in found if result and result.outcome is Outcome.PASSED]
    return Row(
        sig,
        len(specs),
        len(passed),
        sum(result.local for result in passed),
        len(specs) - len(passed) - len(uncovered),
        len(uncovered),
        sum(spec.needs is Needs.CONTAINERS for spec in uncovered),
    )

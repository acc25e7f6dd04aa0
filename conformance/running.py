"""Runs cases: many beside each other, the serial ones alone and last.

Each case has a namespace of its own and a limit of its own; how one ends is nobody else's matter.
"""

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from conformance.checks import CaseFailed, CaseSkipped
from conformance.registry import Case
from conformance.results import Outcome, Result
from conformance.specs import Needs
from conformance.stage import Target, set_up
from kube.status import StatusError
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskScope

PARALLEL: Final = 8
_TRACE_LINES_MAX: Final = 12


class Observer(Protocol):
    """Hears of each case."""

    def on_start(self, case: Case) -> None:
        """Hear that a case begins."""

    def on_end(self, case: Case, result: Result) -> None:
        """Hear how a case ended."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases to run.

    Attributes:
        focus: patterns, one of which has to be found in the name; none for all.
        skip: patterns, none of which may be.
        local: whether those that stand in for containers are wanted.
    """

    focus: tuple[re.Pattern[str], ...] = ()
    skip: tuple[re.Pattern[str], ...] = ()
    local: bool = True

    def choose(self, cases: Iterable[Case]) -> list[Case]:
        """Return those wanted."""
        return [case for case in cases if self._wants(case)]

    def _wants(self, case: Case) -> bool:
        if case.local and not self.local:
            return False
        if any(pattern.search(case.name) for pattern in self.skip):
            return False
        return not self.focus or any(pattern.search(case.name) for pattern in self.focus)


async def run_cases(
    cases: Sequence[Case],
    target: Target,
    observer: Observer,
    *,
    parallel: int = PARALLEL,
    clock: Clock | None = None,
) -> list[Result]:
    """Run cases and return their results, in the order of `cases`."""
    time = clock or SystemClock()
    results: dict[str, Result] = {}
    places = asyncio.Semaphore(parallel)

    async def run(case: Case) -> None:
        async with places:
            observer.on_start(case)
            result = await _run_case(case, target, time)
            results[case.name] = result
            observer.on_end(case, result)

    # The slow ones first: nobody waits for them at the end.
    together = [case for case in cases if not case.spec.serial]
    async with TaskScope("conformance") as scope:
        for case in sorted(together, key=lambda case: not case.spec.slow):
            scope.spawn(run(case), name=case.name)
    for case in cases:
        if case.spec.serial:
            await run(case)
    return [results[case.name] for case in cases]


async def _run_case(case: Case, target: Target, clock: Clock) -> Result:
    started_s = clock.monotonic_s()
    outcome, message = Outcome.PASSED, ""
    try:
        if case.spec.needs is Needs.NODES and not target.has_nodes:
            raise CaseSkipped("there are no nodes")
        async with asyncio.timeout(case.timeout_s):
            await _play(case, target)
    except CaseSkipped as reason:
        outcome, message = Outcome.SKIPPED, str(reason)
    except CaseFailed as error:
        outcome, message = Outcome.FAILED, _told(error, str(error))
    except StatusError as error:
        text = f"refused: {error.code} {error.reason}: {error}"
        outcome, message = Outcome.FAILED, _told(error, text)
    except TimeoutError as error:
        text = f"not done within {case.timeout_s:g} s"
        # The cancellation tells where in the case that was.
        outcome, message = Outcome.FAILED, _told(error.__cause__ or error, text)
    except Exception as error:  # noqa: BLE001 -- an answer of an unforeseen shape fails one case
        text = f"{type(error).__name__}: {error}"
        outcome, message = Outcome.FAILED, _told(error, text)
    seconds = clock.monotonic_s() - started_s
    return Result(case.name, outcome, seconds, message, local=case.local)


async def _play(case: Case, target: Target) -> None:
    stage = await set_up(target)
    try:
        await case.body(stage)
    finally:
        await stage.clean()


def _told(error: BaseException, text: str) -> str:
    """Return a message with the place in the case where it happened."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/conformance/cases/" in frame.filename
    ]
    places = [
        f"  at {frame.filename.rpartition('/')[2]}:{frame.lineno}: {frame.line}"
        for frame in frames[-_TRACE_LINES_MAX:]
    ]
    return "\n".join([text, *places])

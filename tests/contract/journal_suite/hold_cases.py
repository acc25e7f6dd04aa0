"""Holding: what one replica trims stays where another still needs it."""

from __future__ import annotations

import pytest

from journal.engine import Limits
from journal.errors import BadRequest, Overloaded
from tests.contract.journal_suite.harness import Harness, key

_SILENT_S = Limits().hold_seconds + 1


async def _fill(harness: Harness) -> None:
    for _ in range(60):
        await harness.journal.append("pods", [bytes(10_000)], key())


async def a_trim_stops_at_the_least_hold(harness: Harness) -> None:
    journal = harness.journal
    await _fill(harness)
    await journal.hold("pods", "one", 50)
    await journal.hold("pods", "two", 1)
    await journal.trim("pods", 50)
    assert await journal.bounds("pods") == (1, 60)
    await journal.hold("pods", "two", 45)
    await journal.trim("pods", 50)
    first, _ = await journal.bounds("pods")
    assert 1 < first <= 45


async def a_hold_is_of_one_stream(harness: Harness) -> None:
    await _fill(harness)
    await harness.journal.hold("nodes", "one", 1)
    await harness.journal.trim("pods", 50)
    first, _ = await harness.journal.bounds("pods")
    assert first > 1


async def a_hold_answers_with_the_bounds_it_found(harness: Harness) -> None:
    journal = harness.journal
    assert await journal.hold("pods", "early", 1) == (1, 0)
    await journal.hold("pods", "early", 60)
    await _fill(harness)
    await journal.trim("pods", 60)
    bounds = await journal.bounds("pods")
    assert bounds[0] > 1
    assert await journal.hold("pods", "late", 1) == bounds


async def a_silent_holder_is_forgotten_and_a_renewed_one_is_not(harness: Harness) -> None:
    journal, clock = harness.journal, harness.clock
    await _fill(harness)
    await journal.hold("pods", "silent", 1)
    await journal.hold("pods", "lively", 40)
    await clock.advance(_SILENT_S / 2)
    await journal.hold("pods", "lively", 40)
    await journal.trim("pods", 60)
    assert await journal.bounds("pods") == (1, 60)
    await clock.advance(_SILENT_S / 2 + 1)
    await journal.trim("pods", 60)
    first, _ = await journal.bounds("pods")
    assert 1 < first <= 40


async def a_hold_survives_reopening(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    await _fill(harness)
    await harness.journal.hold("pods", "away", 1)
    journal = await harness.reopen()
    await journal.trim("pods", 60)
    assert await journal.bounds("pods") == (1, 60)
    await journal.hold("pods", "away", 60)
    await journal.trim("pods", 60)
    assert (await journal.bounds("pods"))[0] > 1


async def a_hold_that_goes_back_survives_reopening(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    await _fill(harness)
    await harness.journal.hold("pods", "one", 50)
    await harness.journal.hold("pods", "one", 2)
    journal = await harness.reopen()
    await journal.trim("pods", 60)
    assert await journal.bounds("pods") == (1, 60)


async def holders_are_limited_and_named_like_streams(harness: Harness) -> None:
    journal = harness.journal
    for name in ("", "..", "a/b", "a" * 129, "a" * 300):
        with pytest.raises(BadRequest):
            await journal.hold("pods", name, 1)
    with pytest.raises(BadRequest):
        await journal.hold("pods", "one", 0)
    for number in range(Limits().holders_max):
        await journal.hold("pods", f"holder-{number}", 1)
    with pytest.raises(Overloaded):
        await journal.hold("pods", "one-more", 1)
    await journal.hold("pods", "holder-0", 2)


CASES = [
    a_trim_stops_at_the_least_hold,
    a_hold_is_of_one_stream,
    a_hold_answers_with_the_bounds_it_found,
    a_silent_holder_is_forgotten_and_a_renewed_one_is_not,
    a_hold_survives_reopening,
    a_hold_that_goes_back_survives_reopening,
    holders_are_limited_and_named_like_streams,
]

"""What is known of slices that we wrote (endpointslice_tracker_test.go)."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.network.slice_tracker import STALE_S_MAX, SliceTracker
from runtime.clock import SimulatedClock


def piece(uid: str, generation: int) -> dict[str, Any]:
    """Return a slice."""
    return {"metadata": {"name": uid, "uid": uid, "generation": generation}}


def test_slices_that_nobody_wrote_are_never_stale() -> None:
    tracker = SliceTracker(SimulatedClock())
    assert not tracker.is_stale("n/a", [("x", 1)])
    assert tracker.is_news("n/a", piece("x", 1))


def test_an_older_generation_than_we_wrote_is_stale_and_no_news() -> None:
    tracker = SliceTracker(SimulatedClock())
    tracker.wrote("n/a", piece("x", 2))
    assert tracker.is_stale("n/a", [("x", 1)])
    assert not tracker.is_stale("n/a", [("x", 2)])
    assert not tracker.is_stale("n/a", [("x", 3)])
    assert not tracker.is_news("n/a", piece("x", 2))
    assert tracker.is_news("n/a", piece("x", 3))


def test_a_slice_that_we_made_and_that_is_not_told_of_yet_is_stale() -> None:
    tracker = SliceTracker(SimulatedClock())
    tracker.wrote("n/a", piece("x", 1))
    assert tracker.is_stale("n/a", [])
    assert not tracker.is_stale("n/b", [])


def test_a_slice_that_we_deleted_and_that_is_still_there_is_stale() -> None:
    tracker = SliceTracker(SimulatedClock())
    tracker.deleted("n/a", piece("x", 1))
    assert tracker.is_stale("n/a", [("x", 1)])
    assert not tracker.is_stale("n/a", [])


def test_a_deletion_is_a_surprise_unless_it_was_ours() -> None:
    tracker = SliceTracker(SimulatedClock())
    tracker.wrote("n/a", piece("x", 1))
    tracker.deleted("n/a", piece("y", 1))
    assert tracker.saw_deletion("n/a", piece("x", 1))
    assert not tracker.saw_deletion("n/a", piece("y", 1))
    assert not tracker.saw_deletion("n/a", piece("z", 1))


def test_what_no_watch_confirms_is_waited_for_only_so_long() -> None:
    clock = SimulatedClock()
    tracker = SliceTracker(clock)
    tracker.wrote("n/a", piece("x", 1))
    assert tracker.is_stale("n/a", [])
    asyncio.run(clock.advance(STALE_S_MAX + 1))
    assert not tracker.is_stale("n/a", [])

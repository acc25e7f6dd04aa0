"""Open watches are set aside from the garbage collector, many at a time."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from apiserver import long_lived
from apiserver.long_lived import LongLived


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_many_watches_are_made_of_is_set_aside_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_lived, "WATCHES_PER_FREEZE", 3)
    frozen: list[int] = []
    watches = LongLived()
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(watches.open))
    for _ in range(7):
        watches.opened()
    assert frozen == [3, 6]
    for _ in range(7):
        watches.closed()
    # Those that come instead are set aside as well, but not at each coming and going.
    for _ in range(5):
        watches.opened()
        watches.closed()
    assert frozen == [3, 6]
    for _ in range(3):
        watches.opened()
    assert frozen == [3, 6, 3]


def test_circles_among_the_young_are_collected_before_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_lived, "WATCHES_PER_FREEZE", 1)
    collected: list[int] = []
    gc.callbacks.append(lambda phase, _: collected.append(1) if phase == "stop" else None)
    try:
        before = gc.get_freeze_count()
        LongLived().opened()
        assert collected
        assert gc.get_freeze_count() > before
    finally:
        gc.callbacks.pop()

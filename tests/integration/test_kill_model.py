"""The validators of the kill test catch what they are for, and pass what is right."""

from __future__ import annotations

import pytest

from tests.integration.kill_model import (
    Change,
    Key,
    check_shape,
    check_watch,
    final_state,
)

_A = Key("configmaps", "n", "a")
_HISTORY = [
    Change("ADDED", _A, 5, "m1", "u1"),
    Change("MODIFIED", _A, 7, "m2", "u1"),
    Change("DELETED", _A, 8, "m2", "u1"),
    Change("ADDED", _A, 9, "m3", "u2"),
]


def test_right_history_is_passed() -> None:
    assert check_shape(_HISTORY) == []
    assert check_watch(_HISTORY, _HISTORY) == []
    assert final_state(_HISTORY) == {_A: (9, "m3")}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(_HISTORY[1:], id="begins with MODIFIED"),
        pytest.param([_HISTORY[0], _HISTORY[3]], id="ADDED twice"),
        pytest.param([*_HISTORY[:3], _HISTORY[2]], id="DELETED twice"),
        pytest.param([_HISTORY[0], _HISTORY[1]._replace(revision=5)], id="revision stands still"),
        pytest.param([_HISTORY[0], _HISTORY[1]._replace(uid="u9")], id="another uid"),
    ],
)
def test_impossible_history_is_caught(history: list[Change]) -> None:
    assert check_shape(history)


def test_gap_in_a_watch_is_caught() -> None:
    assert check_watch(_HISTORY[:1] + _HISTORY[2:], _HISTORY) == [
        f"gap: {_HISTORY[1]} was not seen"
    ]


def test_end_missing_from_a_watch_is_caught() -> None:
    assert check_watch(_HISTORY[:3], _HISTORY) == [f"gap: {_HISTORY[3]} was not seen"]


def test_duplicate_in_a_watch_is_caught() -> None:
    assert check_watch([*_HISTORY[:2], *_HISTORY[1:]], _HISTORY) == [f"duplicate: {_HISTORY[1]}"]


def test_event_out_of_nowhere_and_wrong_order_are_caught() -> None:
    other = Change("ADDED", Key("configmaps", "n", "b"), 12, "m9", "u9")
    assert check_watch([*_HISTORY, other], _HISTORY) == [f"invented: {other}"]
    assert check_watch(_HISTORY[::-1], _HISTORY) == ["the events came in another order"]

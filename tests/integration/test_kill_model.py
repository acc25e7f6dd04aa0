"""The validators of the kill test catch what they are for, and pass what is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.kill_model import (
    Attempt,
    Change,
    Key,
    Op,
    Outcome,
    Read,
    check_order,
    check_reads,
    check_shape,
    check_watch,
    check_writes,
    final_state,
)

_A = Key("configmaps", "n", "a")
_HISTORY = [
    Change("ADDED", _A, 5, "m1", "u1"),
    Change("MODIFIED", _A, 7, "m2", "u1"),
    Change("DELETED", _A, 8, "m2", "u1"),
    Change("ADDED", _A, 9, "m3", "u2"),
]
_CREATE = Attempt(_A, Op.CREATE, "m1", 0, Outcome.DONE, revision=5)
_UPDATE = Attempt(_A, Op.UPDATE, "m2", 0, Outcome.DONE, revision=7, expected=5)
_DELETE = Attempt(_A, Op.DELETE, "u1", 0, Outcome.DONE)
_AGAIN = Attempt(_A, Op.CREATE, "m3", 0, Outcome.MAYBE)
_ATTEMPTS = [_CREATE, _UPDATE, _DELETE, _AGAIN]


def test_right_history_is_passed() -> None:
    assert check_shape(_HISTORY) == []
    assert check_writes(_ATTEMPTS, _HISTORY) == []
    assert check_order(_ATTEMPTS) == []
    assert check_watch(_HISTORY, _HISTORY) == []
    assert final_state(_HISTORY) == {_A: (9, "m3")}


def test_unanswered_write_may_be_absent() -> None:
    assert check_writes(_ATTEMPTS, _HISTORY[:3]) == []


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_lost_acknowledged_write_is_caught(missing: int) -> None:
    history = [change for at, change in enumerate(_HISTORY) if at != missing]
    assert f"lost: {_ATTEMPTS[missing]}" in check_writes(_ATTEMPTS, history)


def test_write_applied_twice_is_caught() -> None:
    twice = [*_HISTORY, Change("MODIFIED", _A, 11, "m2", "u2")]
    (fault,) = [text for text in check_writes(_ATTEMPTS, twice) if "2 times" in text]
    assert "m2" in fault


def test_effect_of_a_refused_write_is_caught() -> None:
    refused = replace(_UPDATE, outcome=Outcome.REFUSED, revision=0)
    (fault,) = check_writes([_CREATE, refused, _DELETE, _AGAIN], _HISTORY)
    assert "though refused" in fault


def test_delete_that_another_writer_did_is_rightly_refused() -> None:
    late = replace(_DELETE, writer=1, outcome=Outcome.REFUSED)
    assert check_writes([*_ATTEMPTS, late], _HISTORY) == []
    (fault,) = check_writes([*_ATTEMPTS, replace(late, outcome=Outcome.DONE)], _HISTORY)
    assert "acknowledged 2 times" in fault


def test_write_nobody_asked_for_is_caught() -> None:
    (fault,) = check_writes(_ATTEMPTS[:3], _HISTORY)
    assert "nobody asked" in fault


def test_acknowledged_revision_that_differs_is_caught() -> None:
    (fault,) = check_writes([_CREATE, replace(_UPDATE, revision=6), _DELETE, _AGAIN], _HISTORY)
    assert "another revision" in fault


def test_update_of_another_state_than_expected_is_caught() -> None:
    (fault,) = check_writes([_CREATE, replace(_UPDATE, expected=4), _DELETE, _AGAIN], _HISTORY)
    assert "overwrote revision 5" in fault


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


def test_revisions_that_go_back_are_caught() -> None:
    (fault,) = check_order([_UPDATE, _CREATE])
    assert "acknowledged after" in fault


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


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (Read(_A, floor=0, revision=0), ""),
        (Read(_A, floor=5, revision=5), ""),
        (Read(_A, floor=7, revision=0), ""),
        (Read(_A, floor=5, revision=9), ""),
        (Read(_A, floor=7, revision=5), "is stale"),
        (Read(_A, floor=5, revision=6), "never was"),
        (Read(_A, floor=9, revision=0), "misses"),
        (Read(_A, floor=9, revision=8), "never was"),
    ],
)
def test_reads_older_than_an_acknowledgement_are_caught(read: Read, fault: str) -> None:
    faults = check_reads([read], _HISTORY)
    assert [fault in text for text in faults] == [True] * bool(fault)

"""The checks of a campaign: one good round passes, and each thing that may go wrong in it is found.

The round is small: an object is made, changed, leaves and enters a selection, and is deleted; a
second one is made. Each test breaks one fact of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.history import Listing, Observed, Stream, Write
from tests.faults.rounds import judge_histories
from tests.faults.watch_checks import check_chain, expected_events
from tests.faults.write_checks import resolve
from tests.integration.kill_model import Change, Key
from tests.integration.linearizability import Answer, Kind, Request

_ONE = Key("configmaps", "n", "one")
_TWO = Key("configmaps", "n", "two")
_HISTORY = [
    Change("ADDED", _ONE, 5, "m1a", "u1"),
    Change("MODIFIED", _ONE, 7, "m2b", "u1"),
    Change("MODIFIED", _ONE, 8, "m3a", "u1"),
    Change("ADDED", _TWO, 9, "m4a", "u2"),
    Change("DELETED", _ONE, 11, "m3a", "u1"),
]
_NOTHING = Key("configmaps", "", "")


def _write(kind: Kind, key: Key, mark: str | None, at_s: float, told: int, **more: str) -> Write:
    expected = more.get("expected")
    request = Request(key, kind, Answer.DONE, mark, at_s, at_s + 1, expected)
    return Write(request, told, more.get("uid", ""))


def _bookmark(revision: int) -> Change:
    return Change("BOOKMARK", _NOTHING, revision, "", "")


def _listing(revision: int, at_s: float, items: dict[Key, tuple[int, str]], tier: str) -> Listing:
    times = (at_s, at_s + 1)
    return Listing(
        "configmaps",
        tier,
        consistent=True,
        revision=revision,
        items=items,
        called_s=times[0],
        answered_s=times[1],
    )


class _Round:
    """What was seen, and the history, for a test to break."""

    def __init__(self) -> None:
        self.history = list(_HISTORY)
        self.writes = [
            _write(Kind.CREATE, _ONE, "m1a", 0, 5),
            _write(Kind.UPDATE, _ONE, "m2b", 2, 7, expected="m1a"),
            _write(Kind.PATCH, _ONE, "m3a", 4, 8),
            _write(Kind.CREATE, _TWO, "m4a", 6, 9),
            _write(Kind.DELETE, _ONE, None, 8, 0, uid="u1"),
        ]
        self.reads = [Request(_ONE, Kind.READ, Answer.DONE, "m3a", 6, 7)]
        self.listings = [
            _listing(9, 7.5, {_ONE: (8, "m3a"), _TWO: (9, "m4a")}, "a"),
            _listing(11, 10, {_TWO: (9, "m4a")}, ""),
        ]
        whole = [*_HISTORY[:3], _bookmark(8), *_HISTORY[3:]]
        self.streams = [
            Stream("configmaps", "", 4, "all", whole),
            Stream("configmaps", "a", 4, "some", expected_events(_HISTORY, "a")),
        ]
        self.shown = {(_ONE, "m2b"): 7}

    def faults(self) -> list[str]:
        observed = Observed(
            requests=[*self.reads, *(write.request for write in self.writes)],
            writes=self.writes,
            listings=self.listings,
            streams=self.streams,
            shown=self.shown,
        )
        return judge_histories(observed, {"configmaps": self.history})

    def lose(self, number: int) -> None:
        """Let the answer to a write be lost."""
        request = self.writes[number].request
        lost = replace(request, answer=Answer.LOST, answered_s=math.inf)
        self.writes[number] = Write(lost)

    def refuse(self, number: int) -> None:
        """Let a write be answered by a conflict."""
        request = replace(self.writes[number].request, answer=Answer.CONFLICT)
        self.writes[number] = Write(request)


def _lose_effect(one: _Round) -> None:
    one.history = [change for change in one.history if change.mark != "m4a"]


def _lose_delete(one: _Round) -> None:
    one.history = one.history[:-1]


def _delete_unasked(one: _Round) -> None:
    one.history.append(Change("DELETED", _TWO, 13, "m4a", "u2"))


def _delete_told_twice(one: _Round) -> None:
    one.writes.append(one.writes[-1])


def _apply_twice(one: _Round) -> None:
    one.history.insert(4, Change("MODIFIED", _TWO, 10, "m2b", "u2"))


def _invent(one: _Round) -> None:
    one.history.insert(4, Change("MODIFIED", _TWO, 10, "m9a", "u2"))


def _apply_refused(one: _Round) -> None:
    one.refuse(1)


def _tell_wrong_revision(one: _Round) -> None:
    one.writes[2] = one.writes[2]._replace(revision=6)


def _overwrite_unexpected(one: _Round) -> None:
    request = replace(one.writes[1].request, expected="m0a")
    one.writes[1] = one.writes[1]._replace(request=request)


def _reverse_real_time(one: _Round) -> None:
    request = replace(one.writes[3].request, called_s=-5.0, answered_s=-4.0)
    one.writes[3] = one.writes[3]._replace(request=request)


def _give_revision_twice(one: _Round) -> None:
    one.history[3] = one.history[3]._replace(revision=8)
    one.writes[3] = one.writes[3]._replace(revision=8)


def _read_stale(one: _Round) -> None:
    one.reads = [Request(_ONE, Kind.READ, Answer.DONE, "m2b", 6, 7)]


def _show_what_never_was(one: _Round) -> None:
    one.shown[_ONE, "m8a"] = 7


def _show_at_wrong_revision(one: _Round) -> None:
    one.shown[_ONE, "m2b"] = 8


def _list_without_one(one: _Round) -> None:
    one.listings[0] = replace(one.listings[0], items={_TWO: (9, "m4a")})


def _list_outside_selection(one: _Round) -> None:
    one.listings[0] = replace(one.listings[0], tier="b")


def _list_old_state(one: _Round) -> None:
    one.listings[0] = _listing(8, 7.5, {_ONE: (8, "m3a")}, "")


def _list_older_than_a_list(one: _Round) -> None:
    one.listings.append(_listing(9, 20, {_ONE: (8, "m3a"), _TWO: (9, "m4a")}, ""))


def _drop_event(one: _Round) -> None:
    del one.streams[0].events[1]


def _repeat_event(one: _Round) -> None:
    one.streams[0].events.insert(2, one.streams[0].events[1])


def _swap_events(one: _Round) -> None:
    events = one.streams[0].events
    events[0], events[1] = events[1], events[0]


def _begin_late(one: _Round) -> None:
    del one.streams[0].events[0]


def _bookmark_too_early(one: _Round) -> None:
    one.streams[0].events.insert(1, _bookmark(7))


def _bookmark_going_back(one: _Round) -> None:
    one.streams[0].events.append(_bookmark(10))


def _bookmark_beyond_missing(one: _Round) -> None:
    one.streams[0].events[-1] = _bookmark(11)


def _leave_unseen(one: _Round) -> None:
    one.streams[1].events = [e for e in one.streams[1].events if e.revision != 7]


def _leave_with_state_after(one: _Round) -> None:
    events = one.streams[1].events
    events[1] = events[1]._replace(mark="m2b")


def _enter_as_modified(one: _Round) -> None:
    events = one.streams[1].events
    events[2] = events[2]._replace(kind="MODIFIED")


def _see_outside_selection(one: _Round) -> None:
    one.streams[1].events = list(_HISTORY)


_BREAKS = [
    (_lose_effect, "lost though acknowledged"),
    (_lose_delete, "lost though acknowledged"),
    (_delete_unasked, "was deleted 1 times: 0"),
    (_delete_told_twice, "acknowledged twice"),
    (_apply_twice, "took effect twice"),
    (_invent, "nobody asked"),
    (_apply_refused, "though refused"),
    (_tell_wrong_revision, "another revision than told"),
    (_overwrite_unexpected, "overwrote what it did not expect"),
    (_reverse_real_time, "was called after the answer"),
    (_give_revision_twice, "was given 2 times"),
    (_read_stale, "no order explains"),
    (_show_what_never_was, "which the history does not hold"),
    (_show_at_wrong_revision, "was shown at 8, and is at 7"),
    (_list_without_one, "differs from the history"),
    (_list_outside_selection, "differs from the history"),
    (_list_old_state, "stale"),
    (_list_older_than_a_list, "stale"),
    (_drop_event, "missed"),
    (_repeat_event, "after revision 7"),
    (_swap_events, "after revision 7"),
    (_begin_late, "missed"),
    (_bookmark_too_early, "after a bookmark of 7"),
    (_bookmark_going_back, "bookmark 10 after 11"),
    (_bookmark_beyond_missing, "missed"),
    (_leave_unseen, "missed"),
    (_leave_with_state_after, "nothing like it is known"),
    (_enter_as_modified, "nothing like it is known"),
    (_see_outside_selection, "nothing like it is known"),
]


def test_a_good_round_passes() -> None:
    assert _Round().faults() == []


@pytest.mark.parametrize("number", range(5))
def test_a_lost_answer_to_what_took_effect_passes(number: int) -> None:
    one = _Round()
    one.lose(number)
    assert one.faults() == []


def test_a_lost_write_without_effect_passes() -> None:
    one = _Round()
    lost = Request(_TWO, Kind.PATCH, Answer.LOST, "m9b", 7)
    one.writes += [Write(lost), Write(Request(_TWO, Kind.DELETE, Answer.LOST, None, 7))]
    assert one.faults() == []


@pytest.mark.parametrize(("break_it", "told"), _BREAKS)
def test_what_goes_wrong_is_found(break_it: Callable[[_Round], None], told: str) -> None:
    one = _Round()
    break_it(one)
    assert any(told in fault for fault in one.faults()), one.faults()


def test_a_watcher_that_goes_on_elsewhere_than_it_ended_is_found() -> None:
    streams = [
        Stream("configmaps", "", 4, "w", [_bookmark(6)]),
        Stream("configmaps", "", 6, "w", [_HISTORY[1]]),
    ]
    assert check_chain(streams) == []
    streams[1].start = 5
    (fault,) = check_chain(streams)
    assert "went on at 5, and had seen 6" in fault


def test_a_lost_write_is_known_to_be_over_once_a_later_one_is_answered() -> None:
    one = _Round()
    one.lose(1)
    (resolved,) = [r for r in resolve([w.request for w in one.writes], _HISTORY) if r.mark == "m2b"]
    assert (resolved.answer, resolved.answered_s) == (Answer.DONE, 5)

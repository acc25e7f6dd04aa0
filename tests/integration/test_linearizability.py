"""The checker of histories, on histories whose verdict is known."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.integration import linearizability
from tests.integration.linearizability import (
    Answer,
    Kind,
    Request,
    State,
    Undecided,
    check,
    find_contradiction,
    step,
)


def _history(*rows: tuple[object, ...]) -> list[Request]:
    """Return requests: (called, answered or None, kind, mark, answer, expected)."""
    found = []
    for called_s, answered_s, kind, mark, *more in rows:
        answer = more[0] if more else Answer.DONE
        expected = more[1] if len(more) > 1 else None
        times = (called_s, float("inf") if answered_s is None else answered_s)
        found.append(Request("key", kind, answer, mark, *times, expected))  # type: ignore[arg-type]
    return found


C, R, U, P, D = Kind.CREATE, Kind.READ, Kind.UPDATE, Kind.PATCH, Kind.DELETE
LOST, ABSENT, EXISTS, CONFLICT, DONE = (
    Answer.LOST,
    Answer.ABSENT,
    Answer.EXISTS,
    Answer.CONFLICT,
    Answer.DONE,
)

GOOD = {
    "nothing": (),
    "one after the other": ((0, 1, C, "a"), (2, 3, R, "a"), (4, 5, D, None), (6, 7, R, None)),
    "reads during a write see either": (
        (0, 1, C, "a"),
        (2, 9, P, "b"),
        (3, 4, R, "a"),
        (5, 6, R, "b"),
    ),
    "a lost write was applied late": (
        (0, 1, C, "a"),
        (2, None, P, "b", LOST),
        (3, 4, R, "a"),
        (8, 9, R, "b"),
    ),
    "a lost write was never applied": ((0, 1, C, "a"), (2, None, D, None, LOST), (8, 9, R, "a")),
    "a lost create explains a refusal": (
        (0, None, C, "a", LOST),
        (1, 2, C, "b", EXISTS),
        (3, 4, R, "a"),
    ),
    "one of two compare-and-sets wins": (
        (0, 1, C, "a"),
        (2, 5, U, "b", DONE, "a"),
        (2, 5, U, "c", CONFLICT, "a"),
        (6, 7, R, "b"),
    ),
    "a conditional delete": (
        (0, 1, C, "a"),
        (2, 3, D, None, CONFLICT, "x"),
        (4, 5, D, None, DONE, "a"),
        (6, 7, D, None, ABSENT),
        (8, 9, U, "b", ABSENT, "a"),
    ),
}
BAD = {
    "stale read": ((0, 1, C, "a"), (2, 3, P, "b"), (4, 5, R, "a")),
    "stale absence": ((0, 1, C, "a"), (2, 3, R, None)),
    "lost update": (
        (0, 1, C, "a"),
        (2, 3, U, "b", DONE, "a"),
        (2, 3, U, "c", DONE, "a"),
    ),
    "acknowledged and lost": ((0, 1, C, "a"), (2, 3, P, "b"), (4, 5, U, "c", DONE, "a")),
    "resurrected delete": ((0, 1, C, "a"), (2, 3, D, None), (4, 5, R, "a")),
    "a value from nowhere": ((0, 1, C, "a"), (2, 3, R, "b")),
    "two creates": ((0, 1, C, "a"), (2, 3, C, "b")),
    "reads that go back": (
        (0, 1, C, "a"),
        (2, 9, P, "b"),
        (3, 4, R, "b"),
        (5, 6, R, "a"),
    ),
    "a lost write applied twice": (
        (0, 1, C, "a"),
        (2, None, P, "b", LOST),
        (3, 4, P, "c"),
        (5, 6, R, "b"),
        (7, 8, P, "d"),
        (9, 10, R, "b"),
    ),
    "a lost write applied before it was sent": ((0, 1, R, "a"), (2, None, C, "a", LOST)),
    "a conflict without another revision": (
        (0, 1, C, "a"),
        (2, 3, U, "b", CONFLICT, "a"),
    ),
    "a refusal for an object that is not there": ((0, 1, C, "a", EXISTS),),
}


@pytest.mark.parametrize("name", GOOD)
def test_histories_that_have_an_order_pass(name: str) -> None:
    assert check(_history(*GOOD[name])) == []


@pytest.mark.parametrize("name", BAD)
def test_histories_that_have_none_are_found(name: str) -> None:
    (fault,) = check(_history(*BAD[name]))
    assert fault.startswith("key: no order explains")


def test_keys_are_judged_by_themselves() -> None:
    good = [Request(name, Kind.CREATE, Answer.DONE, name, 0, 1) for name in ("one", "two", "three")]
    bad = Request("two", Kind.READ, Answer.DONE, "one", 2, 3)
    faults = check([*good, bad])
    assert len(faults) == 1
    assert faults[0].startswith("two:")


def test_a_search_that_grows_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "STATES_MAX", 50)
    lost = [(0, None, P, f"m{number}", LOST) for number in range(12)]
    with pytest.raises(Undecided):
        find_contradiction(_history((0, 1, C, "a"), *lost, (2, 3, R, "nothing of these")))


@pytest.mark.parametrize("seed", range(20))
def test_what_one_register_answers_passes_and_one_wrong_answer_does_not(seed: int) -> None:
    chance = random.Random(seed)
    history = _run_register(chance, requests=60)
    assert check(history) == []
    # Reads of marks that no write made, and of one that an acknowledged read must have replaced.
    place = chance.randrange(len(history))
    told = history[place]
    wrong = Request("key", Kind.READ, Answer.DONE, "never", told.called_s, told.answered_s)
    assert len(check([*history, wrong])) == 1


@pytest.mark.parametrize("seed", range(40))
def test_the_search_agrees_with_trying_every_order(seed: int) -> None:
    chance = random.Random(seed)
    history = _run_register(chance, requests=6)
    if chance.random() < 0.7:
        one, other = chance.sample(range(len(history)), 2)
        history[one], history[other] = (
            _at(history[one], history[other]),
            _at(history[other], history[one]),
        )
    assert (find_contradiction(history) == []) == _has_order(history)


def _at(request: Request, times: Request) -> Request:
    answered_s = times.answered_s if not request.is_lost else request.answered_s
    return Request(
        request.key,
        request.kind,
        request.answer,
        request.mark,
        times.called_s,
        answered_s,
        request.expected,
    )


def _has_order(history: list[Request]) -> bool:
    lost = [request for request in history if request.is_lost]
    answered = [request for request in history if not request.is_lost]
    for count in range(len(lost) + 1):
        for applied in itertools.combinations(lost, count):
            for order in itertools.permutations([*answered, *applied]):
                if _is_order(order):
                    return True
    return False


def _is_order(order: tuple[Request, ...]) -> bool:
    state: State = None
    latest_s = -1.0
    for request in order:
        # Somebody who was answered before this was called must not come after it.
        latest_s = max(latest_s, request.called_s)
        if request.answered_s < latest_s:
            return False
        fits, state = step(state, request)
        if not fits:
            return False
    return True


def _run_register(chance: random.Random, *, requests: int) -> list[Request]:
    """Return the history of some clients of one register, each request taking effect once."""
    state: State = None
    history = []
    marks = [f"m{number}" for number in range(requests)]
    for number in range(requests):
        effect_s = float(number)
        called_s = effect_s - chance.random() * 3
        answered_s = effect_s + chance.random() * 3
        kind = chance.choice(list(Kind))
        mark = None if kind in (R, D) else marks[number]
        expected = None
        if kind is U:
            expected = state if chance.random() < 0.7 and state else chance.choice(marks)
        found = Request("key", kind, Answer.DONE, mark, called_s, answered_s, expected)
        if kind is R:
            answer, found = Answer.DONE, Request("key", R, DONE, state, called_s, answered_s)
        else:
            answer = _answer_of(state, found)
        if answer is Answer.DONE:
            state = step(state, found)[1]
        lost = kind is not R and chance.random() < 0.15
        history.append(
            Request(
                "key",
                kind,
                Answer.LOST if lost else answer,
                found.mark,
                called_s,
                float("inf") if lost else answered_s,
                expected,
            )
        )
    return history


def _answer_of(state: State, request: Request) -> Answer:
    if step(state, request)[0]:
        return Answer.DONE
    if request.kind is C:
        return Answer.EXISTS
    return Answer.ABSENT if state is None else Answer.CONFLICT

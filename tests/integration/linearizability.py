"""Whether a history of requests to single objects can be explained by one order of them.

An object is a register that may be absent: create, read, compare-and-set, blind set, delete. A
history is linearizable if there is an order in which each request takes effect at one moment
between its call and its answer and gets just that answer (Herlihy and Wing); as that is local to
objects, each key is judged by itself. The search is Wing and Gong's with the memory of visited
states that Lowe added, as in Porcupine: depth first, over which requests have taken effect and
what the object is then. A request whose answer was lost may have taken effect at any time since its
call, or never.

Pure: nothing here talks to a server. Every write carries a mark of its own, which is its value; who
expects a resourceVersion expects the mark that was seen with it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

STATES_MAX: Final = 1_000_000
"""Looked at for one key; a history that needs more is undecided."""
State: TypeAlias = str | None
"""The mark of the object, None while it is absent."""


class Kind(Enum):
    """What a request asks for."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    """Compare-and-set: only if the object has the mark `expected`."""
    PATCH = "patch"
    DELETE = "delete"
    """Of whatever is there, or only if it has the mark `expected`."""


class Answer(Enum):
    """What the client was told."""

    DONE = "done"
    EXISTS = "exists already"
    ABSENT = "not found"
    CONFLICT = "another revision"
    LOST = "no answer"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as its client saw it.

    Attributes:
        key: which object.
        mark: of a write: its own; of a read: what it found, None for nothing.
        expected: the mark that it is conditional on, None for none.
        called_s: when it was sent, by a clock that all clients share.
        answered_s: when its answer was there; infinite if it was lost.
        client: who sent it, for people.
    """

    key: Hashable
    kind: Kind
    answer: Answer
    mark: State
    called_s: float
    answered_s: float = math.inf
    expected: State = None
    client: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.answer is Answer.LOST


class Undecided(Exception):
    """The search would take too long; make the history shorter, or less concurrent."""


def step(state: State, request: Request) -> tuple[bool, State]:
    """Return whether `request` may get its answer in `state`, and what the object is then."""
    match request.answer:
        case Answer.ABSENT:
            return state is None, state
        case Answer.EXISTS:
            return state is not None, state
        case Answer.CONFLICT:
            return state is not None and state != request.expected, state
        case _:
            return _effect(state, request)


def _effect(state: State, request: Request) -> tuple[bool, State]:
    match request.kind:
        case Kind.READ:
            return state == request.mark, state
        case Kind.CREATE:
            return state is None, request.mark
        case Kind.PATCH:
            return state is not None, request.mark
        case Kind.UPDATE:
            return state is not None and state == request.expected, request.mark
        case Kind.DELETE:
            fits = request.expected is None or state == request.expected
            return state is not None and fits, None


def check(history: Iterable[Request]) -> list[str]:
    """Return what is wrong with a history, as sentences; nothing if each key has an order.

    Raises:
        Undecided: a key's history is too much to search.
    """
    by_key: dict[Hashable, list[Request]] = {}
    for request in history:
        # A read without an answer says nothing.
        if not (request.is_lost and request.kind is Kind.READ):
            by_key.setdefault(request.key, []).append(request)
    faults = []
    for key, requests in by_key.items():
        stuck = find_contradiction(requests)
        if stuck:
            told = "\n  ".join(map(_told, stuck))
            faults.append(
                f"{key}: no order explains the answers; none of these fits next:\n  {told}"
            )
    return faults


def find_contradiction(requests: Sequence[Request]) -> list[Request]:
    """Return where the longest order that can be found ends: requests of which none fits next.

    Args:
        requests: of one key.

    Returns:
        Nothing if there is an order of all that were answered.

    Raises:
        Undecided: it takes too long.
    """
    ordered = sorted(requests, key=lambda request: request.called_s)
    answered = sum(1 << n for n, request in enumerate(ordered) if not request.is_lost)
    visited: set[tuple[int, State]] = {(0, None)}
    best, stuck = -1, ordered
    path: list[tuple[int, State, Iterator[int]]] = [(0, None, iter(_next(ordered, 0)))]
    while path:
        done, state, candidates = path[-1]
        if done & answered == answered:
            return []
        for number in candidates:
            fits, after = step(state, ordered[number])
            place = (done | 1 << number, after)
            if fits and place not in visited:
                visited.add(place)
                path.append((*place, iter(_next(ordered, place[0]))))
                break
        else:
            count = (done & answered).bit_count()
            if count > best:
                best, stuck = count, [ordered[number] for number in _next(ordered, done)]
            path.pop()
        if len(visited) > STATES_MAX:
            raise Undecided(f"{len(ordered)} requests to {ordered[0].key}")
    return stuck


def _next(ordered: Sequence[Request], done: int) -> list[int]:
    """Return which requests may take effect next: those called before any other was answered."""
    found: list[int] = []
    until_s = math.inf
    # All before the lowest that is missing have taken effect.
    number = (~done & (done + 1)).bit_length() - 1
    while number < len(ordered) and ordered[number].called_s <= until_s:
        if not done >> number & 1:
            found.append(number)
            until_s = min(until_s, ordered[number].answered_s)
        number += 1
    # What was answered first: a lost one only takes effect where the others need it to.
    return sorted(found, key=lambda number: ordered[number].answered_s)


def _told(request: Request) -> str:
    until = "lost" if request.is_lost else f"{request.answered_s:.6f}"
    expected = f" expecting {request.expected}" if request.expected else ""
    return (
        f"{request.called_s:.6f} to {until} {request.client} {request.kind.value} "
        f"{request.mark}{expected}: {request.answer.value}"
    )

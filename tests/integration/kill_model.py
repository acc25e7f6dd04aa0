"""What a history of writes, reads and watches must look like, whatever was killed meanwhile.

Pure: nothing here talks to a server. Traffic records each write as an `Attempt`, a full replay
watch gives the `Change`s that took effect, and these functions return what is wrong, as sentences,
so that an empty list is the verdict "fine".

    Attempt   outcome DONE     the server acknowledged it        must be in the history, once
              outcome REFUSED  the server said no                must not be in it
              outcome MAYBE    the answer was lost, or was 5xx   may be in it, once

Every write carries a mark of its own, so a change tells which attempt it comes from; a delete is
told by the uid it names in its preconditions.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Key(NamedTuple):
    """An object: its type (plural), namespace and name."""

    resource: str
    namespace: str
    name: str


class Op(Enum):
    """What an attempt asks for; the value is the event it leads to."""

    CREATE = "ADDED"
    UPDATE = "MODIFIED"
    DELETE = "DELETED"


class Outcome(Enum):
    """What the client knows of an attempt."""

    DONE = "acknowledged"
    REFUSED = "refused"
    MAYBE = "unanswered"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write, as its client saw it.

    Attributes:
        mark: unique; of a delete: the uid that it deletes.
        writer: who sent it; a writer waits for each answer before it sends the next.
        revision: the resourceVersion in the acknowledgement, 0 if there was none.
        expected: the resourceVersion that an update is conditional on, 0 for none.
        code: HTTP status code, 0 if no answer came.
    """

    key: Key
    op: Op
    mark: str
    writer: int
    outcome: Outcome
    revision: int = 0
    expected: int = 0
    code: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """One consistent read, as its client saw it.

    Attributes:
        floor: the revision last acknowledged for this key before the read was sent.
        revision: of the object found, 0 if there was none.
    """

    key: Key
    floor: int
    revision: int


class Change(NamedTuple):
    """One watch event; `mark` is that of the object it shows."""

    kind: str
    key: Key
    revision: int
    mark: str
    uid: str


def check_shape(history: Sequence[Change]) -> list[str]:
    """Each object's events must be (ADDED MODIFIED* DELETED)*, and revisions must grow.

    Args:
        history: of one type.
    """
    faults = []
    for before, after in itertools.pairwise(history):
        if after.revision <= before.revision:
            faults.append(f"revision {after.revision} of {after} follows {before}")
    alive: dict[Key, str] = {}
    for change in history:
        known = alive.get(change.key)
        if (known is None) != (change.kind == Op.CREATE.value):
            faults.append(f"{change} while the object was {'absent' if known is None else 'there'}")
        elif known is not None and known != change.uid:
            faults.append(f"{change} changed the uid from {known}")
        if change.kind == Op.DELETE.value:
            alive.pop(change.key, None)
        else:
            alive[change.key] = change.uid
    return faults


def check_writes(attempts: Iterable[Attempt], history: Sequence[Change]) -> list[str]:
    """What was acknowledged must be there, what is there must have been asked for, once.

    Args:
        attempts: every write to one type.
        history: of that type.
    """
    asked: dict[tuple[Key, str, str], list[Attempt]] = {}
    for attempt in attempts:
        asked.setdefault((attempt.key, attempt.op.value, attempt.mark), []).append(attempt)
    effects: dict[tuple[Key, str, str], list[Change]] = {}
    for change in history:
        effects.setdefault(_identity(change), []).append(change)
    previous = _previous_revisions(history)
    faults = []
    for identity in asked.keys() | effects.keys():
        faults += _check_same(asked.get(identity, []), effects.get(identity, []), previous)
    return faults


def _identity(change: Change) -> tuple[Key, str, str]:
    mark = change.uid if change.kind == Op.DELETE.value else change.mark
    return change.key, change.kind, mark


def _previous_revisions(history: Sequence[Change]) -> dict[int, int]:
    """Return by revision the one at which the same object was changed before."""
    last: dict[Key, int] = {}
    previous = {}
    for change in history:
        previous[change.revision] = last.get(change.key, 0)
        last[change.key] = change.revision
    return previous


def _check_same(
    attempts: Sequence[Attempt], found: Sequence[Change], previous: Mapping[int, int]
) -> list[str]:
    """Check one change against those who asked for it: several only for deletes of one uid."""
    done = [attempt for attempt in attempts if attempt.outcome is Outcome.DONE]
    if not attempts:
        return [f"nobody asked for {change}" for change in found]
    faults = []
    if len(found) > 1:
        faults.append(f"took effect {len(found)} times: {attempts} as {found}")
    if done and not found:
        faults.append(f"lost: {done[0]}")
    if len(done) > 1:
        faults.append(f"acknowledged {len(done)} times: {done}")
    if found and all(attempt.outcome is Outcome.REFUSED for attempt in attempts):
        faults.append(f"took effect though refused: {attempts} as {found}")
    for attempt, change in itertools.product(attempts, found):
        if attempt.revision and change.revision != attempt.revision:
            faults.append(f"{attempt} took effect at another revision: {change}")
        if attempt.expected and previous[change.revision] != attempt.expected:
            faults.append(f"{attempt} overwrote revision {previous[change.revision]}: {change}")
    return faults


def check_order(attempts: Iterable[Attempt]) -> list[str]:
    """A later acknowledgement has a higher revision: of each writer, in each type."""
    faults = []
    last: dict[tuple[int, str], Attempt] = {}
    for attempt in attempts:
        if attempt.outcome is not Outcome.DONE or not attempt.revision:
            continue
        before = last.get((attempt.writer, attempt.key.resource))
        if before is not None and before.revision >= attempt.revision:
            faults.append(f"{attempt} was acknowledged after {before}")
        last[attempt.writer, attempt.key.resource] = attempt
    return faults


def check_reads(reads: Iterable[Read], history: Sequence[Change]) -> list[str]:
    """A consistent read shows a state that was, and none older than the last acknowledged one."""
    by_key: dict[Key, list[Change]] = {}
    for change in history:
        by_key.setdefault(change.key, []).append(change)
    faults = []
    for read in reads:
        changes = by_key.get(read.key, [])
        if read.revision:
            states = {c.revision for c in changes if c.kind != Op.DELETE.value}
            if read.revision not in states:
                faults.append(f"{read} shows a state that never was")
            elif read.revision < read.floor:
                faults.append(f"{read} is stale")
            continue
        # Absent is right from before the first event on, and after each delete not overtaken.
        gone = [c.revision for c in changes if c.kind == Op.DELETE.value]
        if read.floor and not any(revision >= read.floor for revision in gone):
            faults.append(f"{read} misses what was acknowledged")
    return faults


def check_watch(seen: Sequence[Change], history: Sequence[Change]) -> list[str]:
    """A watcher must have seen exactly the history, in its order, each event once."""
    if list(seen) == list(history):
        return []
    faults = []
    counted = Counter(seen)
    faults += [f"duplicate: {change}" for change, count in counted.items() if count > 1]
    faults += [f"gap: {change} was not seen" for change in history if change not in counted]
    known = set(history)
    faults += [f"invented: {change}" for change in counted if change not in known]
    return faults or ["the events came in another order"]


def final_state(history: Sequence[Change]) -> dict[Key, tuple[int, str]]:
    """Return revision and mark of each object that a history leaves."""
    state: dict[Key, tuple[int, str]] = {}
    for change in history:
        if change.kind == Op.DELETE.value:
            state.pop(change.key, None)
        else:
            state[change.key] = (change.revision, change.mark)
    return state

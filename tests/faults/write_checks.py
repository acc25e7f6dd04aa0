"""What was written, held against the log's history: nothing lost, invented, repeated or reordered.

Pure: each function returns what is wrong, as sentences. `resolve` makes the search for one order
short: what the history tells of a lost write need not be guessed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.faults.history import PARTITIONS, Write
from tests.integration.kill_model import Change, Key
from tests.integration.linearizability import Answer, Kind, Request

_DELETED = "DELETED"


def check_effects(writes: Iterable[Write], history: Sequence[Change]) -> list[str]:
    """What was acknowledged took effect, once and as told; nothing else did but what was lost.

    Args:
        writes: to the types of `history`.
        history: of them, from before the first write.
    """
    asked = {write.request.mark: write for write in writes if write.request.kind is not Kind.DELETE}
    effects: dict[str, Change] = {}
    faults = []
    before: dict[Key, Change] = {}
    for change in history:
        previous = before.get(change.key)
        before[change.key] = change
        if change.kind == _DELETED:
            continue
        if change.mark in effects:
            faults.append(f"took effect twice: {effects[change.mark]} and {change}")
        effects[change.mark] = change
        write = asked.get(change.mark)
        if write is None:
            faults.append(f"nobody asked for {change}")
        else:
            faults += _check_effect(write, change, previous)
    for mark, write in asked.items():
        if write.request.answer is Answer.DONE and mark not in effects:
            faults.append(f"lost though acknowledged: {write}")
    return faults


def _check_effect(write: Write, change: Change, previous: Change | None) -> list[str]:
    request, faults = write.request, []
    if request.answer not in (Answer.DONE, Answer.LOST):
        faults.append(f"took effect though refused: {write} as {change}")
    if write.revision and write.revision != change.revision:
        faults.append(f"took effect at another revision than told: {write} as {change}")
    expected = request.expected
    if expected is not None and (previous is None or previous.mark != expected):
        faults.append(f"overwrote what it did not expect, {previous}: {write}")
    if (request.kind is Kind.CREATE) != (change.kind == "ADDED"):
        faults.append(f"is not the change it asked for: {write} as {change}")
    return faults


def check_deletes(writes: Iterable[Write], history: Sequence[Change]) -> list[str]:
    """Each acknowledged delete took effect, and no more happened than were asked for."""
    deletes = [write for write in writes if write.request.kind is Kind.DELETE]
    gone = {change.uid: change for change in history if change.kind == _DELETED}
    faults = []
    done: Counter[Key] = Counter()
    lost: Counter[Key] = Counter()
    told: set[str] = set()
    for write in deletes:
        key = write.request.key
        assert isinstance(key, Key)
        if write.request.answer is Answer.LOST:
            lost[key] += 1
        elif write.request.answer is Answer.DONE:
            done[key] += 1
            if write.uid and (write.uid not in gone or gone[write.uid].key != key):
                faults.append(f"lost though acknowledged: {write}")
            if write.uid in told:
                faults.append(f"acknowledged twice: {write}")
            if write.uid:
                told.add(write.uid)
    happened = Counter(change.key for change in gone.values())
    for key in happened.keys() | done.keys():
        if not done[key] <= happened[key] <= done[key] + lost[key]:
            faults.append(
                f"{key} was deleted {happened[key]} times: {done[key]} deletes were acknowledged, "
                f"{lost[key]} lost"
            )
    return faults


def check_real_time(writes: Iterable[Write]) -> list[str]:
    """Whoever is answered before another is called has the lower revision, in one partition."""
    by_partition: dict[str, list[Write]] = {}
    for write in writes:
        if write.revision and write.request.answer is Answer.DONE:
            key = write.request.key
            assert isinstance(key, Key)
            by_partition.setdefault(PARTITIONS[key.resource], []).append(write)
    faults = []
    for told in by_partition.values():
        answered = sorted(told, key=lambda write: write.request.answered_s)
        number, highest = 0, None
        for write in sorted(told, key=lambda one: one.request.called_s):
            while answered[number].request.answered_s < write.request.called_s:
                if highest is None or answered[number].revision > highest.revision:
                    highest = answered[number]
                number += 1
            if highest is not None and highest.revision >= write.revision:
                faults.append(f"{write} was called after the answer to {highest}")
    return faults


def resolve(requests: Sequence[Request], history: Sequence[Change]) -> list[Request]:
    """Return the requests without lost writes that had no effect, and with ends for the others.

    A lost write whose mark the history does not hold never happened; one that it holds happened
    before whatever has a later revision was answered. Deletes have no marks: the lost ones of an
    object go if each of its deletions was acknowledged to somebody.
    """
    position = {change.mark: change.revision for change in history if change.kind != _DELETED}
    happened = Counter(change.key for change in history if change.kind == _DELETED)
    done = Counter(
        request.key
        for request in requests
        if request.kind is Kind.DELETE and request.answer is Answer.DONE
    )
    ends = _earliest_ends(requests, position)
    kept = []
    for request in requests:
        if not request.is_lost or request.kind is Kind.READ:
            kept.append(request)
        elif request.kind is Kind.DELETE:
            if happened[request.key] > done[request.key]:  # type: ignore[index]
                kept.append(request)
        elif request.mark in position:
            end_s = _end_after(ends.get(request.key, []), position[request.mark])
            kept.append(replace(request, answer=Answer.DONE, answered_s=end_s))
    return kept


def _earliest_ends(
    requests: Iterable[Request], position: dict[str, int]
) -> dict[object, list[tuple[int, float]]]:
    """Return by key: revisions that were shown, and when the answer was there."""
    found: dict[object, list[tuple[int, float]]] = {}
    for request in requests:
        if request.answer is Answer.DONE and request.mark in position:
            place = (position[request.mark], request.answered_s)
            found.setdefault(request.key, []).append(place)
    for key, ends in found.items():
        ends.sort(reverse=True)
        earliest_s, least = math.inf, []
        for revision, answered_s in ends:
            earliest_s = min(earliest_s, answered_s)
            least.append((revision, earliest_s))
        found[key] = least
    return found


def _end_after(ends: Sequence[tuple[int, float]], revision: int) -> float:
    """Return the earliest answer that shows a revision or a later one."""
    found = math.inf
    for later, answered_s in ends:
        if later < revision:
            break
        found = answered_s
    return found

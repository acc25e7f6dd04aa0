"""What was read, held against the log's history: each list is the state of its own revision.

Pure: each function returns what is wrong, as sentences. That single objects have one order is
tests/integration/linearizability.py's subject; a list shows many at once, and its revision says
of which moment, so there is nothing to search: the history tells what it must be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.faults.history import PARTITIONS, Listing, Write, selects
from tests.integration.kill_model import Change, Key
from tests.integration.linearizability import Answer

State = dict[Key, tuple[int, str]]


def check_shown(shown: Mapping[tuple[Key, str], int], history: Sequence[Change]) -> list[str]:
    """Whatever was shown anywhere is in the history, with the revision it was shown with."""
    known = {(change.key, change.mark): 0 for change in history}
    for change in history:
        if change.kind != "DELETED":
            known[change.key, change.mark] = change.revision
    faults = []
    for (key, mark), revision in shown.items():
        actual = known.get((key, mark))
        if actual is None:
            faults.append(f"{key} was shown with {mark}, which the history does not hold")
        elif actual != revision:
            faults.append(f"{key} {mark} was shown at {revision}, and is at {actual}")
    return faults


def check_listings(listings: Iterable[Listing], history: Sequence[Change]) -> list[str]:
    """Each list shows just the objects that there were at its resourceVersion.

    Args:
        listings: of one type.
        history: of that type.
    """
    faults = []
    state: State = {}
    changes = iter(history)
    following = next(changes, None)
    for listing in sorted(listings, key=lambda one: one.revision):
        while following is not None and following.revision <= listing.revision:
            if following.kind == "DELETED":
                state.pop(following.key, None)
            else:
                state[following.key] = (following.revision, following.mark)
            following = next(changes, None)
        wanted = {key: at for key, at in state.items() if selects(listing.tier, at[1])}
        if listing.items != wanted:
            wrong = sorted(set(listing.items.items()) ^ set(wanted.items()))
            faults.append(
                f"the list of {listing.resource} {listing.tier} at {listing.revision} differs from "
                f"the history: {wrong}"
            )
    return faults


def check_freshness(listings: Iterable[Listing], writes: Iterable[Write]) -> list[str]:
    """A consistent list is no older than what was told to anybody before it was called.

    Told are the revisions of acknowledged writes and of other lists, of any kind: a moment that
    one client has seen has passed for all.
    """
    told: dict[str, list[tuple[float, int, object]]] = {}
    for write in writes:
        if write.request.answer is Answer.DONE and write.revision:
            key = write.request.key
            assert isinstance(key, Key)
            place = told.setdefault(PARTITIONS[key.resource], [])
            place.append((write.request.answered_s, write.revision, write))
    consistent: dict[str, list[Listing]] = {}
    for listing in listings:
        partition = PARTITIONS[listing.resource]
        told.setdefault(partition, []).append((listing.answered_s, listing.revision, listing))
        if listing.consistent:
            consistent.setdefault(partition, []).append(listing)
    faults = []
    for partition, lists in consistent.items():
        answers = sorted(told[partition], key=lambda answer: answer[0])
        number, highest, whose = 0, 0, None
        for listing in sorted(lists, key=lambda one: one.called_s):
            while number < len(answers) and answers[number][0] < listing.called_s:
                if answers[number][1] > highest:
                    _, highest, whose = answers[number]
                number += 1
            if listing.revision < highest:
                faults.append(f"stale: {listing} was called after the answer to {whose}")
    return faults

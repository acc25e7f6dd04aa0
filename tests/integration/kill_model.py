"""What a history of one type must look like, and what a watcher must have seen of it.

Pure: nothing here talks to a server. A full replay watch gives the `Change`s that took effect, and
these functions return what is wrong, as sentences, so that an empty list is the verdict "fine".
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Key(NamedTuple):
    """An object: its type (plural), namespace and name."""

    resource: str
    namespace: str
    name: str


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
        if (known is None) != (change.kind == "ADDED"):
            faults.append(f"{change} while the object was {'absent' if known is None else 'there'}")
        elif known is not None and known != change.uid:
            faults.append(f"{change} changed the uid from {known}")
        if change.kind == "DELETED":
            alive.pop(change.key, None)
        else:
            alive[change.key] = change.uid
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
        if change.kind == "DELETED":
            state.pop(change.key, None)
        else:
            state[change.key] = (change.revision, change.mark)
    return state

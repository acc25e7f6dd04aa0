"""How far an update of a LeaderWorkerSet is to go now: decisions, nothing else.

The leaders' StatefulSet is what updates groups, from the last down; its partition says how far.
It has `replicas + maxSurge` places while an update is under way, and the surplus goes bit by bit
when no more groups are missing than may be (rollingUpdateParameters of upstream's controller).

    groups          0  1  2  3 | 4      replicas 4, maxSurge 1, maxUnavailable 1
    updated, ready           x   x
    partition            2              the next one that may go is 2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controllers.leader_workers.wanted import Wanted


class GroupState(NamedTuple):
    """How one group is.

    Attributes:
        is_ready: its leader and all its workers are.
        is_updated: its leader and its workers are of the set's template.
    """

    is_ready: bool
    is_updated: bool


MISSING = GroupState(is_ready=False, is_updated=False)


class Leaders(NamedTuple):
    """What the leaders' StatefulSet asks for.

    Attributes:
        replicas: how many leaders.
        partition: those below it are not updated.
        asked: how many groups the set asked for when it was written; None: it does not say.
    """

    replicas: int
    partition: int
    asked: int | None


class Step(NamedTuple):
    """What the leaders' StatefulSet is to ask for now."""

    partition: int
    replicas: int


def next_step(
    wanted: Wanted, leaders: Leaders | None, states: Sequence[GroupState], *, is_new: bool
) -> Step:
    """Return what the leaders' StatefulSet is to ask for.

    Args:
        wanted: what the set asks for.
        leaders: what the StatefulSet asks for, None if there is none yet.
        states: of the groups, one for each of its replicas.
        is_new: whether the set's template has just changed.
    """
    step = _step(wanted, leaders, states, is_new=is_new)
    return Step(max(step.partition, wanted.partition), step.replicas)


def _step(
    wanted: Wanted, leaders: Leaders | None, states: Sequence[GroupState], *, is_new: bool
) -> Step:
    if leaders is None:
        return Step(0, wanted.replicas)
    if is_new:
        # Growing and shrinking come first, and the update after that.
        partition = min(wanted.replicas, leaders.replicas)
        if leaders.replicas < wanted.replicas:
            return Step(partition, wanted.replicas)
        return Step(partition, _with_surge(wanted, wanted.replicas))
    if leaders.partition == 0 and leaders.replicas == wanted.replicas:
        return Step(0, wanted.replicas)
    if leaders.replicas < wanted.replicas:
        return Step(leaders.partition, wanted.replicas)
    lacking = sum(
        not (state.is_ready and state.is_updated) for state in states[: wanted.replicas]
    ) + max(0, wanted.replicas - len(states))
    replicas = _with_surge(wanted, lacking)
    if leaders.asked is not None and leaders.asked != wanted.replicas:
        return Step(min(leaders.partition, wanted.replicas + wanted.surge_max), replicas)
    # Surplus groups that are gone already leave less room.
    gone = wanted.replicas + wanted.surge_max - leaders.replicas
    room = wanted.unavailable_max + wanted.surge_max - gone
    return Step(next_partition(states, room, leaders.partition), replicas)


def _with_surge(wanted: Wanted, lacking: int) -> int:
    """Return how many groups there are to be while some are lacking."""
    if lacking <= wanted.surge_max:
        return wanted.replicas + max(0, lacking - wanted.unavailable_max)
    return wanted.replicas + wanted.surge_max


def next_partition(states: Sequence[GroupState], room: int, current: int) -> int:
    """Return from which group on the update goes; it only ever moves down.

    Args:
        states: of all groups.
        room: how many groups may be missing at once.
        current: the partition as it is.
    """
    done = 0
    for state in reversed(states):
        if not (state.is_ready and state.is_updated):
            break
        done += 1
    lowest = max(0, len(states) - done - room)
    # Groups below that are missing anyway take of the room.
    partition = lowest + sum(not state.is_ready for state in states[:lowest])
    # What is missing or updated is no loss; else a broken update could never be mended.
    for index in range(min(partition, len(states) - 1), lowest - 1, -1):
        if states[index].is_ready and not states[index].is_updated:
            break
        partition = index
    return min(partition, current)


def surplus_text(name: str, before: int, after: int) -> str:
    """Return what is told of surplus groups that go, "" if none does."""
    if after == before - 1:
        return f"deleting surge replica {name}-{after}"
    if after < before:
        return f"deleting surge replicas from {name}-{after} to {name}-{before - 1}"
    return ""


def progress_text(before: int, after: int) -> str:
    """Return what is told of a partition that moves."""
    if before - 1 == after:
        return f"Updating replica {after}"
    return f"Updating replicas {after} to {before - 1} (inclusive)"

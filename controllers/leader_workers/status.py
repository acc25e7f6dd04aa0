"""The status of a LeaderWorkerSet, and its conditions.

    a group in reach of the partition is not updated  -> UpdateInProgress, Progressing
    all are ready, and those in reach updated         -> Available
    else                                              -> Progressing

Available and the two others exclude each other: the one that becomes true makes them false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from controllers.leader_workers import names
from controllers.leader_workers.group_book import Group
from controllers.leader_workers.wanted import Wanted
from kube.json_types import JsonObject

AVAILABLE: Final = "Available"
PROGRESSING: Final = "Progressing"
UPDATING: Final = "UpdateInProgress"
_SAID: Final = {
    AVAILABLE: ("AllGroupsReady", "All replicas are ready"),
    UPDATING: ("GroupsUpdating", "Rolling Upgrade is in progress"),
    PROGRESSING: ("GroupsProgressing", "Replicas are progressing"),
}
_RIVALS: Final = {
    AVAILABLE: frozenset({PROGRESSING, UPDATING}),
    PROGRESSING: frozenset({AVAILABLE}),
    UPDATING: frozenset({AVAILABLE}),
}


class Counts(NamedTuple):
    """How many groups of a set are how.

    Attributes:
        ready, updated: of all.
        ready_wanted: those that are ready, without surplus.
        reached, reached_updated, reached_done: those in reach of an update, without surplus; of
            these, those updated, and those that are ready, too.
    """

    ready: int
    updated: int
    ready_wanted: int
    reached: int
    reached_updated: int
    reached_done: int

    def is_done(self, wanted: Wanted) -> bool:
        """Tell whether all groups are updated and ready, so that older templates can go."""
        return wanted.partition == 0 and self.reached_done == wanted.replicas


def count(wanted: Wanted, groups: Mapping[int, Group], revision: str) -> Counts:
    """Count a set's groups.

    Args:
        wanted: what the set asks for.
        groups: by index; those that have no leader, or no workers yet, do not count.
        revision: the key of the set's template.
    """
    found = [
        (index, *group.state(wanted.size, revision))
        for index, group in groups.items()
        if group.leader is not None and (wanted.size == 1 or group.workers is not None)
    ]
    own = [one for one in found if one[0] < wanted.replicas]
    reached = [one for one in own if one[0] >= wanted.partition]
    return Counts(
        ready=sum(is_ready for _, is_ready, _ in found),
        updated=sum(is_updated for _, _, is_updated in found),
        ready_wanted=sum(is_ready for _, is_ready, _ in own),
        reached=len(reached),
        reached_updated=sum(is_updated for _, _, is_updated in reached),
        reached_done=sum(is_ready and is_updated for _, is_ready, is_updated in reached),
    )


def true_conditions(wanted: Wanted, counts: Counts) -> tuple[str, ...]:
    """Return which conditions are true now."""
    if counts.reached_updated < counts.reached:
        return UPDATING, PROGRESSING
    if counts.ready_wanted == wanted.replicas and counts.reached_done == counts.reached:
        return (AVAILABLE,)
    return (PROGRESSING,)


def new_status(
    lws: JsonObject, leaders: JsonObject, counts: Counts, wanted: Wanted, now: str
) -> tuple[JsonObject, str]:
    """Return a set's status, and what is told if its conditions change, else "".

    Args:
        lws: the set; not changed.
        leaders: the StatefulSet of its leaders.
        counts: of its groups.
        wanted: what it asks for.
        now: the time, as the API writes it.
    """
    name, known = lws["metadata"]["name"], lws.get("status") or {}
    generation = lws["metadata"].get("generation", 0)
    true = true_conditions(wanted, counts)
    conditions, has_changed = _conditions(known.get("conditions") or [], true, generation, now)
    status: JsonObject = {
        **known,
        "conditions": conditions,
        "observedGeneration": generation,
        "hpaPodSelector": known.get("hpaPodSelector")
        or f"{names.NAME}={name},{names.WORKER_INDEX}=0",
    }
    for field, value in (
        ("replicas", int((leaders.get("status") or {}).get("replicas", 0))),
        ("readyReplicas", counts.ready),
        ("updatedReplicas", counts.updated),
    ):
        if value:
            status[field] = value
        else:
            status.pop(field, None)
    if not has_changed:
        return status, ""
    total = f"with {counts.ready} groups ready of total {wanted.replicas} groups"
    return status, f"{_SAID[true[0]][1]}, {total}"


def reason_of(condition: str) -> str:
    """Return the reason of a condition, and of the event that tells of it."""
    return _SAID[condition][0]


def _conditions(
    known: list[JsonObject], true: tuple[str, ...], generation: int, now: str
) -> tuple[list[JsonObject], bool]:
    """Return all conditions, and whether any is another than before."""
    made = {one["type"]: dict(one) for one in known}
    for kind in true:
        for rival in _RIVALS[kind]:
            if (old := made.get(rival)) is not None and old["status"] == "True":
                old |= {"status": "False", "lastTransitionTime": now}
        old = made.get(kind)
        if old is None or old["status"] != "True" or old.get("observedGeneration") != generation:
            reason, message = _SAID[kind]
            made[kind] = {
                "type": kind,
                "status": "True",
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
    for one in made.values():
        one["observedGeneration"] = generation
    after = list(made.values())
    return after, after != known

"""When a CronJob should have started a Job, and is to be looked at again (cronjob/utils.go).

Only the last start that was missed is made up for. How many were missed is estimated by the time
between the first two, so that an object nobody has looked at for years costs no more than others.
Times are seconds since the epoch.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from controllers.workloads.pods import epoch_s
from kube.cron import CronSchedule, Every
from kube.cron_times import next_s
from kube.json_types import JsonObject

PADDING_S: Final = 0.1
"""So much later a CronJob is looked at, as clocks differ a little."""
_MANY: Final = 100
Schedule = CronSchedule | Every


class Missed(Enum):
    """How many starts were missed."""

    NONE = "none"
    FEW = "few"
    MANY = "many"


class Recent(NamedTuple):
    """What a schedule asked for until now.

    Attributes:
        earliest_s: what was looked at from.
        start_s: the last time a Job should have been started, None: there was none.
        missed: how many such times there were.
    """

    earliest_s: float
    start_s: int | None
    missed: Missed


class NeverDue(ValueError):
    """A schedule is well-formed, but has no times, such as the 31st of February."""

    def __init__(self) -> None:
        super().__init__("time difference between two schedules is less than 1 second")


def recent(
    cron_job: JsonObject, now_s: float, schedule: Schedule, *, within_deadline: bool
) -> Recent:
    """Return what a schedule asked for since the last start, or since its CronJob is there.

    Args:
        cron_job: whose it is.
        now_s: until when.
        schedule: what it says.
        within_deadline: whether to look no further back than `startingDeadlineSeconds`.

    Raises:
        NeverDue: see there.
    """
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    earliest_s: float = epoch_s(last or cron_job["metadata"].get("creationTimestamp"))
    limit_s = cron_job["spec"].get("startingDeadlineSeconds")
    if within_deadline and limit_s is not None:
        earliest_s = max(earliest_s, now_s - limit_s)
    first_s = next_s(schedule, earliest_s)
    if first_s is None:
        raise NeverDue
    if now_s < first_s:
        return Recent(earliest_s, None, Missed.NONE)
    second_s = next_s(schedule, first_s)
    if second_s is None:
        raise NeverDue
    if now_s < second_s:
        return Recent(earliest_s, first_s, Missed.NONE)
    gap_s = second_s - first_s
    count = int(now_s - first_s) // gap_s + 1
    # One gap too far back, as the gaps of a calendar differ; from there on each is looked at.
    start_s, at_s = None, next_s(schedule, first_s + (count - 2) * gap_s)
    while at_s is not None and at_s <= now_s:
        start_s, at_s = at_s, next_s(schedule, at_s)
    return Recent(earliest_s, start_s, Missed.MANY if count > _MANY else Missed.FEW)


def look_again_s(cron_job: JsonObject, now_s: float, schedule: Schedule) -> float | None:
    """Return in how many seconds a CronJob is due next; None: never."""
    try:
        found = recent(cron_job, now_s, schedule, within_deadline=False)
    except NeverDue:
        from_s: float = now_s
    else:
        from_s = now_s if found.missed is not Missed.NONE else found.earliest_s
        if found.start_s is not None:
            from_s = found.start_s
    due_s = next_s(schedule, from_s)
    return None if due_s is None else due_s + PADDING_S - now_s

"""When a cron expression is due next, to the second as robfig/cron (v3) finds it.

Field after field is moved on until all match; a field that wraps around begins anew at the first.
Where clocks are put forward or back that is not what one would design, and is kept so: a time that
a night in spring does not have is not made up for, one that a night in autumn has twice is due
twice, or once, as upstream has it. Times are seconds since the epoch, calendars those of the zone.
"""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta, tzinfo
from typing import Final

from kube.cron import CronSchedule, Every

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_YEARS_MAX: Final = 5
"""An expression that is not due within so many years never is."""


def next_s(schedule: CronSchedule | Every, after_s: float) -> int | None:
    """Return when a schedule is due after a time, None: never."""
    if isinstance(schedule, Every):
        return int(after_s) + schedule.seconds
    return _Search(schedule, int(after_s) + 1).run()


class _Search:
    """One search; `_at_s` moves on."""

    def __init__(self, schedule: CronSchedule, start_s: int) -> None:
        self._schedule = schedule
        self._zone = schedule.zone
        self._at_s = start_s
        self._has_moved = False
        self._year_max = self._local().year + _YEARS_MAX

    def run(self) -> int | None:
        """Return the first time that matches, None: there is none."""
        steps = (self._months, self._days, self._hours, self._minutes, self._seconds)
        while self._local().year <= self._year_max:
            # A step that wraps around has changed what the ones before it looked at.
            if all(step() for step in steps):
                return self._at_s
        return None

    def _local(self) -> datetime:
        return datetime.fromtimestamp(self._at_s, self._zone)

    def _months(self) -> bool:
        wanted = self._schedule.months.values
        while (local := self._local()).month not in wanted:
            first = local.replace(day=1, hour=0, minute=0, second=0)
            if self._has_moved:
                first = local
            self._has_moved = True
            years, month = divmod(first.month, 12)
            moved = _plain(first).replace(year=first.year + years, month=month + 1)
            self._at_s = resolve(moved, self._zone)
            if self._local().month == 1:
                return False
        return True

    def _days(self) -> bool:
        while not self._is_day(local := self._local()):
            if not self._has_moved:
                self._has_moved = True
                midnight = _plain(local).replace(hour=0, minute=0, second=0)
                self._at_s = resolve(midnight, self._zone)
                local = self._local()
            self._at_s = resolve(_plain(local) + timedelta(days=1), self._zone)
            # Some days begin at one o'clock, or an hour of the day before is there twice.
            if (hour := self._local().hour) != 0:
                self._at_s += ((24 - hour) if hour > 12 else -hour) * _HOUR_S
            if self._local().day == 1:
                return False
        return True

    def _is_day(self, local: datetime) -> bool:
        days, weekdays = self._schedule.days, self._schedule.weekdays
        is_day = local.day in days.values
        is_weekday = (local.weekday() + 1) % 7 in weekdays.values
        if days.is_star or weekdays.is_star:
            return is_day and is_weekday
        return is_day or is_weekday

    def _hours(self) -> bool:
        wanted = self._schedule.hours.values
        while (local := self._local()).hour not in wanted:
            if not self._has_moved:
                self._has_moved = True
                self._at_s = resolve(_plain(local).replace(minute=0, second=0), self._zone)
            self._at_s += _HOUR_S
            if self._local().hour == 0:
                return False
        return True

    def _minutes(self) -> bool:
        wanted = self._schedule.minutes.values
        while self._local().minute not in wanted:
            if not self._has_moved:
                self._has_moved = True
                self._at_s -= self._at_s % _MINUTE_S
            self._at_s += _MINUTE_S
            if self._local().minute == 0:
                return False
        return True

    def _seconds(self) -> bool:
        """Find second 0."""
        past_s = self._local().second
        if past_s == 0:
            return True
        self._has_moved = True
        self._at_s += _MINUTE_S - past_s
        return False


def _plain(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0)


def resolve(local: datetime, zone: tzinfo) -> int:
    """Return which second a zone's calendar means, as Go's time.Date has it.

    Of a time that is there twice, or not at all, it is what one of the two offsets makes of it:
    first that which holds when UTC is at that time, or else that which holds then by the first.
    """
    as_utc_s = calendar.timegm(local.timetuple())
    offset_s = _offset_s(as_utc_s, zone)
    if offset_s:
        offset_s = _offset_s(as_utc_s - offset_s, zone)
    return as_utc_s - offset_s


def _offset_s(at_s: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())

"""When cron expressions are due: the tables of robfig/cron's spec_test.go, with five fields."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kube.cron import CronSchedule, Every, parse_schedule
from kube.cron_times import next_s, resolve

NEW_YORK = "TZ=America/New_York"
SAO_PAULO = "TZ=America/Sao_Paulo"


def _seconds(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _next(schedule: str, after: str) -> float | None:
    return next_s(parse_schedule(schedule), _seconds(after))


@pytest.mark.parametrize(
    ("at", "schedule", "is_due"),
    [
        ("2012-07-09T15:00", "0/15 * * * *", True),
        ("2012-07-09T15:45", "0/15 * * * *", True),
        ("2012-07-09T15:40", "0/15 * * * *", False),
        ("2012-07-09T15:05", "5/15 * * * *", True),
        ("2012-07-09T15:20", "5/15 * * * *", True),
        ("2012-07-09T15:50", "5/15 * * * *", True),
        ("2012-07-15T15:00", "0/15 * * Jul *", True),
        ("2012-07-15T15:00", "0/15 * * Jun *", False),
        ("2012-07-15T08:30", "30 08 ? Jul Sun", True),
        ("2012-07-15T08:30", "30 08 15 Jul ?", True),
        ("2012-07-16T08:30", "30 08 ? Jul Sun", False),
        ("2012-07-16T08:30", "30 08 15 Jul ?", False),
        ("2012-07-09T15:00", "@hourly", True),
        ("2012-07-09T15:04", "@hourly", False),
        ("2012-07-09T15:00", "@daily", False),
        ("2012-07-09T00:00", "@daily", True),
        ("2012-07-09T00:00", "@midnight", True),
        ("2012-07-09T00:00", "@weekly", False),
        ("2012-07-08T00:00", "@weekly", True),
        ("2012-07-08T01:00", "@weekly", False),
        ("2012-07-08T00:00", "@monthly", False),
        ("2012-07-01T00:00", "@monthly", True),
        ("2012-07-01T00:00", "@yearly", False),
        ("2013-01-01T00:00", "@annually", True),
        # Where days and weekdays are both restricted, one of them is enough.
        ("2012-07-15T00:00", "* * 1,15 * Sun", True),
        ("2012-06-15T00:00", "* * 1,15 * Sun", True),
        ("2012-08-01T00:00", "* * 1,15 * Sun", True),
        ("2012-07-15T00:00", "* * */10 * Sun", True),
        # With a star both have to match; every other day is no star.
        ("2012-07-15T00:00", "* * * * Mon", False),
        ("2012-07-09T00:00", "* * 1,15 * *", False),
        ("2012-07-15T00:00", "* * 1,15 * *", True),
        ("2012-07-15T00:00", "* * */2 * Sun", True),
    ],
)
def test_a_time_is_due_or_is_not(at: str, schedule: str, *, is_due: bool) -> None:
    at_s = _seconds(at)
    assert (next_s(parse_schedule(schedule), at_s - 1) == at_s) == is_due


@pytest.mark.parametrize(
    ("after", "schedule", "due"),
    [
        ("2012-07-09T14:45", "0/15 * * * *", "2012-07-09T15:00"),
        ("2012-07-09T14:59", "0/15 * * * *", "2012-07-09T15:00"),
        ("2012-07-09T14:59:59", "0/15 * * * *", "2012-07-09T15:00"),
        ("2012-07-09T15:45", "20-35/15 * * * *", "2012-07-09T16:20"),
        ("2012-07-09T23:46", "*/15 * * * *", "2012-07-10T00:00"),
        ("2012-07-09T23:45", "20-35/15 * * * *", "2012-07-10T00:20"),
        ("2012-07-09T23:35:51", "20-35/15 1/2 * * *", "2012-07-10T01:20"),
        ("2012-07-09T23:35:51", "20-35/15 10-12 * * *", "2012-07-10T10:20"),
        ("2012-07-09T23:35:51", "20-35/15 1/2 */2 * *", "2012-07-11T01:20"),
        ("2012-07-09T23:35:51", "20-35/15 * 9-20 Jul *", "2012-07-10T00:20"),
        ("2012-07-09T23:35", "0 0 9 Apr-Oct ?", "2012-08-09T00:00"),
        ("2012-07-09T23:35", "0 0 */5 Apr,Aug,Oct Mon", "2012-08-01T00:00"),
        ("2012-07-09T23:35", "0 0 */5 Oct Mon", "2012-10-01T00:00"),
        ("2012-07-09T23:35", "0 0 * Feb Mon", "2013-02-04T00:00"),
        ("2012-07-09T23:35", "0 0 * Feb Mon/2", "2013-02-01T00:00"),
        ("2012-12-31T23:59:45", "* * * * *", "2013-01-01T00:00"),
        ("2012-07-09T23:35", "0 0 29 Feb ?", "2016-02-29T00:00"),
        # Clocks are put forward: half past two is not there in 2012.
        ("2012-03-11T00:00-05:00", f"{NEW_YORK} 30 2 11 Mar ?", "2013-03-11T02:30-04:00"),
        ("2012-03-11T00:00-05:00", f"{NEW_YORK} 0 * * * *", "2012-03-11T01:00-05:00"),
        ("2012-03-11T01:00-05:00", f"{NEW_YORK} 0 * * * *", "2012-03-11T03:00-04:00"),
        ("2012-03-11T03:00-04:00", f"{NEW_YORK} 0 * * * *", "2012-03-11T04:00-04:00"),
        ("2012-03-11T00:00-05:00", f"{NEW_YORK} 0 1 * * *", "2012-03-11T01:00-05:00"),
        ("2012-03-11T01:00-05:00", f"{NEW_YORK} 0 1 * * *", "2012-03-12T01:00-04:00"),
        # A nightly job at two is skipped.
        ("2012-03-11T00:00-05:00", f"{NEW_YORK} 0 2 * * *", "2012-03-12T02:00-04:00"),
        # Clocks are put back: what is between one and two is there twice, and so is the job.
        ("2012-11-04T00:00-04:00", f"{NEW_YORK} 30 2 04 Nov ?", "2012-11-04T02:30-05:00"),
        ("2012-11-04T01:45-04:00", f"{NEW_YORK} 30 1 04 Nov ?", "2012-11-04T01:30-05:00"),
        ("2012-11-04T00:00-04:00", f"{NEW_YORK} 0 * * * *", "2012-11-04T01:00-04:00"),
        ("2012-11-04T01:00-04:00", f"{NEW_YORK} 0 * * * *", "2012-11-04T01:00-05:00"),
        ("2012-11-04T01:00-05:00", f"{NEW_YORK} 0 * * * *", "2012-11-04T02:00-05:00"),
        ("2012-11-04T00:00-04:00", f"{NEW_YORK} 0 1 * * *", "2012-11-04T01:00-04:00"),
        ("2012-11-04T01:00-04:00", f"{NEW_YORK} 0 1 * * *", "2012-11-04T01:00-05:00"),
        ("2012-11-04T01:00-05:00", f"{NEW_YORK} 0 1 * * *", "2012-11-05T01:00-05:00"),
        ("2012-11-04T00:00-04:00", f"{NEW_YORK} 0 2 * * *", "2012-11-04T02:00-05:00"),
        ("2012-11-04T02:00-05:00", f"{NEW_YORK} 0 2 * * *", "2012-11-05T02:00-05:00"),
        ("2012-11-03T00:00-04:00", f"{NEW_YORK} 0 3 3 * *", "2012-11-03T03:00-04:00"),
        # Days that begin at one o'clock.
        ("2018-10-17T05:00-04:00", f"{SAO_PAULO} 0 9 10 * ?", "2018-11-10T06:00-05:00"),
        ("2018-02-14T05:00-05:00", f"{SAO_PAULO} 0 9 22 * ?", "2018-02-22T07:00-05:00"),
    ],
)
def test_the_next_time_is_found(after: str, schedule: str, due: str) -> None:
    assert _next(schedule, after) == _seconds(due)


@pytest.mark.parametrize("schedule", ["0 0 30 Feb ?", "0 0 31 Apr ?", "59 23 31 2 *"])
def test_what_no_calendar_has_is_never_due(schedule: str) -> None:
    assert _next(schedule, "2012-07-09T23:35") is None


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("@every 5m", 300),
        ("@every 1h30m", 5400),
        ("@every 1.7s", 1),
        ("@every 1ms", 1),
        ("@every -5m", 1),
        ("TZ=UTC @every 2s", 2),
    ],
)
def test_fixed_times_are_whole_seconds_and_one_at_least(schedule: str, seconds: int) -> None:
    assert parse_schedule(schedule) == Every(seconds)
    assert next_s(Every(seconds), 1000.9) == 1000 + seconds


def test_parts_of_seconds_are_passed_over() -> None:
    minutely = parse_schedule("* * * * *")
    assert isinstance(minutely, CronSchedule)
    assert next_s(minutely, 59.999) == 60
    assert next_s(minutely, 60.0) == 120


def test_times_that_are_there_twice_or_not_at_all_are_read_as_go_reads_them() -> None:
    zone = ZoneInfo("America/New_York")
    twice, never = datetime(2012, 11, 4, 1, 30), datetime(2012, 3, 11, 2, 30)  # noqa: DTZ001
    assert resolve(twice, zone) == _seconds("2012-11-04T01:30-04:00")
    assert resolve(never, zone) == _seconds("2012-03-11T01:30-05:00")

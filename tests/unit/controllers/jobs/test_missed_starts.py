"""Which start of a CronJob is made up for: upstream's tables of cronjob/utils_test.go."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from controllers.jobs.cron_sync import SCHEDULED_AT, job_name, new_job, schedule_text
from controllers.jobs.missed_starts import Missed, NeverDue, look_again_s, recent
from kube.cron import parse_schedule

TEN = "2026-05-19T10:00:00+00:00"
HOURLY = "0 * * * *"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _at(clock: str, day: str = "2026-05-19") -> float:
    return _seconds(f"{day}T{clock}+00:00")


def _cron_job(created: str, last: str | None = None, **spec: Any) -> dict[str, Any]:
    status = {"lastScheduleTime": last} if last else {}
    metadata = {"name": "c", "namespace": "n", "uid": "c", "creationTimestamp": created}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}
    filled = {"schedule": HOURLY, "jobTemplate": template, **spec}
    return {"metadata": metadata, "spec": filled, "status": status}


CREATED = "2026-05-19T10:30:00Z"
EARLY = "2026-05-19T04:30:00Z"


@pytest.mark.parametrize(
    ("created", "last", "deadline_s", "now", "start", "missed"),
    [
        # Nothing was due yet.
        (CREATED, None, None, "10:50:00", None, Missed.NONE),
        # One was, and no other since.
        (CREATED, None, None, "11:00:05", "11:00:00", Missed.NONE),
        (EARLY, "2026-05-19T11:00:00Z", None, "11:00:05", None, Missed.NONE),
        (EARLY, "2026-05-19T10:00:00Z", None, "11:00:05", "11:00:00", Missed.NONE),
        # Several were: the last counts.
        (EARLY, "2026-05-19T06:00:00Z", None, "10:30:00", "10:00:00", Missed.FEW),
        (EARLY, None, None, "10:30:00", "10:00:00", Missed.FEW),
        # The deadline leaves the last, or none.
        (EARLY, None, 3_600, "10:30:00", "10:00:00", Missed.NONE),
        (EARLY, None, 600, "10:30:00", None, Missed.NONE),
        ("2026-05-01T00:00:00Z", None, None, "10:30:00", "10:00:00", Missed.MANY),
    ],
)
def test_the_last_start_that_was_missed_counts(
    created: str,
    last: str | None,
    deadline_s: int | None,
    now: str,
    start: str | None,
    missed: Missed,
) -> None:
    spec = {} if deadline_s is None else {"startingDeadlineSeconds": deadline_s}
    owner = _cron_job(created, last, **spec)
    found = recent(owner, _at(now), parse_schedule(HOURLY), within_deadline=True)
    assert found.start_s == (None if start is None else _at(start))
    assert found.missed is missed


@pytest.mark.parametrize(
    ("schedule", "last", "now", "start"),
    [
        # Gaps of a calendar differ: none of them may be jumped over.
        ("30 6-16/4 * * 1-5", "2026-05-15T14:30:00Z", _at("07:00:00"), _at("06:30:00")),
        ("59 23 31 * *", "2026-01-31T23:59:00Z", _at("00:00:00"), _at("23:59:00", "2026-03-31")),
        ("0 0 1,15 * *", "2026-01-01T00:00:00Z", _at("00:00:00"), _at("00:00:00", "2026-05-15")),
        # Fixed times count from the last start, not from midnight.
        ("@every 1h", "2026-05-19T04:25:00Z", _at("10:30:00"), _at("10:25:00")),
        ("@every 5m", "2026-05-19T10:01:01Z", _at("10:30:00"), _at("10:26:01")),
    ],
)
def test_irregular_and_fixed_times_are_found_exactly(
    schedule: str, last: str, now: float, start: float
) -> None:
    owner = _cron_job(last, last, schedule=schedule)
    found = recent(owner, now, parse_schedule(schedule), within_deadline=False)
    assert found.start_s == start


def test_ten_years_of_minutes_are_no_long_search() -> None:
    owner = _cron_job("2016-01-01T00:00:00Z", schedule="* * * * *")
    found = recent(owner, _at("10:30:30"), parse_schedule("* * * * *"), within_deadline=False)
    assert (found.start_s, found.missed) == (_at("10:30:00"), Missed.MANY)


def test_a_schedule_without_times_is_told_apart() -> None:
    owner = _cron_job(CREATED, schedule="0 0 31 2 *")
    with pytest.raises(NeverDue, match="time difference between two schedules is less than 1"):
        recent(owner, _at("10:30:00"), parse_schedule("0 0 31 2 *"), within_deadline=True)
    assert look_again_s(owner, _at("10:30:00"), parse_schedule("0 0 31 2 *")) is None


@pytest.mark.parametrize(
    ("last", "now", "delay_s"),
    [
        ("2026-05-19T10:00:00Z", "10:00:05", 3595.1),
        ("2026-05-19T10:00:00Z", "11:00:05", 3595.1),
        ("2026-05-19T04:00:00Z", "10:30:00", 1800.1),
        (None, "10:40:00", 1200.1),
    ],
)
def test_it_is_looked_at_again_a_little_after_the_next_is_due(
    last: str | None, now: str, delay_s: float
) -> None:
    found = look_again_s(_cron_job(CREATED, last), _at(now), parse_schedule(HOURLY))
    assert found == pytest.approx(delay_s)


def test_jobs_are_named_by_the_minute_and_say_when_they_were_due() -> None:
    owner = _cron_job(CREATED, timeZone="Europe/Berlin")
    at_s = int(_seconds(TEN))
    made = new_job(owner, at_s)
    metadata = made["metadata"]
    assert metadata["name"] == f"c-{at_s // 60}" == job_name(owner, at_s + 59)
    assert metadata["annotations"] == {SCHEDULED_AT: "2026-05-19T12:00:00+02:00"}
    assert metadata["labels"] == {"a": "b"}
    assert new_job(_cron_job(CREATED), at_s)["metadata"]["annotations"] == {
        SCHEDULED_AT: "2026-05-19T10:00:00Z"
    }


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, HOURLY),
        ({"timeZone": "Europe/Berlin"}, f"TZ=Europe/Berlin {HOURLY}"),
        ({"timeZone": "Mars/Base"}, HOURLY),
        ({"schedule": "TZ=UTC * * * * *", "timeZone": "Europe/Berlin"}, "TZ=UTC * * * * *"),
    ],
)
def test_a_zone_becomes_a_part_of_the_schedule(spec: dict[str, Any], text: str) -> None:
    assert schedule_text(_cron_job(CREATED, **spec)) == text

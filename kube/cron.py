"""The cron expressions of CronJobs: what they say, and why some cannot be parsed.

Grammar and wording follow robfig/cron's standard parser (v3): five fields, or a descriptor such as
`@hourly` and `@every 5m`, after an optional `TZ=zone`. When they are due is in cron_times.py.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, tzinfo
from typing import Final, NamedTuple

from kube.field import quote
from kube.go_durations import parse_go_duration
from kube.text_cache import text_cache

_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY: Final = "@every "
_UTC_NAMES: Final = frozenset({"", "UTC", "Local"})
_INT64_MAX: Final = 2**63 - 1


class CronError(ValueError):
    """A schedule cannot be parsed; the message says why, in the parser's words."""


class Field(NamedTuple):
    """One field of an expression.

    Attributes:
        values: what matches.
        is_star: whether it said `*` or `?`, that is, did not restrict anything.
    """

    values: frozenset[int]
    is_star: bool


class CronSchedule(NamedTuple):
    """Minutes of the calendar, in a time zone."""

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field
    zone: tzinfo


class Every(NamedTuple):
    """A fixed time between two, in whole seconds."""

    seconds: int


class _Bounds(NamedTuple):
    low: int
    high: int
    names: dict[str, int]


_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: Final = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: index for index, name in enumerate(_MONTHS, start=1)}),
    _Bounds(0, 6, {name: index for index, name in enumerate(_DAYS)}),
)


@text_cache(maxsize=1024)
def schedule_fault(schedule: str) -> str:
    """Return why `schedule` cannot be parsed, "" when it can."""
    try:
        parse_schedule(schedule)
    except CronError as error:
        return str(error)
    return ""


@text_cache(maxsize=1024)
def zone_fault(name: str) -> str:
    """Return why there is no time zone `name`, "" when there is one."""
    if name in _UTC_NAMES:
        return ""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""


def parse_schedule(schedule: str) -> CronSchedule | Every:
    """Return what a schedule says; without a zone of its own it is in UTC.

    Raises:
        CronError: it cannot be parsed.
    """
    if not schedule:
        raise CronError("empty spec string")
    zone: tzinfo = UTC
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        head, _, schedule = schedule.partition(" ")
        name = head.partition("=")[2]
        if fault := zone_fault(name):
            raise CronError(f"provided bad location {name}: {fault}")
        zone = zone_of(name)
        schedule = schedule.strip()
    if schedule.startswith(_EVERY):
        return _parse_every(schedule)
    if schedule.startswith("@"):
        if schedule not in _DESCRIPTORS:
            raise CronError(f"unrecognized descriptor: {schedule}")
        schedule = _DESCRIPTORS[schedule]
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        shown = f"[{' '.join(fields)}]"
        raise CronError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: {shown}")
    minutes, hours, days, months, weekdays = map(_parse_field, fields, _FIELDS)
    return CronSchedule(minutes, hours, days, months, weekdays, zone)


def zone_of(name: str) -> tzinfo:
    """Return a time zone that `zone_fault` finds nothing wrong with."""
    return UTC if name in _UTC_NAMES else zoneinfo.ZoneInfo(name)


def _parse_every(descriptor: str) -> Every:
    try:
        duration_s = parse_go_duration(descriptor.removeprefix(_EVERY))
    except ValueError as error:
        raise CronError(f"failed to parse duration {descriptor}: {error}") from None
    return Every(max(1, int(duration_s)))


def _parse_field(text: str, bounds: _Bounds) -> Field:
    values: set[int] = set()
    is_star = False
    for part in text.split(","):
        # Empty parts between commas are skipped, as the parser skips them.
        if part:
            found, star = _parse_range(part, bounds)
            values.update(found)
            is_star = is_star or star
    return Field(frozenset(values), is_star)


def _parse_ends(text: str, ends: list[str], bounds: _Bounds) -> tuple[int, int]:
    if ends[0] in {"*", "?"}:
        return bounds.low, bounds.high
    start = _parse_value(ends[0], bounds)
    if len(ends) > 2:
        raise CronError(f"too many hyphens: {text}")
    return start, _parse_value(ends[1], bounds) if len(ends) == 2 else start


def _parse_range(text: str, bounds: _Bounds) -> tuple[range, bool]:
    whole, *steps = text.split("/")
    ends = whole.split("-")
    start, end = _parse_ends(text, ends, bounds)
    step = 1
    if len(steps) == 1:
        step = _parse_number(steps[0])
        if len(ends) == 1:
            end = bounds.high
    elif steps:
        raise CronError(f"too many slashes: {text}")
    if start < bounds.low:
        raise CronError(f"beginning of range ({start}) below minimum ({bounds.low}): {text}")
    if end > bounds.high:
        raise CronError(f"end of range ({end}) above maximum ({bounds.high}): {text}")
    if start > end:
        raise CronError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise CronError(f"step of range should be a positive number: {text}")
    # Every other day is a restriction, although it is written with a star.
    return range(start, end + 1, step), ends[0] in {"*", "?"} and step == 1


def _parse_value(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return _parse_number(text) if named is None else named


def _parse_number(text: str) -> int:
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not digits.isascii() or not digits.isdigit():
        fault = f"strconv.Atoi: parsing {quote(text)}: invalid syntax"
        raise CronError(f"failed to parse int from {text}: {fault}")
    number = int(text)
    if abs(number) > _INT64_MAX:
        fault = f"strconv.Atoi: parsing {quote(text)}: value out of range"
        raise CronError(f"failed to parse int from {text}: {fault}")
    if number < 0:
        raise CronError(f"negative number ({number}) not allowed: {text}")
    return number

"""Times and durations: reading, writing, and their parts in any time zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.values import INT_MAX, NANOS, Duration, Timestamp

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,30}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d{0,30})(?:\.(\d{0,30}))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6,
    "s": NANOS, "m": 60 * NANOS, "h": 3600 * NANOS,
}  # fmt: skip
_OFFSET: Final = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_MAX: Final = 128


def parse_timestamp(text: str) -> Timestamp:
    """Read an RFC 3339 time.

    Raises:
        CelError: it is none.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        layout = '"2006-01-02T15:04:05Z07:00"'
        raise CelError(
            f'parsing time "{text[:_TEXT_MAX]}" as {layout}: cannot parse "{text[:_TEXT_MAX]}"'
        )
    numbers = [int(part) for part in match.groups()[:6]]
    try:
        moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        raise CelError(f'parsing time "{text}": day out of range') from None
    fraction = int((match[7] or "0").ljust(9, "0")[:9])
    offset_s = 0
    if match[9]:
        offset_s = (int(match[10]) * 60 + int(match[11])) * 60 * (-1 if match[9] == "-" else 1)
    whole = (moment - _EPOCH) // timedelta(seconds=1)
    return Timestamp((whole - offset_s) * NANOS + fraction)


def parse_date(text: str) -> Timestamp:
    """Read a date as the moment it begins in UTC.

    Raises:
        CelError: it is none.
    """
    if not _DATE.fullmatch(text):
        raise CelError(f'parsing time "{text[:_TEXT_MAX]}" as "2006-01-02": cannot parse')
    return parse_timestamp(f"{text}T00:00:00Z")


def parse_duration(text: str) -> Duration:
    """Read a duration as Go writes them: `1h30m`, `-1.5s`.

    Raises:
        CelError: it is none, or too long.
    """
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return Duration(0)
    nanos, pos = 0, 0
    while pos < len(body):
        match = _DURATION_PART.match(body, pos)
        if match is None or not (match[1] or match[2]):
            break
        unit = _UNITS[match[3]]
        nanos += int(match[1] or 0) * unit
        if match[2]:
            nanos += int(match[2]) * unit // 10 ** len(match[2])
        pos = match.end()
    if pos < len(body) or not body or nanos > INT_MAX + (text[:1] == "-"):
        raise CelError(f'time: invalid duration "{text[:_TEXT_MAX]}"')
    return Duration(-nanos if text[:1] == "-" else nanos)


def format_timestamp(value: Timestamp) -> str:
    """Write a time as RFC 3339, with as many places as it has."""
    seconds, nanos = divmod(value.nanos, NANOS)
    whole = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{whole.year:04d}-{whole:%m-%dT%H:%M:%S}{fraction}Z"


def format_duration(value: Duration) -> str:
    """Write a duration in seconds: `5400s`, `1.5s`."""
    sign = "-" if value.nanos < 0 else ""
    seconds, nanos = divmod(abs(value.nanos), NANOS)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{sign}{seconds}{fraction}s"


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    if name not in _zone_names():
        raise CelError(f"unknown time zone {name[:_TEXT_MAX]}")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # Looked up here, a name that an expression made up costs no search in the file system.
    return frozenset(available_timezones())


def _local(value: Timestamp, zone: str = "UTC") -> datetime:
    moment = _EPOCH + timedelta(microseconds=value.nanos // 1000)
    try:
        return moment.astimezone(UTC if zone in ("UTC", "") else _zone(zone))
    except OverflowError:
        raise CelError("timestamp overflow") from None


_PARTS: Final[dict[str, tuple[str, Callable[[datetime], int]]]] = {
    "getFullYear": ("year", lambda t: t.year),
    "getMonth": ("month", lambda t: t.month - 1),
    "getDayOfYear": ("day_of_year", lambda t: t.timetuple().tm_yday - 1),
    "getDate": ("day_of_month_1_based", lambda t: t.day),
    "getDayOfMonth": ("day_of_month", lambda t: t.day - 1),
    "getDayOfWeek": ("day_of_week", lambda t: t.isoweekday() % 7),
    "getHours": ("hours", lambda t: t.hour),
    "getMinutes": ("minutes", lambda t: t.minute),
    "getSeconds": ("seconds", lambda t: t.second),
    "getMilliseconds": ("milliseconds", lambda t: t.microsecond // 1000),
}
_SPANS: Final[dict[str, int]] = {
    "getHours": 3600 * NANOS,
    "getMinutes": 60 * NANOS,
    "getSeconds": NANOS,
    "getMilliseconds": 10**6,
}


def declare(to: Declarations) -> None:
    """Declare what tells the parts of times and durations."""
    for name, (word, part) in _PARTS.items():
        to.method(name, f"timestamp_to_{word}", "timestamp -> int", _part_of(part))
        to.method(name, f"timestamp_to_{word}_with_tz", "timestamp, string -> int", _part_of(part))
    for name, unit in _SPANS.items():
        word = f"duration_to_{name.removeprefix('get').lower()}"
        to.method(name, word, "duration -> int", _in_units(unit))


def _part_of(part: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda value, zone="UTC": part(_local(value, zone))


def _in_units(unit: int) -> Callable[[Duration], int]:
    return lambda value: abs(value.nanos) // unit * (-1 if value.nanos < 0 else 1)

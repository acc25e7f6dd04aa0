"""Times as the API writes them: RFC 3339 in UTC, whole seconds or microseconds.

Parsing accepts what Go's `time.Parse` accepts for these layouts and words refusals as it does.
Nothing here asks for the current time: callers pass what their `runtime.clock.Clock` says.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from kube.field import quote
from kube.text_cache import text_cache

LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
ZERO: Final = "0001-01-01T00:00:00Z"

_CACHED_TEXTS: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_PLAIN_MICRO: Final = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII
).fullmatch
# Each element of the layout with what Go takes for it and how it names it in errors.
_ELEMENTS: Final = tuple(
    (name, re.compile(pattern, re.ASCII))
    for name, pattern in (
        ("2006", r"\d{4}"), ("-", r"-"), ("01", r"\d{2}"), ("-", r"-"), ("02", r"\d{2}"),
        ("T", r"T"), ("15", r"\d{1,2}"), (":", r":"), ("04", r"\d{2}"), (":", r":"),
        ("05", r"\d{2}"),
    )
)  # fmt: skip
_FRACTION: Final = re.compile(r"[.,]\d+", re.ASCII)
_MICRO_FRACTION: Final = re.compile(r"[.,]\d{6}", re.ASCII)
_ZONE: Final = re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII)


class TimeError(ValueError):
    """A text is no time of the wanted layout; the message is Go's."""


@lru_cache(maxsize=16)
def format_seconds(epoch_s: int) -> str:
    """Return `2026-01-02T03:04:05Z`; repeated calls within a second cost a look-up."""
    return (_EPOCH + timedelta(seconds=epoch_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micros(epoch_us: int) -> str:
    """Return `2026-01-02T03:04:05.000006Z`."""
    seconds, micros = divmod(epoch_us, 1_000_000)
    return f"{format_seconds(seconds)[:-1]}.{micros:06d}Z"


def parse_time(text: str) -> datetime:
    """Return the moment that an RFC 3339 text names, in UTC.

    Raises:
        TimeError: it names none.
    """
    return _parse(text, LAYOUT, _FRACTION)


def parse_micro_time(text: str) -> datetime:
    """Return the moment that an RFC 3339 text with exactly six decimals names, in UTC.

    Raises:
        TimeError: it names none, or has another number of decimals.
    """
    return _parse(text, MICRO_LAYOUT, _MICRO_FRACTION)


@text_cache(maxsize=_CACHED_TEXTS)
def epoch_seconds(text: str) -> int:
    """Return the whole seconds since 1970 of an RFC 3339 text.

    Raises:
        TimeError: it is none.
    """
    return (parse_time(text) - _EPOCH) // timedelta(seconds=1)


@text_cache(maxsize=_CACHED_TEXTS)
def canonical_time(text: str) -> str:
    """Return `text` in UTC and whole seconds, as upstream writes it back.

    Raises:
        TimeError: it is no RFC 3339 time.
    """
    moment = parse_time(text)
    return text if _PLAIN.fullmatch(text) else _write(moment, "seconds")


def canonical_micro_time(text: str) -> str:
    """Return `text` in UTC with six decimals.

    Raises:
        TimeError: it is no RFC 3339 time with six decimals.
    """
    # Renewals of leases are most of all writes, and no two of them have the same time.
    if _PLAIN_MICRO(text) is not None and _is_day(text[:10]):
        return text
    return _canonical_micro_time(text)


@text_cache(maxsize=_CACHED_TEXTS)
def _canonical_micro_time(text: str) -> str:
    return _write(parse_micro_time(text), "microseconds")


@lru_cache(maxsize=64)
def _is_day(text: str) -> bool:
    """Tell whether the calendar has a day, written as `2026-01-02`."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _write(moment: datetime, precision: str) -> str:
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def _parse(text: str, layout: str, fraction: re.Pattern[str]) -> datetime:
    numbers = []
    at = 0
    for name, pattern in _ELEMENTS:
        match = pattern.match(text, at)
        if match is None:
            raise _mismatch(text, layout, at, name)
        if len(name) > 1:
            numbers.append(int(match[0]))
        at = match.end()
    part = fraction.match(text, at)
    if part is None and fraction is _MICRO_FRACTION:
        raise _mismatch(text, layout, at, ".000000")
    micros = int(part[0][1:7].ljust(6, "0")) if part else 0
    at = part.end() if part else at
    zone = _ZONE.match(text, at)
    if zone is None:
        raise _mismatch(text, layout, at, "Z07:00")
    if zone.end() != len(text):
        raise TimeError(f"parsing time {quote(text)}: extra text: {quote(text[zone.end() :])}")
    _check_ranges(text, numbers, zone[0])
    try:
        moment = datetime(*numbers, micros, tzinfo=_read_zone(zone[0]))  # type: ignore[arg-type, misc]
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TimeError(f"parsing time {quote(text)}: day out of range") from error


def _mismatch(text: str, layout: str, at: int, name: str) -> TimeError:
    where = f"cannot parse {quote(text[at:])} as {quote(name)}"
    return TimeError(f"parsing time {quote(text)} as {quote(layout)}: {where}")


def _check_ranges(text: str, numbers: list[int], zone: str) -> None:
    _, month, _, hour, minute, second = numbers
    for name, is_wrong in (
        ("month", not 1 <= month <= 12),
        ("hour", hour > 23),
        ("minute", minute > 59),
        ("second", second > 59),
        ("time zone offset hour", zone != "Z" and int(zone[1:3]) > 24),
        ("time zone offset minute", zone != "Z" and int(zone[4:6]) > 60),
    ):
        if is_wrong:
            raise TimeError(f"parsing time {quote(text)}: {name} out of range")


def _read_zone(zone: str) -> timezone:
    if zone == "Z":
        return UTC
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return timezone(-offset if zone[0] == "-" else offset)

"""The cron expressions of CronJobs: which ones can be parsed, and why the others cannot.

Grammar and wording follow robfig/cron's standard parser (v3): five fields, or a descriptor such as
`@hourly` and `@every 5m`, after an optional `TZ=zone`.
"""

from __future__ import annotations

import re
import zoneinfo
from typing import Final, NamedTuple

from kube.field import quote
from kube.text_cache import text_cache

_DESCRIPTORS: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_EVERY: Final = "@every "
_INT64_MAX: Final = 2**63 - 1
_match_duration = re.compile(
    r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)"
).fullmatch


class CronError(ValueError):
    """A schedule cannot be parsed; the message says why, in the parser's words."""


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
        _parse(schedule)
    except CronError as error:
        return str(error)
    return ""


@text_cache(maxsize=1024)
def zone_fault(name: str) -> str:
    """Return why there is no time zone `name`, "" when there is one."""
    if name in {"", "UTC", "Local"}:
        return ""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""


def _parse(schedule: str) -> None:
    if not schedule:
        raise CronError("empty spec string")
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        head, _, schedule = schedule.partition(" ")
        zone = head.partition("=")[2]
        if fault := zone_fault(zone):
            raise CronError(f"provided bad location {zone}: {fault}")
        schedule = schedule.strip()
    if schedule.startswith("@"):
        _parse_descriptor(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        shown = f"[{' '.join(fields)}]"
        raise CronError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: {shown}")
    for text, bounds in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            # Empty parts between commas are skipped, as the parser skips them.
            if part:
                _parse_range(part, bounds)


def _parse_descriptor(descriptor: str) -> None:
    if descriptor in _DESCRIPTORS:
        return
    if not descriptor.startswith(_EVERY):
        raise CronError(f"unrecognized descriptor: {descriptor}")
    text = descriptor.removeprefix(_EVERY)
    if not _match_duration(text):
        fault = f"time: invalid duration {quote(text)}"
        raise CronError(f"failed to parse duration {descriptor}: {fault}")


def _parse_ends(text: str, ends: list[str], bounds: _Bounds) -> tuple[int, int]:
    if ends[0] in {"*", "?"}:
        return bounds.low, bounds.high
    start = _parse_value(ends[0], bounds)
    if len(ends) > 2:
        raise CronError(f"too many hyphens: {text}")
    return start, _parse_value(ends[1], bounds) if len(ends) == 2 else start


def _parse_range(text: str, bounds: _Bounds) -> None:
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

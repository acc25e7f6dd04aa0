"""Durations and ages as people read them.

The steps and roundings are those of k8s.io/apimachinery `util/duration`: everything is truncated,
never rounded, and a clock that is up to two seconds ahead of ours counts as "now".
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

MINUTE_S: Final = 60
HOUR_S: Final = 3600
HOURS_A_DAY: Final = 24
HOURS_A_YEAR: Final = 24 * 365
UNKNOWN: Final = "<unknown>"
INVALID: Final = "<invalid>"


def human_duration(duration_s: float) -> str:
    """Return a duration in two or three significant figures: `5m20s`, `4d3h`, `2y101d`."""
    seconds = int(duration_s)
    if seconds < 2 * MINUTE_S:
        return f"{max(seconds, 0)}s" if seconds >= -1 else INVALID
    minutes = seconds // MINUTE_S
    if minutes < 10:
        return _pair(minutes, "m", seconds % MINUTE_S, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = seconds // HOUR_S
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 2 * HOURS_A_DAY:
        return f"{hours}h"
    if hours < 8 * HOURS_A_DAY:
        return _pair(hours // HOURS_A_DAY, "d", hours % HOURS_A_DAY, "h")
    if hours < 2 * HOURS_A_YEAR:
        return f"{hours // HOURS_A_DAY}d"
    years = hours // HOURS_A_YEAR
    if hours < 8 * HOURS_A_YEAR:
        return _pair(years, "y", hours // HOURS_A_DAY % 365, "d")
    return f"{years}y"


def timestamp_s(text: str) -> float:
    """Return the Unix time of an RFC 3339 timestamp.

    Raises:
        ValueError: `text` is no timestamp, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp without offset: {text!r}")
    return moment.timestamp()


def age(timestamp: str | None, now_s: float) -> str:
    """Return how long ago an object's RFC 3339 timestamp was; `<unknown>` without one."""
    if not timestamp:
        return UNKNOWN
    return human_duration(now_s - datetime.fromisoformat(timestamp).timestamp())


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"

"""Durations read as upstream prints them."""

from __future__ import annotations

import pytest

from kube import durations

MINUTE, HOUR, DAY = 60, 3600, 86_400
YEAR = 365 * DAY


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (119.99, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (10 * MINUTE, "10m"),
        (179 * MINUTE + 59, "179m"),
        (3 * HOUR, "3h"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR, "8h"),
        (48 * HOUR - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (8 * DAY - 1, "7d23h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR, "8y"),
        (8 * YEAR + 300 * DAY, "8y"),
    ],
)
def test_human_duration_keeps_two_or_three_figures(seconds: float, expected: str) -> None:
    assert durations.human_duration(seconds) == expected


def test_age_without_timestamp_is_unknown() -> None:
    assert durations.age(None, 0) == durations.age("", 0) == "<unknown>"


def test_age_reads_micro_times_and_offsets() -> None:
    assert durations.age("1970-01-01T01:00:00.500000+01:00", 5.75) == "5s"


def test_timestamp_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="without offset"):
        durations.timestamp_s("2026-01-01T00:00:00")

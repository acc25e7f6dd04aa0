"""Times: canonical form, Go's refusals."""

from __future__ import annotations

import pytest

from kube import times


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    assert times.canonical_time("2024-01-02T03:04:05Z") == "2024-01-02T03:04:05Z"
    assert times.canonical_time("2024-01-02T03:04:05.999+01:30") == "2024-01-02T01:34:05Z"
    assert times.canonical_time("2024-01-02T3:04:05Z") == "2024-01-02T03:04:05Z"


def test_micro_times_keep_six_decimals() -> None:
    given = "2024-01-02T03:04:05.000100-01:00"
    assert times.canonical_micro_time(given) == "2024-01-02T04:04:05.000100Z"


@pytest.mark.parametrize(
    "text", ["2024-02-29T23:59:59.000001Z", "9999-12-31T00:00:00.999999Z", times.format_micros(7)]
)
def test_micro_times_that_are_canonical_stay_the_same_text(text: str) -> None:
    assert times.canonical_micro_time(text) is text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2023-02-29T03:04:05.000000Z", "day"),
        ("2023-13-01T03:04:05.000000Z", "month"),
        ("2023-01-01T24:00:00.000000Z", "hour"),
        ("2023-01-01T03:60:05.000000Z", "minute"),
        ("2023-01-01T03:04:60.000000Z", "second"),
        ("0000-01-01T03:04:05.000000Z", "day"),
    ],
)
def test_micro_times_that_are_none_are_refused_in_whatever_form(text: str, what: str) -> None:
    with pytest.raises(times.TimeError, match=f"{what} out of range"):
        times.canonical_micro_time(text)


def test_moments_are_formatted_from_the_epoch() -> None:
    assert times.format_seconds(0) == "1970-01-01T00:00:00Z"
    assert times.format_micros(1_704_164_645_000_123) == "2024-01-02T03:04:05.000123Z"
    assert times.epoch_seconds("2024-01-02T03:04:05Z") == 1_704_164_645


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo", ' as "2006-01-02T15:04:05Z07:00": cannot parse "foo" as "2006"'),
        ("2024-01-02", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2024-01-02T03:04:05", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'),
        ("2024-13-02T03:04:05Z", ": month out of range"),
        ("2024-02-30T03:04:05Z", ": day out of range"),
        ("2024-02-03T24:04:05Z", ": hour out of range"),
        ("2024-02-03T03:04:05Zx", ': extra text: "x"'),
    ],
)
def test_refusals_are_worded_as_gos(text: str, reason: str) -> None:
    with pytest.raises(times.TimeError) as caught:
        times.parse_time(text)
    assert str(caught.value) == f'parsing time "{text}"{reason}'


def test_micro_times_need_all_their_decimals() -> None:
    with pytest.raises(times.TimeError, match=r'cannot parse "Z" as "\.000000"'):
        times.parse_micro_time("2024-01-02T03:04:05Z")

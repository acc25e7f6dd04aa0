"""Go's durations: what time.ParseDuration takes, and the words it refuses the rest with."""

from __future__ import annotations

import pytest

from kube.go_durations import parse_go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m0s", 60.0),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),
        ("500ms", 0.5),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("7ns", 7e-9),
        ("0", 0.0),
        ("-0", 0.0),
        ("+10s", 10.0),
        ("-1m5s", -65.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("nan", 'time: invalid duration "nan"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1m30", 'time: missing unit in duration "1m30"'),
        ("1_0s", 'time: unknown unit "_" in duration "1_0s"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("10 s", 'time: unknown unit " s" in duration "10 s"'),
        ("9999999999s", 'time: invalid duration "9999999999s"'),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="time: ") as refused:
        parse_go_duration(text)
    assert str(refused.value) == message

"""Quantities: canonical spelling, refusals, arithmetic."""

from __future__ import annotations

import pytest

from kube.quantity import (
    FORMAT_MESSAGE,
    SUFFIX_MESSAGE,
    Quantity,
    QuantityError,
    canonical,
    parse,
    parse_value,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"), ("00", "0"), ("0Ki", "0"), ("1000m", "1"), ("0.5", "500m"), (".5", "500m"),
        ("1024Mi", "1Gi"), ("100Mi", "100Mi"), ("1.5Gi", "1536Mi"), ("0.1Ki", "102400m"),
        ("1e3", "1e3"), ("10e2", "1e3"), ("1E3", "1E3"), ("12E", "12E"), ("1000", "1k"),
        ("1500", "1500"), ("5000n", "5u"), ("-0.5", "-500m"), ("-1Gi", "-1Gi"), ("1023", "1023"),
        ("2.5", "2500m"), ("3.0", "3"),
    ],
)  # fmt: skip
def test_spelling_becomes_canonical(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["1.001", "+5", "1.500", "1Ki"])
def test_what_already_looks_canonical_keeps_its_spelling(text: str) -> None:
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.0000000001", "1n"), ("1.1111111111", "1111111112n"), ("-0.0000000001", "-1n")],
)
def test_less_than_a_nano_rounds_away_from_zero(text: str, expected: str) -> None:
    assert canonical(text) == expected


def test_binary_quantities_are_capped_at_int64() -> None:
    assert canonical("16Ei") == "9223372036854775807"
    assert canonical("9999999999999999999") == "9999999999999999999"


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1.2.3", "٣"])
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert str(caught.value) == FORMAT_MESSAGE


@pytest.mark.parametrize("text", ["1KK", "1e", "1k5", "1Gi5"])
def test_unknown_suffixes_are_refused(text: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert str(caught.value) == SUFFIX_MESSAGE


def test_hostile_numbers_cost_nothing() -> None:
    with pytest.raises(QuantityError):
        parse("9" * 5000)
    assert canonical("1e99999999999999999") == "1e99999999999999999"
    assert parse("1e-99999999999999999") == Quantity(1, -9)
    assert parse("1e99999999999999999") > parse("1E")


def test_amounts_compare_whatever_their_spelling() -> None:
    assert parse("1") == parse("1000m")
    assert parse("1Gi") > parse("1G")
    assert hash(parse("1024Mi")) == hash(parse("1Gi"))


def test_sums_keep_the_left_family_of_suffixes() -> None:
    assert str(parse("512Mi") + parse("512Mi")) == "1Gi"
    assert str(parse("0") + parse("1Gi")) == "1Gi"
    assert str(parse("1") - parse("1500m")) == "-500m"
    assert str(-parse("1Gi")) == "-1Gi"


def test_whole_and_thousandth_values_round_up() -> None:
    assert parse("1500m").value == 2
    assert parse("-1500m").value == -2
    assert parse("1u").milli_value == 1
    assert float(parse("250m")) == 0.25


def test_json_numbers_are_quantities_and_other_values_are_not() -> None:
    assert str(parse_value(0.5)) == "500m"
    assert str(parse_value(10)) == "10"
    for value in (True, None, [], {}):
        with pytest.raises(QuantityError):
            parse_value(value)

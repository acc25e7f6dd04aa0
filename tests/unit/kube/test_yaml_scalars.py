"""What unquoted YAML scalars mean to upstream, and which strings need quotes therefore."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kube.yaml_scalars import needs_quotes, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("On", True), ("y", True), ("TRUE", True),
        ("no", False), ("OFF", False), ("N", False), ("False", False),
        ("", None), ("~", None), ("Null", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000),
        ("0644", 420), ("0o17", 15), ("0x1F", 31), ("0b101", 5), ("-0x10", -16),
        ("9223372036854775807", 2**63 - 1), ("18446744073709551615", 2**64 - 1),
        ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("-1.", -1.0), ("089", 89.0),
        (".inf", math.inf), ("-.Inf", -math.inf),
    ],
)  # fmt: skip
def test_words_and_numbers_are_read(text: str, value: Any) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)
    assert needs_quotes(text)


@pytest.mark.parametrize(
    "text",
    [
        "1e400",
        "-" + "9" * 5_000,
        "yEs",
        "nO",
        "truth",
        "2020-01-01",
        "1.2.3",
        "0xZZ",
        "1e",
        "+",
        "-",
        ".",
        "1Gi",
        "null?",
        "é",
    ],
)
def test_other_text_is_text(text: str) -> None:
    assert resolve(text) == text
    assert not needs_quotes(text)


def test_integers_beyond_64_bits_are_floats() -> None:
    assert resolve("18446744073709551616") == 18446744073709551616.0
    assert isinstance(resolve("18446744073709551616"), float)


def test_sexagesimals_are_text_that_old_readers_misread() -> None:
    assert resolve("1:30") == "1:30"
    assert needs_quotes("1:30")

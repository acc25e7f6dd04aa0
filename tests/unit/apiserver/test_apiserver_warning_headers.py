"""Warning headers say what upstream's would, and no text can end one and begin another."""

from __future__ import annotations

import pytest

from apiserver.warning_headers import warning_headers


def _values(*texts: str) -> list[str]:
    return [value.decode() for _, value in warning_headers(texts)]


def test_quotes_and_backslashes_are_escaped() -> None:
    assert _values('unknown field "a\\b"') == ['299 - "unknown field \\"a\\\\b\\""']


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\t", "\x7f", "\x85", "\ud800"])
def test_a_text_with_a_control_character_is_left_out(char: str) -> None:
    values = _values("before", f'field "a{char}b"', "", "after")
    assert values == ['299 - "before"', '299 - "after"']


def test_other_characters_go_through() -> None:
    assert _values("ä \u00a0 \u200b 漢") == ['299 - "ä \u00a0 \u200b 漢"']


def test_up_to_4096_characters_no_text_is_cut() -> None:
    texts = ["a" * 2048, "b" * 2048]
    assert _values(*texts) == [f'299 - "{text}"' for text in texts]


def test_beyond_4096_characters_every_text_is_cut_and_the_last_ones_are_left_out() -> None:
    texts = [f"{number:03}" + "x" * 997 for number in range(40)]
    values = _values(*texts)
    assert values == [f'299 - "{text[:256]}"' for text in texts[:16]]

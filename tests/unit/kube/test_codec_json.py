"""JSON as Go's decoder takes it: what is no Unicode becomes U+FFFD inside strings."""

from __future__ import annotations

import re

import pytest

from kube.codec_json import decode, mend


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"\\ud800"', "\ufffd"),
        (b'"\\uDC00x\\ud83d"', "\ufffdx\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud83d\\ud83d\\ude00"', "\ufffd\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\xff"', "\ufffd"),
        (b'"\xe2\x82x"', "\ufffd\ufffdx"),
        (b'{"\\ud800": "\xff"}', {"\ufffd": "\ufffd"}),
    ],
)
def test_what_is_no_unicode_in_a_string_becomes_the_replacement_character(
    body: bytes, value: object
) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b"  ", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"\xff", "invalid character 'ÿ' looking for beginning of value"),
        (b'"\xff" x', "invalid character 'x' after top-level value"),
        (b'"\\ud80"', "invalid character"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"[" * 70_000, "invalid character '[' at offset"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        decode(body)


def test_a_sound_text_is_not_changed() -> None:
    for body in (b"{}", '{"é": "\\u00e9\\ud83d\\ude00\\\\ud800"}'.encode()):
        assert mend(body) == body
